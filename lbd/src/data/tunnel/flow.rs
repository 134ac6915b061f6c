//! One direction of a tunnel.
//!
//! Small messages are copied through the thread's buffer: a read and a write each. Once much came in
//! a row, the bytes stay in the kernel and go by splice(2), as with HAProxy's `option splice-auto`.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendFlags, send};
use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

use super::pipe::Lent;
use super::{Channel, Meter, Side, Stream, Tools};
use crate::data::socket::{Secure, Socket, receive};

/// How often one flow may read before others have their turn.
const ROUNDS: usize = 16;

#[derive(Debug)]
pub(super) struct Flow<'a> {
    source: (Side, &'a Channel),
    sink: (Side, &'a Channel),
    tools: &'a Tools,
    meter: &'a Meter,
    /// Read and not written yet; never both at a time.
    held: Bytes,
    pipe: Option<Lent<'a>>,
    pace: Pace,
    state: State,
    /// Waits for the receiver.
    stuck: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    /// The sender said its end; the receiver has not heard it yet.
    Ending,
    Ended,
    Broken(Broke),
}

/// Which end of a flow failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Broke {
    Reading(Side),
    Writing(Side),
}

impl<'a> Flow<'a> {
    /// `held` was read before, and goes first.
    pub(super) fn new(
        source: (Side, &'a Channel),
        sink: (Side, &'a Channel),
        held: Bytes,
        tools: &'a Tools,
        meter: &'a Meter,
    ) -> Self {
        Self {
            source,
            sink,
            tools,
            meter,
            held,
            pipe: None,
            pace: Pace::default(),
            state: State::Open,
            stuck: false,
        }
    }

    /// Passes on what there is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if self.is_over() {
            return;
        }
        if let Poll::Ready(state) = self.poll_state(cx) {
            self.state = state;
            self.stuck = false;
            self.pipe = None;
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Ended | State::Broken(_))
    }

    pub(super) fn broke(&self) -> Option<Broke> {
        match self.state {
            State::Broken(broke) => Some(broke),
            _ => None,
        }
    }

    /// Who sent, if the end of it has been passed on.
    pub(super) fn source_if_ended(&self) -> Option<Side> {
        matches!(self.state, State::Ended).then_some(self.source.0)
    }

    /// Would notice if the sender broke.
    pub(super) fn is_reading(&self) -> bool {
        !self.stuck && !self.is_over()
    }

    fn poll_state(&mut self, cx: &mut Context<'_>) -> Poll<State> {
        for _ in 0..ROUNDS {
            self.stuck = true;
            let Poll::Ready(written) = self.poll_write(cx) else {
                self.source.1.poll_ahead(cx);
                return Poll::Pending;
            };
            if written.is_err() {
                return Poll::Ready(State::Broken(Broke::Writing(self.sink.0)));
            }
            self.stuck = false;
            if matches!(self.state, State::Ending) {
                return self.poll_end(cx).map(|ended| match ended {
                    Ok(()) => State::Ended,
                    Err(_) => State::Broken(Broke::Writing(self.sink.0)),
                });
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => self.state = State::Ending,
                Ok(n) => self.pace.came(n),
                Err(_) => return Poll::Ready(State::Broken(Broke::Reading(self.source.0))),
            }
        }
        // Goes on when the others were served and the sockets were looked at.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        Poll::Pending
    }

    /// Tells the receiver that nothing more comes.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.sink.1 {
            Channel::Socket(Socket::Plain(tcp)) => {
                Poll::Ready(SockRef::from(tcp).shutdown(Shutdown::Write))
            }
            Channel::Socket(Socket::Tls(secure)) => secure.poll_shutdown(cx),
            Channel::Stream(stream) => Poll::Ready(stream.end()),
        }
    }

    /// Writes what was read before.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.sink.1 {
            Channel::Socket(Socket::Plain(to)) => self.poll_write_plain(cx, to),
            Channel::Socket(Socket::Tls(to)) => self.poll_write_secure(cx, to),
            Channel::Stream(to) => self.poll_write_stream(cx, to),
        }
    }

    fn poll_write_secure(&mut self, cx: &mut Context<'_>, to: &Secure) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let n = ready!(to.poll_write(cx, &self.held))?;
            self.meter.wrote(self.sink.0, n);
            self.held.advance(n);
        }
        self.held = Bytes::new();
        to.poll_flush(cx)
    }

    fn poll_write_stream(&mut self, cx: &mut Context<'_>, to: &Stream) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let n = ready!(to.poll_write(cx, &self.held))?;
            self.meter.wrote(self.sink.0, n);
            self.held.advance(n);
        }
        self.held = Bytes::new();
        Poll::Ready(Ok(()))
    }

    fn poll_write_plain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<()>> {
        let side = self.sink.0;
        while let Some(mut pipe) = self.pipe.take() {
            match to.try_io(Interest::WRITABLE, || pipe.drain(to)) {
                Ok(n) => self.meter.wrote(side, n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.pipe = Some(pipe);
                    ready!(to.poll_write_ready(cx))?;
                    continue;
                }
                Err(e) if is_unfit(&e) => {
                    self.pace.refuse();
                    self.held = pipe.copy_out()?.into();
                    continue;
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
            if !pipe.is_empty() {
                self.pipe = Some(pipe);
            }
        }
        while !self.held.is_empty() {
            match try_send(to, &self.held) {
                Ok(n) => {
                    self.meter.wrote(side, n);
                    self.held.advance(n);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => ready!(to.poll_write_ready(cx))?,
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        // An empty one may still hold on to its memory.
        self.held = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// Reads, and writes at once as much as the receiver takes. How much was read.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = match self.source.1 {
            Channel::Socket(Socket::Plain(from)) => self.poll_read_plain(cx, from),
            Channel::Socket(Socket::Tls(from)) => {
                self.poll_read_scratch(cx, |cx, buf| from.poll_read(cx, buf))
            }
            Channel::Stream(from) => self.poll_read_scratch(cx, |cx, buf| from.poll_read(cx, buf)),
        };
        if let Poll::Ready(Ok(n)) = read {
            self.meter.read(self.source.0, n);
        }
        read
    }

    fn poll_read_plain(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(from.poll_read_ready(cx))?;
            let pipe = match (self.sink.1, self.pace.is_bulk()) {
                (Channel::Socket(Socket::Plain(_)), true) => self.tools.pipes.lend(),
                _ => None,
            };
            let read = match pipe {
                Some(pipe) => self.try_splice(cx, from, pipe),
                None => self.try_copy(cx, from),
            };
            match read {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    fn poll_read_scratch(
        &mut self,
        cx: &mut Context<'_>,
        poll_read: impl FnOnce(&mut Context<'_>, &mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<usize>> {
        let tools = self.tools;
        let mut scratch = tools.scratch.borrow_mut();
        let mut buf = ReadBuf::new(&mut scratch);
        ready!(poll_read(cx, &mut buf))?;
        let read = buf.filled();
        self.offer(cx, read);
        Poll::Ready(Ok(read.len()))
    }

    fn try_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        mut pipe: Lent<'a>,
    ) -> io::Result<usize> {
        let read = from.try_io(Interest::READABLE, || pipe.fill(from));
        match &read {
            Ok(n) if *n > 0 => self.pipe = Some(pipe),
            Err(e) if is_unfit(e) => {
                self.pace.refuse();
                return self.try_copy(cx, from);
            }
            _ => {}
        }
        read
    }

    fn try_copy(&mut self, cx: &mut Context<'_>, from: &TcpStream) -> io::Result<usize> {
        let tools = self.tools;
        let mut scratch = tools.scratch.borrow_mut();
        let n = receive(from, &mut scratch)?;
        self.offer(cx, &scratch[..n]);
        Ok(n)
    }

    /// Writes what the receiver takes at once, and holds the rest.
    fn offer(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        let (side, to) = self.sink;
        // An error comes again, and is told then.
        let written = match to {
            Channel::Socket(Socket::Plain(to)) => try_send(to, bytes).unwrap_or(0),
            Channel::Socket(Socket::Tls(to)) => at_once(to.poll_write(cx, bytes)),
            Channel::Stream(to) => at_once(to.poll_write(cx, bytes)),
        };
        if written > 0 {
            self.meter.wrote(side, written);
        }
        if written < bytes.len() {
            self.held = Bytes::copy_from_slice(&bytes[written..]);
        }
    }
}

fn at_once(written: Poll<io::Result<usize>>) -> usize {
    match written {
        Poll::Ready(Ok(n)) => n,
        _ => 0,
    }
}

fn try_send(to: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    to.try_io(Interest::WRITABLE, || {
        Ok(retry_on_intr(|| send(to, bytes, SendFlags::NOSIGNAL))?)
    })
}

/// Errors of splice(2) that say it cannot be used here, not that a side broke.
fn is_unfit(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::PERM))
}

/// Whether a flow is bulk: pure.
#[derive(Debug, Default)]
struct Pace {
    large: u8,
    small: u8,
    bulk: bool,
    refused: bool,
}

impl Pace {
    /// A read of so much, and so many of them in a row, begin bulk.
    const LARGE: usize = super::SCRATCH;
    const BEGINS: u8 = 4;
    /// A read of less, and so many of them in a row, end it.
    const SMALL: usize = 4 * 1024;
    const ENDS: u8 = 4;

    fn came(&mut self, n: usize) {
        self.large = if n >= Self::LARGE {
            self.large.saturating_add(1)
        } else {
            0
        };
        self.small = if n < Self::SMALL {
            self.small.saturating_add(1)
        } else {
            0
        };
        if self.large >= Self::BEGINS {
            self.bulk = true;
        } else if self.small >= Self::ENDS {
            self.bulk = false;
        }
    }

    fn is_bulk(&self) -> bool {
        self.bulk && !self.refused
    }

    /// These sockets cannot be spliced.
    fn refuse(&mut self) {
        self.refused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_begins_and_ends_with_several_reads_in_a_row() {
        let mut pace = Pace::default();
        for n in [16_384, 16_384, 16_384, 100, 16_384] {
            pace.came(n);
        }
        assert!(!pace.is_bulk());
        for n in [16_384, 16_384, 16_384, 8_000, 100, 100, 100, 262_144, 100] {
            pace.came(n);
        }
        assert!(pace.is_bulk());
        for _ in 0..4 {
            pace.came(100);
        }
        assert!(!pace.is_bulk());
    }
}
