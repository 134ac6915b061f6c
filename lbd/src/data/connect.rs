//! Connections to servers: opened here, used one request at a time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::drain::Drain;
use super::encode::Outbox;
use super::lease::Lease;
use super::socket::Socket;
use super::watch::Watch;
use super::write;
use crate::state::{Server, ThreadId, add};

/// The room for what a server sends, in bytes: at first, and at most. It doubles each time that it
/// was filled.
const LEAST_ROOM: usize = 8 * 1024;
const MOST_ROOM: usize = 256 * 1024;

/// The room that is made at once for a body that is known to need it, in bytes.
const AT_ONCE: usize = 64 * 1024;

/// A connection to a server. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Upstream {
    stream: Socket,
    server: Arc<Server>,
    thread: ThreadId,
    epoch: u32,
    address: SocketAddr,
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
    ) -> io::Result<Self> {
        let (server, address) = (lease.server().clone(), lease.address());
        let epoch = server.epoch();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Socket::Plain(stream),
            server,
            thread,
            epoch,
            address,
            private: introduction.is_some(),
            introduction: introduction.unwrap_or_default(),
            sent: 0,
            room: LEAST_ROOM,
            buffer: BytesMut::new(),
            drain: Drain::default(),
        })
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
            add(&self.server.tally(self.thread).bytes_in, n as u64);
            self.sent += n as u64;
            outbox.advance(n);
        }
        Poll::Ready(Ok(()))
    }

    /// Receives what there is, after what is `left` of what was received before. Empty: the server
    /// closed the connection, and what was left is lost.
    ///
    /// `expected`: how many bytes are to come, where that is known.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        left: &mut Bytes,
        expected: Option<u64>,
    ) -> Poll<io::Result<Bytes>> {
        if let Socket::Plain(tcp) = &self.stream {
            ready!(tcp.poll_read_ready(cx))?;
        }
        let expected = expected.map_or(0, |n| n.min(AT_ONCE as u64) as usize);
        let room = self.room.max(expected);
        if self.buffer.capacity() < room / 2 {
            self.buffer.reserve(room);
        }
        let room = self.buffer.capacity();
        let n = ready!(pin!(self.stream.read_buf(&mut self.buffer)).poll(cx))?;
        if n == 0 {
            return Poll::Ready(Ok(Bytes::new()));
        }
        if n == room {
            self.room = (self.room * 2).min(MOST_ROOM);
        }
        add(&self.server.tally(self.thread).bytes_out, n as u64);
        let received = self.buffer.split().freeze();
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

    /// Whether it leads to where the server is now, and was opened since it last went down.
    pub(super) fn fits(&self, epoch: u32, address: SocketAddr) -> bool {
        self.epoch == epoch && self.address == address
    }

    /// Whether it leads to this server, as [`fits`](Self::fits) does.
    pub(super) fn leads_to(&self, server: &Arc<Server>, address: SocketAddr) -> bool {
        Arc::ptr_eq(&self.server, server) && self.fits(server.epoch(), address)
    }

    /// Whether no other client may use it.
    pub(super) fn is_private(&self) -> bool {
        self.private
    }

    /// What is to be written first; the caller writes it.
    pub(super) fn take_introduction(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.introduction)
    }

    /// The bare socket, for a tunnel.
    pub(super) fn into_stream(self) -> Socket {
        self.stream
    }
}
