//! The client's socket as hyper sees it: one request at a time, bytes counted.
//!
//! A request that comes before the answer to the one before it is out (pipelining) is held back
//! here. What hyper would write on its own account is thrown away: its answer to a head that it cannot
//! read, for which `conn` answers, and its 100 Continue, which is for the server to send.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::client::Client;
use super::drain::Drain;
use super::encode;
use super::framing::Framing;
use super::linger::Unread;
use super::socket::Socket;
use super::watch::Awaiting;
use super::write;
use crate::state::add;

/// What hyper writes as soon as a body is asked for that the client holds back (RFC 9110, 10.1.1).
/// Whether the client is to send it is for the server to say.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[derive(Debug)]
pub(super) struct ClientIo {
    stream: Socket,
    client: Rc<Client>,
    framing: Framing,
    drain: Drain,
    /// The beginning of a request whose predecessor is not answered yet.
    held: Vec<u8>,
    /// Informational responses on their way out.
    informing: Vec<u8>,
}

impl ClientIo {
    pub(super) fn new(stream: Socket, client: Rc<Client>) -> Self {
        Self {
            stream,
            client,
            framing: Framing::default(),
            drain: Drain::default(),
            held: Vec::new(),
            informing: Vec::new(),
        }
    }

    /// The socket, and what was received and held back.
    pub(super) fn into_parts(self) -> (Socket, Vec<u8>) {
        (self.stream, self.held)
    }

    /// Writes informational responses that are to be passed on.
    fn inform(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for head in self.client.take_informed() {
            encode::informational(&mut self.informing, &head);
        }
        while !self.informing.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.informing))?;
            add(&self.client.tally().bytes_out, n as u64);
            self.client.flow.wrote(n as u64);
            self.informing.drain(..n);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the client closed the connection while nobody reads from it. hyper does not look: it
    /// reads a body only when that is asked for.
    fn has_left(&self) -> bool {
        let readable = pin!(self.stream.tcp().ready(Interest::READABLE));
        match readable.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Whether bytes came, or may be on their way, that hyper has not been given.
    pub(super) fn unread(&self) -> Unread {
        match self.framing.is_between() && self.held.is_empty() {
            true => Unread::Nothing,
            false => Unread::Something,
        }
    }

    /// Whether part of a head has come, and not all of it.
    pub(super) fn in_head(&self) -> bool {
        self.framing.in_head()
    }

    /// Gives hyper what belongs to the current message and holds back the rest.
    fn deliver(&mut self, buf: &mut ReadBuf<'_>, start: usize) -> Poll<io::Result<()>> {
        let bytes = &buf.filled()[start..];
        let began = self.framing.is_between();
        match self.framing.feed(bytes) {
            Ok(taken) => {
                self.held.extend_from_slice(&bytes[taken..]);
                buf.set_filled(start + taken);
            }
            Err(bad) => {
                self.client.refuse(bad.into());
                buf.set_filled(start);
                return Poll::Pending;
            }
        }
        if began && self.framing.in_head() {
            self.client.head_began();
        }
        self.client.between.set(self.framing.is_between());
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buf.filled().len();
        let next_must_wait = this.framing.is_between() && this.client.in_exchange();
        if this.held.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let n = buf.filled().len() - start;
            if n == 0 {
                this.client.closes();
                return Poll::Ready(Ok(()));
            }
            add(&this.client.tally().bytes_in, n as u64);
            if next_must_wait {
                this.held.extend_from_slice(&buf.filled()[start..]);
                buf.set_filled(start);
                return Poll::Pending;
            }
        } else {
            if next_must_wait {
                return Poll::Pending;
            }
            let n = this.held.len().min(buf.remaining());
            buf.put_slice(&this.held[..n]);
            this.held.drain(..n);
        }
        this.deliver(buf, start)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.client.in_exchange() {
            return Poll::Ready(Ok(bufs.iter().map(|b| b.len()).sum()));
        }
        if this.client.expects_continue()
            && bufs.first().is_some_and(|buf| buf.starts_with(CONTINUE))
        {
            return Poll::Ready(Ok(CONTINUE.len()));
        }
        ready!(this.inform(cx))?;
        let Poll::Ready(written) = write::poll_write(&mut this.stream, cx, bufs) else {
            if this.drain.goes_on(this.stream.tcp(), &this.client.watch) {
                this.client.answer_moved();
            }
            this.client.poll_ahead(cx);
            return Poll::Pending;
        };
        let n = written?;
        add(&this.client.tally().bytes_out, n as u64);
        this.client.flow.wrote(n as u64);
        this.client.answer_moved();
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes when everything it has was written: if the answer is complete, it is out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.inform(cx))?;
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        let waits = matches!(
            this.client.watch.awaiting(),
            Awaiting::Queue | Awaiting::Connect
        );
        if waits && this.has_left() {
            this.client.leave();
            return Poll::Ready(Ok(()));
        }
        let awaited = this.client.written();
        if awaited || this.client.answer_is_out() && !this.held.is_empty() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    /// How a connection ends is for `conn` to say: it may want to refuse, or to linger.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
