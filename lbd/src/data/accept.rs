//! Accepting connections: not one more than the limits allow; the rest wait in the accept queue.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tracing::warn;

use super::conn::{Client, serve};
use super::thread::Thread;
use crate::state::{Limit, Listener, Permit};

/// How long to wait after an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// One listening socket of this thread.
#[derive(Debug)]
pub(super) struct Acceptor {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a connection holds of the limits while it is open.
type Places = [Permit; 2];

impl Acceptor {
    pub(super) fn start(thread: Rc<Thread>, listener: Arc<Listener>) -> io::Result<Self> {
        let socket = AsyncFd::with_interest(listener.socket(thread.id)?, Interest::READABLE)?;
        let (stop, stopped) = watch::channel(false);
        let task = spawn_local(accept(thread, listener, socket, stopped));
        Ok(Self { stop, task })
    }

    /// Takes what is in the accept queue already, and closes the socket.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

async fn accept(
    thread: Rc<Thread>,
    listener: Arc<Listener>,
    socket: AsyncFd<TcpListener>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let mut ready = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            ready = socket.readable() => match ready {
                Ok(ready) => ready,
                Err(error) => return warn!(%error, "cannot wait for connections"),
            },
        };
        // Places first: a connection without them stays in the accept queue.
        let Some(place) = thread.place(listener.uid) else {
            break;
        };
        let record = &place.view.snapshot.frontends[place.frontend].record;
        let places = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            places = places(&record.limit, &thread.shared.connections) => places,
        };
        match accept_one(&socket) {
            Ok((stream, peer)) => welcome(&thread, &listener, stream, peer, Some(places)),
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(error) if is_of_one_connection(error) => {}
            Err(error) => {
                warn!(%error, address = %listener.address, "cannot accept connections; retrying");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // Whoever is in the queue was promised a connection; closing the socket would reset it.
    while let Ok((stream, peer)) = accept_one(&socket) {
        welcome(&thread, &listener, stream, peer, None);
    }
}

async fn places(frontend: &Limit, process: &Limit) -> Places {
    [frontend.acquire().await, process.acquire().await]
}

fn accept_one(socket: &AsyncFd<TcpListener>) -> Result<(OwnedFd, SocketAddr), Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (stream, peer) = acceptfrom_with(socket.get_ref().as_fd(), flags)?;
    let peer = peer
        .as_ref()
        .map(SocketAddrAny::clone)
        .and_then(|peer| peer.try_into().ok());
    peer.map(|peer| (stream, peer)).ok_or(Errno::CONNABORTED)
}

/// Errors of the connection that was to be accepted, not of the socket (accept(2)).
fn is_of_one_connection(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::INTR
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NOPROTOOPT
            | Errno::OPNOTSUPP
    )
}

fn welcome(
    thread: &Rc<Thread>,
    listener: &Listener,
    stream: OwnedFd,
    peer: SocketAddr,
    places: Option<Places>,
) {
    let Some(place) = thread.place(listener.uid) else {
        return;
    };
    let stream = match TcpStream::from_std(stream.into()) {
        Ok(stream) => stream,
        Err(error) => return warn!(%error, "cannot watch a connection"),
    };
    let client = Client::new(thread.clone(), listener, &place, peer);
    let entry = thread.enter(client.clone());
    spawn_local(async move {
        serve(stream, client).await;
        drop((entry, places));
    });
}
