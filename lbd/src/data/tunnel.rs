//! A tunnel: what either side sends is passed on to the other, until both have said their end, one
//! of them breaks, or both are silent for too long.
//!
//! A side that ends its sending may go on receiving. Nothing is held while nothing moves: reading
//! goes into a buffer of the thread's, bulk through pipes of the thread's.

mod flow;
mod pipe;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::Interest;
use tokio::time::{Instant, sleep_until};

use self::flow::{Broke, Flow};
use self::pipe::Pipes;
pub(super) use self::stream::Stream;
use super::linger::{self, Unread};
use super::socket::Socket;
use crate::access_log::{self, Phase, Termination};
use crate::state::{FrontendRecord, Server, ThreadId, add};

/// How much is read at once until a flow counts as bulk. As HAProxy's `tune.bufsize`.
const SCRATCH: usize = 16 * 1024;

/// What the tunnels of a thread share.
#[derive(Debug)]
pub(super) struct Tools {
    scratch: RefCell<Box<[u8]>>,
    pipes: Pipes,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            pipes: Pipes::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Counts the bytes of one tunnel as they move.
#[derive(Debug)]
pub(super) struct Meter {
    thread: ThreadId,
    frontend: Arc<FrontendRecord>,
    server: Arc<Server>,
    from_client: Cell<u64>,
    from_server: Cell<u64>,
    /// Sides whose bytes are counted elsewhere, with all that goes on their connections.
    elsewhere: Cell<[bool; 2]>,
    /// Something moved since it was last asked.
    moved: Cell<bool>,
}

impl Meter {
    pub(super) fn new(
        thread: ThreadId,
        frontend: Arc<FrontendRecord>,
        server: Arc<Server>,
    ) -> Self {
        Self {
            thread,
            frontend,
            server,
            from_client: Cell::new(0),
            from_server: Cell::new(0),
            elsewhere: Cell::default(),
            moved: Cell::new(false),
        }
    }

    /// What was read from the server in the tunnel so far.
    pub(super) fn server_bytes(&self) -> u64 {
        self.from_server.get()
    }

    fn read(&self, from: Side, n: usize) {
        self.moved.set(true);
        let n = n as u64;
        let passed = match from {
            Side::Client => &self.from_client,
            Side::Server => &self.from_server,
        };
        passed.set(passed.get() + n);
        match from {
            _ if self.elsewhere.get()[from as usize] => {}
            Side::Client => add(&self.frontend.tallies.of(self.thread).bytes_in, n),
            Side::Server => add(&self.server.tally(self.thread).bytes_out, n),
        }
    }

    fn wrote(&self, to: Side, n: usize) {
        self.moved.set(true);
        match to {
            _ if self.elsewhere.get()[to as usize] => {}
            Side::Client => add(&self.frontend.tallies.of(self.thread).bytes_out, n as u64),
            Side::Server => add(&self.server.tally(self.thread).bytes_in, n as u64),
        }
    }
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Both sides ended what they sent, `first` before the other.
    Closed { first: Side },
    /// Its connection was reset or failed.
    Broken(Side),
    /// Nothing moved for as long as a tunnel may be silent.
    Silent,
    /// An operator closed it.
    Killed,
}

/// The end of a tunnel, to be told to both sides by [`End::tell`].
#[derive(Debug)]
#[must_use]
pub(super) struct End {
    cause: Cause,
    /// What the client sent reached the server to its end.
    up_ended: bool,
    /// What the server sent reached the client to its end.
    down_ended: bool,
}

/// What one side of a tunnel speaks and hears on.
#[derive(Debug)]
pub(super) enum Channel {
    Socket(Socket),
    Stream(Box<Stream>),
}

impl Channel {
    /// Takes what has come while there is no room for it, where that must not be left to lie.
    fn poll_ahead(&self, cx: &mut Context<'_>) {
        match self {
            Self::Socket(_) => {}
            Self::Stream(stream) => stream.poll_ahead(cx),
        }
    }

    /// Waits until it has failed.
    async fn failed(&self) {
        match self {
            Self::Socket(socket) => drop(socket.tcp().ready(Interest::ERROR).await),
            Self::Stream(stream) => poll_fn(|cx| stream.poll_broken(cx)).await,
        }
    }

    /// Closes it so that its peer learns that something is missing.
    fn reset(self) {
        if let Self::Socket(socket) = self {
            linger::reset(socket);
        }
    }
}

/// Two sides to join.
#[derive(Debug)]
pub(super) struct Tunnel<'a> {
    pub(super) client: &'a Channel,
    pub(super) server: &'a Channel,
    /// Read already, and counted where they were read.
    pub(super) from_client: Bytes,
    pub(super) from_server: Bytes,
    pub(super) silence: Silence,
}

/// How long nothing may move in either direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    /// While both sides may send.
    pub(super) open: Duration,
    /// Once the client has ended what it sends: the server's last word is waited for.
    pub(super) after_client: Duration,
    /// Once the server has: a client that never closes would hold its session.
    pub(super) after_server: Duration,
}

impl Silence {
    /// However one side ended, the other may be silent for as long as before: what it is about, only
    /// the two of them know.
    pub(super) fn even(self) -> Self {
        Self {
            after_client: self.open,
            after_server: self.open,
            ..self
        }
    }

    fn after(self, first: Option<Side>) -> Duration {
        match first {
            None => self.open,
            Some(Side::Client) => self.after_client.min(self.open),
            Some(Side::Server) => self.after_server.min(self.open),
        }
    }
}

impl Tunnel<'_> {
    /// Passes on until the end. Dropping the future leaves both sockets as they are.
    pub(super) async fn relay(self, tools: &Tools, meter: &Meter) -> End {
        let (client, server) = (self.client, self.server);
        meter
            .elsewhere
            .set([client, server].map(|side| matches!(side, Channel::Stream(_))));
        let (on_client, on_server) = ((Side::Client, client), (Side::Server, server));
        let mut up = Flow::new(on_client, on_server, self.from_client, tools, meter);
        let mut down = Flow::new(on_server, on_client, self.from_server, tools, meter);
        let mut client_failed = pin!(client.failed());
        let mut server_failed = pin!(server.failed());
        let mut deadline = Instant::now() + self.silence.open;
        let mut timer = pin!(sleep_until(deadline));
        let mut first = None;
        let cause = poll_fn(|cx| {
            let was_open = first.is_none();
            for flow in [&mut up, &mut down] {
                flow.poll(cx);
                first = first.or(flow.source_if_ended());
            }
            if let Some(cause) = over(&up, &down, first) {
                return Poll::Ready(cause);
            }
            // Nobody reads from a side whose receiver is slow, or that has ended what it sends; that
            // it broke shows here alone.
            if !up.is_reading() && client_failed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Cause::Broken(Side::Client));
            }
            if !down.is_reading() && server_failed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Cause::Broken(Side::Server));
            }
            let ended = was_open && first.is_some();
            if meter.moved.take() || ended {
                deadline = Instant::now() + self.silence.after(first);
            }
            if ended {
                timer.as_mut().reset(deadline);
            }
            while timer.as_mut().poll(cx).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(Cause::Silent);
                }
                timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await;
        End {
            cause,
            up_ended: up.source_if_ended().is_some(),
            down_ended: down.source_if_ended().is_some(),
        }
    }
}

/// Why nothing more can be passed on, if nothing can.
fn over(up: &Flow<'_>, down: &Flow<'_>, first: Option<Side>) -> Option<Cause> {
    let broke = [up, down].into_iter().find_map(Flow::broke);
    match broke {
        // What a sender that broke still had to say is lost.
        Some(Broke::Reading(side)) => Some(Cause::Broken(side)),
        // A receiver that broke may have said its last word before; that is passed on first, and
        // reading it never waits.
        Some(Broke::Writing(side)) => {
            (up.is_over() && down.is_over()).then_some(Cause::Broken(side))
        }
        None if up.is_over() && down.is_over() => first.map(|first| Cause::Closed { first }),
        None => None,
    }
}

impl End {
    /// Neither side got everything.
    pub(super) const KILLED: Self = Self {
        cause: Cause::Killed,
        up_ended: false,
        down_ended: false,
    };

    /// How the access log has it.
    pub(super) fn termination(&self) -> Termination {
        let by = match self.cause {
            Cause::Closed { .. } => return Termination::NORMAL,
            Cause::Broken(Side::Client) => access_log::Cause::Client,
            Cause::Broken(Side::Server) => access_log::Cause::Server,
            // The server had said its last word, and the client did not close.
            Cause::Silent if self.down_ended => access_log::Cause::ClientTimeout,
            Cause::Silent => access_log::Cause::ServerTimeout,
            Cause::Killed => access_log::Cause::Killed,
        };
        Termination::at(by, Phase::Data)
    }

    /// Closes both sides so that each learns whether it got everything: a clean end where it did, a
    /// reset where it did not. The tunnel's session is over before this.
    pub(super) async fn tell(self, client: Channel, server: Channel) {
        if !self.up_ended {
            server.reset();
        }
        if !self.down_ended {
            client.reset();
        } else if let Channel::Socket(client) = client
            && !self.up_ended
        {
            linger::close(client, Unread::Something).await;
        }
    }
}

#[cfg(test)]
mod tests;
