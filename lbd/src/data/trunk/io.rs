//! A server's socket as h2 sees it: bytes are counted, its greeting is waited for, and empty frames are hidden.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::frames::Frames;
use crate::data::socket::Socket;
use crate::data::write;
use crate::state::{Server, ThreadId, add};

const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;

/// What those who drive a connection and those who use it tell each other.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Bytes that came so far.
    pub(super) received: Cell<u64>,
    /// Requests that are on it.
    pub(super) streams: Cell<usize>,
    /// It takes no more streams.
    pub(super) leaving: Cell<bool>,
    /// The server said what no connection outlives; how many requests were on it then.
    garbled: Cell<Option<usize>>,
    /// Nobody needs it any more.
    pub(super) released: Notify,
    greeting: Cell<Greeting>,
}

/// What came of the server's first frame, which has to be its settings (RFC 9113, 3.4).
#[derive(Debug, Clone, Copy, Default)]
struct Greeting {
    head: [u8; FRAME_HEAD],
    known: usize,
}

impl Pulse {
    /// Whether the first frame is here.
    pub(super) fn is_greeted(&self) -> bool {
        let Greeting { head, known } = self.greeting.get();
        let length = u64::from(u32::from_be_bytes([0, head[0], head[1], head[2]]));
        known == FRAME_HEAD && self.received.get() >= FRAME_HEAD as u64 + length
    }

    /// The server said what no connection outlives. Tells how many requests were on it.
    pub(super) fn garble(&self) -> usize {
        let streams = self.garbled.get().unwrap_or(self.streams.get());
        self.garbled.set(Some(streams));
        self.leaving.set(true);
        streams
    }

    pub(super) fn is_garbled(&self) -> bool {
        self.garbled.get().is_some()
    }

    fn came(&self, bytes: &[u8]) -> io::Result<()> {
        self.received.set(self.received.get() + bytes.len() as u64);
        let mut greeting = self.greeting.get();
        if greeting.known == FRAME_HEAD {
            return Ok(());
        }
        let n = (FRAME_HEAD - greeting.known).min(bytes.len());
        greeting.head[greeting.known..greeting.known + n].copy_from_slice(&bytes[..n]);
        greeting.known += n;
        self.greeting.set(greeting);
        match greeting.head {
            [_, _, _, SETTINGS, flags, 0, 0, 0, 0] if flags & 1 == 0 => Ok(()),
            _ if greeting.known < FRAME_HEAD => Ok(()),
            _ => Err(no_http2()),
        }
    }
}

fn no_http2() -> io::Error {
    let why = "it does not speak HTTP/2: `protocol` may be \"http1\"";
    io::Error::new(ErrorKind::InvalidData, why)
}

pub(super) struct TrunkIo {
    socket: Socket,
    server: Arc<Server>,
    thread: ThreadId,
    pulse: Rc<Pulse>,
    frames: Frames,
}

impl TrunkIo {
    pub(super) fn new(
        socket: Socket,
        server: Arc<Server>,
        thread: ThreadId,
        pulse: Rc<Pulse>,
    ) -> Self {
        Self {
            socket,
            server,
            thread,
            pulse,
            frames: Frames::new(Instant::now()),
        }
    }
}

impl AsyncRead for TrunkIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.frames.poll_read(buf, Instant::now, |buf| {
            let start = buf.filled().len();
            ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
            let came = &buf.filled()[start..];
            add(&this.server.tally(this.thread).bytes_out, came.len() as u64);
            Poll::Ready(this.pulse.came(came))
        })
    }
}

impl AsyncWrite for TrunkIo {
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
        let n = ready!(write::poll_write(&mut this.socket, cx, bufs))?;
        add(&this.server.tally(this.thread).bytes_in, n as u64);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_a_greeting_however_they_are_cut() {
        let greeting = [0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 1];
        for step in 1..greeting.len() {
            let pulse = Pulse::default();
            let mut sent = 0;
            for piece in greeting.chunks(step) {
                pulse.came(piece).unwrap();
                sent += piece.len();
                assert_eq!(pulse.is_greeted(), sent >= 15, "{sent} of {step}");
            }
        }
    }

    #[test]
    fn nothing_else_is() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            &[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0],
            &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 1],
            &[0, 0, 8, 6, 0, 0, 0, 0, 0],
        ] {
            assert!(Pulse::default().came(bytes).is_err(), "{bytes:?}");
        }
    }
}
