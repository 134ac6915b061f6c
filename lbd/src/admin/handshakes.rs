//! TLS handshakes with `[admin]`, on a thread of their own: what they compute takes longer than a check, or a call of the
//! control socket, is to be kept waiting.
//!
//! Bounds neither their number nor their time: whoever asks for one does, and ends it by asking no more.

use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::warn;

use crate::tls;

/// How long a client whose handshake has failed is listened to, and how much of it is taken: a socket that is closed
/// with unread bytes in it resets the connection, and overtakes the alert.
const LINGER: Duration = Duration::from_secs(2);
const MOST_DISCARDED: u64 = 256 * 1024;

type Job = BoxFuture<'static, ()>;

/// The thread runs from the first handshake on.
#[derive(Debug, Default)]
pub(super) struct Handshakes(OnceLock<Option<mpsc::UnboundedSender<Job>>>);

impl Handshakes {
    /// The server's part of one.
    pub(super) async fn accept(
        &self,
        acceptor: TlsAcceptor,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let (mut done, outcome) = oneshot::channel();
        let job = async move {
            let shaken = tokio::select! {
                shaken = shake(acceptor, stream) => shaken,
                () = done.closed() => return,
            };
            // Who has gone meanwhile wants none.
            let _ = done.send(shaken);
        };
        let gone = || io::Error::other("the thread for handshakes is not there");
        let jobs = self.0.get_or_init(start).as_ref().ok_or_else(gone)?;
        jobs.send(Box::pin(job)).map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

/// `None`: there is no thread to be had.
fn start() -> Option<mpsc::UnboundedSender<Job>> {
    let (jobs, mut asked) = mpsc::unbounded_channel::<Job>();
    let started = Builder::new_current_thread()
        .enable_time()
        .build()
        .and_then(|runtime| {
            let run = move || {
                runtime.block_on(async {
                    while let Some(job) = asked.recv().await {
                        tokio::spawn(job);
                    }
                });
            };
            thread::Builder::new()
                .name("lbd-admin-tls".to_owned())
                .spawn(run)
        });
    match started {
        Ok(_) => Some(jobs),
        Err(error) => {
            warn!(%error, "[admin] cannot speak TLS: there is no thread for it");
            None
        }
    }
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let shaken = tls::shaking(acceptor.accept(stream).into_fallible()).await;
    match shaken {
        Ok(stream) => Ok(stream),
        Err((error, stream)) => {
            let _ = timeout(LINGER, leave(stream)).await;
            Err(error)
        }
    }
}

async fn leave(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = stream.take(MOST_DISCARDED);
    while rest.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}
