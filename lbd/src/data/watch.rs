//! What a request waits for and how long: one timer for all of a connection's deadlines.
//!
//! Everybody on the way of a request says whose silence is to be bounded by writing cells, without
//! asking the clock. The connection's driver (`conn`) alone owns a timer and looks every [`LOOK`];
//! silence is measured from the first look after the last sign of life, so a timeout comes at most
//! two looks late and never early. Waits in a queue and for a connection are exact.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::access_log::Cause;

/// How often a busy connection looks at its deadline, and how long an idle one keeps its buffers.
///
/// Not shorter than a data thread's tick: the runtime then always has an earlier timer, and need not
/// be woken (a system call) to learn of this one.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Longer than anything lasts; clocks have room for it.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Whose silence is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaiting {
    /// The client, to begin a request.
    Request,
    /// The client, to finish a request head.
    Head,
    /// A server with room.
    Queue,
    /// A connect to a server.
    Connect,
    /// The client, to send more of a body or to take more of an answer.
    Client,
    /// The server, to answer or to send more of the answer.
    Server,
    /// Nobody any more: an operator closes the session, or lbd stops.
    Nobody,
}

impl Awaiting {
    /// Whose silence it was, for the access log.
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Request | Self::Head | Self::Client => Cause::ClientTimeout,
            Self::Queue | Self::Connect | Self::Server => Cause::ServerTimeout,
            Self::Nobody => Cause::Killed,
        }
    }
}

#[derive(Debug)]
pub(super) struct Watch {
    awaiting: Cell<Awaiting>,
    timeout: Cell<Duration>,
    /// Something moved since the last look.
    moved: Cell<bool>,
    deadline: Cell<Instant>,
    sooner: Cell<bool>,
    looks: Cell<u32>,
    /// The deadline has passed, and one more look is due.
    warned: Cell<bool>,
    expired: Cell<bool>,
    killed: Cell<bool>,
}

/// The deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expired(pub(super) Awaiting);

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing moved, the deadline is ahead: look again then.
    Quiet(Instant),
    /// Something moved: look again then.
    Moving(Instant),
    Expired(Awaiting),
}

impl Watch {
    pub(super) fn new(awaiting: Awaiting, timeout: Duration, now: Instant) -> Self {
        Self {
            awaiting: Cell::new(awaiting),
            timeout: Cell::new(timeout),
            moved: Cell::new(false),
            deadline: Cell::new(now + timeout),
            sooner: Cell::new(false),
            looks: Cell::new(0),
            warned: Cell::new(false),
            expired: Cell::new(false),
            killed: Cell::new(false),
        }
    }

    /// From now on bounds the silence of `awaiting`; what it was bounded by already goes on.
    pub(super) fn expect(&self, awaiting: Awaiting, timeout: Duration) {
        if self.awaiting.replace(awaiting) != awaiting {
            self.timeout.set(timeout);
            self.moved.set(true);
        }
    }

    /// As [`Self::expect`], but counts from now, whatever was awaited: for what is rare enough to ask
    /// the clock, and to wake the runtime for.
    pub(super) fn expect_from(&self, now: Instant, awaiting: Awaiting, timeout: Duration) {
        self.awaiting.set(awaiting);
        self.timeout.set(timeout);
        self.moved.set(false);
        self.deadline.set(now + timeout);
        self.sooner.set(true);
    }

    /// Bounds nothing any more: whoever is there now has a timer of their own.
    pub(super) fn release(&self) {
        self.expect_from(Instant::now(), Awaiting::Client, NEVER);
    }

    /// Whether the deadline may have come nearer since this was last asked.
    pub(super) fn is_sooner(&self) -> bool {
        self.sooner.take()
    }

    /// A sign of life from whoever is awaited.
    pub(super) fn moved(&self) {
        self.moved.set(true);
    }

    pub(super) fn awaiting(&self) -> Awaiting {
        self.awaiting.get()
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline.get()
    }

    pub(super) fn look(&self, now: Instant) -> Look {
        self.looks.set(self.looks.get().wrapping_add(1));
        let moved = self.moved.take();
        if moved {
            self.deadline.set(now + self.timeout.get());
        }
        let warned = self.warned.replace(false);
        if now >= self.deadline.get() {
            let awaiting = self.awaiting.get();
            // Whoever takes bytes slowly has one more turn to show that it takes any.
            let takes = matches!(awaiting, Awaiting::Client | Awaiting::Server);
            if takes && !warned {
                self.warned.set(true);
                return Look::Quiet(now);
            }
            return Look::Expired(awaiting);
        }
        let next = self.next_look(now);
        if moved {
            Look::Moving(next)
        } else {
            Look::Quiet(next)
        }
    }

    /// How often was looked.
    pub(super) fn looks(&self) -> u32 {
        self.looks.get()
    }

    /// When to look, seen from `now`.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        self.deadline.get().min(now + LOOK)
    }

    /// Marks the deadline as passed, for whoever waits to see at its next poll.
    pub(super) fn expire(&self) {
        self.expired.set(true);
    }

    /// An operator closes the session, whatever its deadline.
    pub(super) fn kill(&self) {
        self.killed.set(true);
    }

    /// The session has ended by itself before that.
    pub(super) fn spare(&self) {
        self.killed.set(false);
    }

    pub(super) fn take_killed(&self) -> bool {
        self.killed.take()
    }

    /// Takes note that the deadline passed, if it did.
    pub(super) fn take_expired(&self) -> Option<Expired> {
        if self.take_killed() {
            return Some(Expired(Awaiting::Nobody));
        }
        self.expired.take().then(|| Expired(self.awaiting.get()))
    }

    /// Runs a future of the request until it is ready or the deadline passes.
    pub(super) async fn bound<T>(&self, future: impl Future<Output = T>) -> Result<T, Expired> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => match self.take_expired() {
                Some(expired) => Poll::Ready(Err(expired)),
                None => Poll::Pending,
            },
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_from_the_first_look_after_the_last_move() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let watch = Watch::new(Awaiting::Request, Duration::from_millis(1500), start);
        assert_eq!(watch.look(after(100)), Look::Quiet(after(1100)));
        watch.expect(Awaiting::Server, Duration::from_secs(2));
        assert_eq!(watch.look(after(1600)), Look::Moving(after(2600)));
        assert_eq!(watch.look(after(2700)), Look::Quiet(after(3600)));
        // Once more, for a server that takes bytes slowly.
        assert_eq!(watch.look(after(3600)), Look::Quiet(after(3600)));
        assert_eq!(watch.look(after(3600)), Look::Expired(Awaiting::Server));
    }
}
