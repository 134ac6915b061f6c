//! A stream of HTTP/2 as one side of a tunnel (RFC 8441): what DATA frames carry is what it says.
//! Dropped before its end, it is reset.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::SendStream;
use tokio::io::ReadBuf;

use crate::data::inflow::Inflow;

#[derive(Debug)]
pub(in crate::data) struct Stream {
    receives: RefCell<Inflow>,
    sends: RefCell<SendStream<Bytes>>,
    /// Received and not passed on yet.
    held: RefCell<Bytes>,
    has_ended: Cell<bool>,
}

impl Stream {
    pub(in crate::data) fn new(receives: Inflow, sends: SendStream<Bytes>) -> Self {
        Self {
            receives: RefCell::new(receives),
            sends: RefCell::new(sends),
            held: RefCell::default(),
            has_ended: Cell::new(false),
        }
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut receives = self.receives.borrow_mut();
        let mut held = self.held.borrow_mut();
        while held.is_empty() {
            match ready!(receives.poll_data(cx)) {
                Some(data) => *held = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = held.len().min(buf.remaining());
        buf.put_slice(&held[..n]);
        held.advance(n);
        Poll::Ready(Ok(()))
    }

    /// Takes what has come while there is no room for it.
    pub(super) fn poll_ahead(&self, cx: &mut Context<'_>) {
        self.receives.borrow_mut().poll_ahead(cx);
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut sends = self.sends.borrow_mut();
        sends.reserve_capacity(bytes.len());
        if sends.capacity() == 0 {
            match ready!(sends.poll_capacity(cx)) {
                Some(capacity) => capacity.map_err(broken)?,
                None => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            };
        }
        let n = sends.capacity().min(bytes.len());
        let data = Bytes::copy_from_slice(&bytes[..n]);
        sends.send_data(data, false).map_err(broken)?;
        Poll::Ready(Ok(n))
    }

    /// Ends what is sent.
    pub(super) fn end(&self) -> io::Result<()> {
        if self.has_ended.replace(true) {
            return Ok(());
        }
        let mut sends = self.sends.borrow_mut();
        sends.send_data(Bytes::new(), true).map_err(broken)
    }

    /// Ready when the peer has reset it, or its connection is gone.
    pub(super) fn poll_broken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.sends.borrow_mut().poll_reset(cx).map(drop)
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(ErrorKind::ConnectionReset, error)
}
