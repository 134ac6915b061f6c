//! The client's socket as h2 sees it: bytes are counted, frames followed.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::streams::Streams;
use crate::data::drain::Drain;
use crate::data::socket::Socket;
use crate::data::write;
use crate::state::add;

/// Frames of content that are read before the streams have their turn. h2 ends a connection on which much
/// more of small ones lie.
const MOST_AT_ONCE: u32 = 256;

pub(super) struct StreamIo {
    /// h2 does not give it back, and closing it takes a while.
    socket: Rc<RefCell<Socket>>,
    streams: Rc<Streams>,
    drain: Drain,
}

impl StreamIo {
    pub(super) fn new(socket: Rc<RefCell<Socket>>, streams: Rc<Streams>) -> Self {
        Self {
            socket,
            streams,
            drain: Drain::default(),
        }
    }
}

impl AsyncRead for StreamIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.streams.frames.contents() > MOST_AT_ONCE {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let start = buf.filled().len();
        ready!(Pin::new(&mut *self.socket.borrow_mut()).poll_read(cx, buf))?;
        let came = &buf.filled()[start..];
        add(&self.streams.client.tally().bytes_in, came.len() as u64);
        self.streams.frames.came(came);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamIo {
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
        let written = write::poll_write(&mut self.socket.borrow_mut(), cx, bufs);
        self.streams.stuck.set(written.is_pending());
        let Poll::Ready(written) = written else {
            let this = self.get_mut();
            let socket = this.socket.borrow();
            if this.drain.goes_on(socket.tcp(), &this.streams.client.watch) {
                this.streams.moved();
            }
            return Poll::Pending;
        };
        let n = written?;
        self.streams.client.answer_moved();
        self.streams.budget.sent(n);
        add(&self.streams.client.tally().bytes_out, n as u64);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.socket.borrow_mut()).poll_flush(cx);
        self.streams.stuck.set(flushed.is_pending());
        flushed
    }

    /// How a connection ends is for `linger` to say, when h2 is done with it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
