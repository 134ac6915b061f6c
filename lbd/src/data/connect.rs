//! Connections to servers: opened here, used one request at a time.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::drain::Drain;
use super::encode::Outbox;
use super::lease::Lease;
use super::socket::Socket;
use super::watch::Watch;
use super::write;
use crate::state::{Handshake, Server, ServerTally, ThreadId, add};
use crate::tls::Originator;

/// The room for what a server sends, in bytes: at first, and at most. It doubles each time that it
/// was filled.
const LEAST_ROOM: usize = 8 * 1024;
const MOST_ROOM: usize = 256 * 1024;

/// The room that is made at once for a body that is known to need it, in bytes.
const AT_ONCE: usize = 64 * 1024;

/// Where a connection leads, and how it is spoken on. Another one is of no use where that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// It is given up when the server goes down.
    epoch: u32,
    address: SocketAddr,
    /// The uid of the [`Originator`]; 0: in the clear.
    tls: u64,
}

/// A server as connections are made to it.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub(super) server: Arc<Server>,
    pub(super) way: Way,
    tls: Option<Arc<Originator>>,
}

impl Way {
    pub(super) fn new(server: &Server, address: SocketAddr, tls: Option<&Arc<Originator>>) -> Self {
        Self {
            epoch: server.epoch(),
            address,
            tls: tls.map_or(0, |tls| tls.uid),
        }
    }

    /// That to the leased server.
    pub(super) fn of(lease: &Lease) -> Self {
        Self::new(lease.server(), lease.address(), lease.tls())
    }
}

impl Destination {
    /// The leased server.
    pub(super) fn of(lease: &Lease) -> Self {
        Self {
            server: lease.server().clone(),
            way: Way::of(lease),
            tls: lease.tls().cloned(),
        }
    }

    /// Opens a connection, under TLS where that is wanted. `introduction` is sent before a handshake,
    /// and else left for the caller to send. The caller bounds the time.
    pub(super) async fn open(
        &self,
        thread: ThreadId,
        introduction: &mut Vec<u8>,
    ) -> io::Result<Socket> {
        let tally = self.server.tally(thread);
        let mut tcp = TcpStream::connect(self.way.address).await?;
        tcp.set_nodelay(true)?;
        let socket = match &self.tls {
            None => Socket::Plain(tcp),
            Some(tls) => {
                let secured = Box::pin(async {
                    tcp.write_all(&std::mem::take(introduction)).await?;
                    originate(tls, tcp, tally).await
                });
                secured
                    .await
                    .inspect_err(|error| self.complain_of_tls(error))?
            }
        };
        add(&tally.opened, 1);
        Ok(socket)
    }

    pub(super) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    fn complain_of_tls(&self, error: &io::Error) {
        if let Some(tls) = &self.tls {
            self.complain("TLS with the server failed", &tls.why(error));
        }
    }

    /// Says in the log what is wrong between us and the server: now and then, so that nobody fills
    /// it.
    pub(super) fn complain(&self, what: &str, cause: &str) {
        let (server, address) = (&self.server.id, self.way.address);
        match self.server.complaints.tell(Instant::now()) {
            Some(others) => warn!(%server, %address, cause, others, "{what}"),
            None => debug!(%server, %address, cause, "{what}"),
        }
    }
}

/// A handshake, counted when it ends or nobody waits for it any more.
struct Shaking<'a> {
    tally: &'a ServerTally,
    became: Handshake,
}

impl Drop for Shaking<'_> {
    fn drop(&mut self) {
        self.tally.handshakes.count(self.became as usize);
    }
}

async fn originate(tls: &Originator, tcp: TcpStream, tally: &ServerTally) -> io::Result<Socket> {
    let mut shaking = Shaking {
        tally,
        became: Handshake::Abandoned,
    };
    let ended = Socket::originate(tls, tcp).await;
    let made = ended.as_ref().ok().and_then(Socket::handshake);
    shaking.became = made.unwrap_or(Handshake::Failed);
    ended
}

/// A connection to a server. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Upstream {
    stream: Socket,
    to: Destination,
    thread: ThreadId,
    /// A PROXY header that goes before all else and is not sent yet.
    introduction: Vec<u8>,
    /// It is for the client alone that the PROXY header named.
    private: bool,
    /// Bytes written to it so far.
    sent: u64,
    room: usize,
    buffer: BytesMut,
    drain: Drain,
}

impl Upstream {
    /// Opens a connection to the leased server. The caller bounds the time.
    pub(super) async fn open(
        lease: &Lease,
        thread: ThreadId,
        introduction: Option<Vec<u8>>,
    ) -> io::Result<Box<Self>> {
        let to = Destination::of(lease);
        let private = introduction.is_some();
        let mut introduction = introduction.unwrap_or_default();
        Ok(Box::new(Self {
            stream: to.open(thread, &mut introduction).await?,
            to,
            thread,
            private,
            introduction,
            sent: 0,
            room: LEAST_ROOM,
            buffer: BytesMut::new(),
            drain: Drain::default(),
        }))
    }

    /// Writes what is in the box.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        outbox: &mut Outbox,
    ) -> Poll<io::Result<()>> {
        while !outbox.is_empty() {
            let (slices, pieces) = outbox.slices();
            let n = ready!(write::poll_write(&mut self.stream, cx, &slices[..pieces]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            add(&self.tally().bytes_in, n as u64);
            self.sent += n as u64;
            outbox.advance(n);
        }
        match &self.stream {
            Socket::Plain(_) => Poll::Ready(Ok(())),
            Socket::Tls(secure) => secure.poll_flush(cx),
        }
    }

    /// Receives what there is, after what is `left` of what was received before. Empty: the server
    /// closed the connection, and what was left is lost.
    ///
    /// `expected`: how many bytes are to come, where that is known. `spare`: what is left of the buffer
    /// that was last read into, on whichever connection; only what needs more room has its own.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        left: &mut Bytes,
        expected: Option<u64>,
        spare: &RefCell<BytesMut>,
    ) -> Poll<io::Result<Bytes>> {
        if let Socket::Plain(tcp) = &self.stream {
            ready!(tcp.poll_read_ready(cx))?;
        }
        // A buffer that is filled to its end is read into once more, to see whether that was all.
        let expected = expected.map_or(0, |n| n.min(AT_ONCE as u64 - 1) as usize + 1);
        let room = self.room.max(expected);
        let mut spare = spare.borrow_mut();
        let buffer = match room > LEAST_ROOM {
            true => &mut self.buffer,
            false => &mut *spare,
        };
        if buffer.capacity() < room / 2 {
            buffer.reserve(room);
        }
        let room = buffer.capacity();
        let n = ready!(poll_fill(&mut self.stream, buffer, cx));
        let n = n.inspect_err(|error| self.to.complain_of_tls(error))?;
        if n == 0 {
            return Poll::Ready(Ok(Bytes::new()));
        }
        if n == room {
            self.room = (self.room * 2).min(MOST_ROOM);
        }
        let received = buffer.split().freeze();
        add(&self.tally().bytes_out, n as u64);
        Poll::Ready(Ok(match left.is_empty() {
            true => received,
            false => [std::mem::take(left), received].concat().into(),
        }))
    }

    /// Whether the server goes on taking what was written, though it takes no more now.
    pub(super) fn goes_on(&mut self, watch: &Watch) -> bool {
        self.drain.goes_on(self.stream.tcp(), watch)
    }

    /// Bytes written so far: tells whether something moves.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Gives back what only a busy connection needs.
    pub(super) fn rest(&mut self) {
        self.buffer = BytesMut::new();
        self.room = LEAST_ROOM;
    }

    /// Whether it can be used for another request: the server has neither closed it nor sent what
    /// nobody asked for. Costs a system call only where something came.
    pub(super) fn is_quiet(&self) -> bool {
        self.stream.is_quiet()
    }

    /// Whether it is one of this way.
    pub(super) fn fits(&self, way: Way) -> bool {
        self.to.way == way
    }

    /// Whether it leads to this server, as [`fits`](Self::fits) does.
    pub(super) fn leads_to(&self, lease: &Lease) -> bool {
        Arc::ptr_eq(&self.to.server, lease.server()) && self.fits(Way::of(lease))
    }

    /// Whether no other client may use it.
    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    /// What is to be written first; the caller writes it.
    pub(super) fn take_introduction(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.introduction)
    }

    /// What its thread counts of the server.
    pub(super) fn tally(&self) -> &ServerTally {
        self.to.server.tally(self.thread)
    }

    /// The bare socket, for a tunnel.
    pub(super) fn into_stream(self) -> Socket {
        self.stream
    }
}

/// Reads once, and under TLS as often as there is room and something to read: a record is 16 KiB at
/// most.
fn poll_fill(
    stream: &mut Socket,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut n = ready!(pin!(stream.read_buf(buffer)).poll(cx))?;
    while matches!(stream, Socket::Tls(_)) && n > 0 && buffer.len() < buffer.capacity() {
        match pin!(stream.read_buf(buffer)).poll(cx) {
            Poll::Ready(Ok(more)) if more > 0 => n += more,
            // An end, or an error, comes again.
            _ => break,
        }
    }
    Poll::Ready(Ok(n))
}
