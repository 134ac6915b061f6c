//! Accepting connections: not one more is served than the limits allow; the rest wait in the accept
//! queue.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lb_proto::config::Mode;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::client::Client;
use super::fault::Fault;
use super::http2::Spoken;
use super::link::{Ends, Link};
use super::proxy_protocol::{self, Refused};
use super::socket::Socket;
use super::thread::{Place, Thread};
use super::{conn, http2, linger, tcp};
use crate::proxy_protocol::Tlvs;
use crate::state::{Handshake, Limit, Listener, Permit};
use crate::tls::Terminator;

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
    pub(super) fn start(
        thread: Rc<Thread>,
        listener: Arc<Listener>,
        socket: std::net::TcpListener,
    ) -> io::Result<Self> {
        let socket = TcpListener::from_std(socket)?;
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
    socket: TcpListener,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            // A connection beyond the limits is not served, and none after it is accepted, until
            // there is a place for it.
            Ok((stream, peer)) => {
                let places = tokio::select! {
                    _ = stopped.wait_for(|stopped| *stopped) => None,
                    places = places(&thread, &listener) => places,
                };
                welcome(&thread, &listener, stream, peer, places);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, address = %listener.address, "cannot accept connections; retrying");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // Whoever is in the queue was promised a connection; closing the socket would reset it.
    while let Poll::Ready(Ok((stream, peer))) = poll_once(socket.accept()).await {
        welcome(&thread, &listener, stream, peer, None);
    }
}

async fn places(thread: &Thread, listener: &Listener) -> Option<Places> {
    let place = thread.place(listener.uid)?;
    let frontend: &Limit = &place.view.snapshot.frontends[place.frontend].record.limit;
    Some([
        frontend.acquire().await,
        thread.shared.connections.acquire().await,
    ])
}

/// What a future says when it is asked only once.
async fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Errors of the connection that was to be accepted, not of the socket (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
    )
}

fn welcome(
    thread: &Rc<Thread>,
    listener: &Listener,
    stream: TcpStream,
    peer: SocketAddr,
    places: Option<Places>,
) {
    let Some(place) = thread.place(listener.uid) else {
        return;
    };
    let frontend = &place.view.snapshot.frontends[place.frontend];
    let ends = Ends {
        peer,
        local: listener.address,
        tlvs: Tlvs::default(),
        tls: false,
    };
    match frontend.introducers(listener.uid) {
        None => drop(serve(thread, listener.uid, &place, stream, ends, places)),
        Some(introducers) if introducers.contain(peer.ip().to_canonical()) => {
            let (thread, listener) = (thread.clone(), listener.uid);
            let link = Link::new(thread.clone(), listener, &place, ends);
            let client = Client::new(link, frontend.config.timeouts);
            let entry = thread.enter(client.clone());
            spawn_local(async move {
                let introduced = proxy_protocol::receive(&stream, &client).await;
                drop((entry, client));
                if let (Ok(ends), Some(place)) = (introduced, thread.place(listener)) {
                    serve(&thread, listener, &place, stream, ends, places);
                }
            });
        }
        Some(_) => thread.refuse(peer, listener.address, &Refused::Stranger),
    }
}

fn serve(
    thread: &Rc<Thread>,
    listener: u64,
    place: &Place,
    stream: TcpStream,
    mut ends: Ends,
    places: Option<Places>,
) -> JoinHandle<()> {
    let frontend = &place.view.snapshot.frontends[place.frontend];
    let terminator = frontend.terminator(listener).cloned();
    let patience = frontend.config.timeouts.tls_handshake;
    ends.tls = terminator.is_some();
    let link = Link::new(thread.clone(), listener, place, ends);
    let client = Client::new(link, frontend.config.timeouts);
    let entry = thread.enter(client.clone());
    let mode = place.mode();
    let held = (entry, places);
    match terminator {
        None if frontend.speaks_h2c(listener) => spawn_local(async move {
            let spoken = http2::look(&stream, &client).await;
            let stream = Socket::Plain(stream);
            match spoken {
                Spoken::Http2 => Box::pin(http2::serve(stream, client)).await,
                Spoken::Other => return session(mode, stream, client, held).await,
                Spoken::TooSlow => linger::refuse(stream, &client, Fault::HeadTooSlow).await,
            }
            drop(held);
        }),
        None => spawn_local(session(mode, Socket::Plain(stream), client, held)),
        Some(terminator) => spawn_local(async move {
            let shake = handshake(&terminator, stream, patience, &client);
            if let Some(stream) = Box::pin(shake).await {
                session(mode, stream, client, held).await;
            }
        }),
    }
}

/// A connection until its end; `held` is what it takes of the limits.
async fn session<T>(mode: Mode, stream: Socket, client: Rc<Client>, held: T) {
    match mode {
        Mode::Http if stream.speaks_http2() => Box::pin(http2::serve(stream, client)).await,
        Mode::Http => conn::serve(stream, client).await,
        // Large: an idle client of the other mode is not to have its size.
        Mode::Tcp => Box::pin(tcp::serve(stream, client)).await,
    }
    drop(held);
}

/// `None`: it failed or took too long.
async fn handshake(
    terminator: &Terminator,
    stream: TcpStream,
    patience: Duration,
    client: &Client,
) -> Option<Socket> {
    let handshakes = &client.thread.shared.handshakes;
    let shake = async {
        // Who has not said anything yet takes no place.
        stream.peek(&mut [0]).await?;
        let _place = handshakes.begin().await;
        tokio::select! {
            biased;
            accepted = Socket::accept(terminator.acceptor(), stream) => accepted,
            () = handshakes.outstayed() => Err(io::Error::other("it was slow, and others wait")),
        }
    };
    let count = |became: Handshake| client.tally().handshakes.count(became as usize);
    let cause = match timeout(patience, shake).await {
        Ok(Ok(stream)) => {
            stream.handshake().map(count);
            return Some(stream);
        }
        Ok(Err(error)) => {
            count(Handshake::Failed);
            error.to_string()
        }
        Err(_) => {
            count(Handshake::Abandoned);
            "it did not come to an end in time".to_owned()
        }
    };
    debug!(peer = %client.peer, cause, "TLS handshake failed");
    None
}
