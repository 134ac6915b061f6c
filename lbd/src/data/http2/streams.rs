//! The open streams of a connection, and what they and the connection tell each other.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::SendStream;
use slab::Slab;
use tokio::time::Instant;

use super::PATIENCE;
use super::budget::Budget;
use super::frames::Frames;
use super::stream::{Lost, look};
use crate::access_log::Cause;
use crate::data::client::Client;
use crate::data::watch::{Awaiting, Look};

pub(super) struct Streams {
    /// The connection's own: its watch bounds how long it may be without a stream.
    pub(super) client: Rc<Client>,
    open: RefCell<Slab<Rc<Client>>>,
    /// Streams whose answers are complete but may not be out yet.
    answered: RefCell<Vec<Rc<Client>>>,
    /// The socket takes nothing now.
    pub(super) stuck: Cell<bool>,
    /// How often all that was to be sent has been.
    flushes: Cell<u64>,
    /// Streams that wait for that.
    waiting: Cell<u32>,
    pub(super) frames: Frames,
    pub(super) budget: Budget,
    begun: Cell<bool>,
    /// A deadline of a stream may have come nearer.
    sooner: Cell<bool>,
    /// Heads seen at the last look.
    heads: Cell<u64>,
    /// As [`Thread::kills`] was at the last look.
    ///
    /// [`Thread::kills`]: crate::data::thread::Thread::kills
    kills: Cell<u64>,
    /// No stream is waited for beyond what is open.
    leaving: Cell<bool>,
}

/// A stream, from its head to its last frame.
pub(super) struct Stream {
    pub(super) streams: Rc<Streams>,
    pub(super) client: Rc<Client>,
    key: usize,
}

impl Streams {
    pub(super) fn new(client: Rc<Client>) -> Rc<Self> {
        Rc::new(Self {
            kills: Cell::new(client.thread.kills()),
            client,
            open: RefCell::default(),
            answered: RefCell::default(),
            stuck: Cell::new(false),
            flushes: Cell::new(0),
            waiting: Cell::new(0),
            frames: Frames::default(),
            budget: Budget::default(),
            begun: Cell::new(false),
            sooner: Cell::new(false),
            heads: Cell::new(0),
            leaving: Cell::new(false),
        })
    }

    pub(super) fn begin(self: &Rc<Self>) -> Stream {
        let client = self.client.of_stream();
        self.budget.began();
        self.begun.set(true);
        Stream {
            key: self.open.borrow_mut().insert(client.clone()),
            streams: self.clone(),
            client,
        }
    }

    /// h2 has sent what it could: where the socket did not hold it up, that was everything, for
    /// nobody gives it more than a client has room for.
    pub(super) fn polled(&self) {
        if self.stuck.get() {
            return;
        }
        self.flushes.set(self.flushes.get() + 1);
        for client in self.answered.borrow_mut().drain(..) {
            client.answer_is_out();
        }
        if self.waiting.get() > 0 {
            for (_, client) in self.open.borrow().iter() {
                client.wake();
            }
        }
    }

    /// The client goes on taking what was written, though its socket takes no more now.
    pub(super) fn moved(&self) {
        self.client.answer_moved();
        for (_, client) in self.open.borrow().iter() {
            client.answer_moved();
        }
    }

    /// Lets the connection look at deadlines now.
    pub(super) fn hurry(&self) {
        self.sooner.set(true);
        self.client.wake();
    }

    pub(super) fn take_sooner(&self) -> bool {
        self.sooner.take() | self.client.watch.is_sooner()
    }

    /// From now on the connection ends soon after its last stream.
    pub(super) fn bound_leaving(&self) {
        self.leaving.set(true);
        let now = Instant::now();
        self.client
            .watch
            .expect_from(now, Awaiting::Request, PATIENCE);
    }

    /// When to look, seen from `now`.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        let open = self.open.borrow();
        let streams = open.iter().map(|(_, client)| client.watch.next_look(now));
        let own = self.client.watch.next_look(now);
        streams.fold(own, Instant::min)
    }

    /// Looks at every stream's deadline, and takes note of what the connection waits for.
    pub(super) fn look(&self, now: Instant) -> Instant {
        let open = self.open.borrow();
        let mut next = now + super::LOOK;
        for (_, client) in open.iter() {
            match client.watch.look(now) {
                Look::Quiet(at) | Look::Moving(at) => next = next.min(at),
                Look::Expired(_) => {
                    client.watch.expire();
                    client.wake();
                }
            }
        }
        self.note(open.is_empty());
        self.budget.looked(self.frames.beside());
        next.min(self.client.watch.next_look(now))
    }

    /// Takes note of what the connection waits for.
    fn note(&self, is_idle: bool) {
        let watch = &self.client.watch;
        let heads = self.frames.heads();
        let came = self.heads.replace(heads) != heads;
        let in_head = self.frames.in_head();
        if is_idle && !self.answered.borrow().is_empty() {
            // The socket is what it waits for; h2 has it all.
            self.client.await_client();
            return;
        }
        if self.leaving.get() {
            // Whatever else it says, only streams keep it.
            watch.expect(Awaiting::Request, PATIENCE);
            if !is_idle {
                watch.moved();
            }
            return;
        }
        if in_head && watch.awaiting() != Awaiting::Head {
            self.client.head_began();
        } else if !in_head && heads > 0 {
            self.client.await_request();
        }
        if came || !in_head && !is_idle {
            watch.moved();
        }
    }

    /// Whether the client keeps us busy with what is no request.
    pub(super) fn is_flooded(&self) -> bool {
        self.budget.is_flooded(self.frames.beside())
    }

    /// Whether streams began since this was last asked.
    pub(super) fn take_begun(&self) -> bool {
        self.begun.take()
    }

    /// Has streams close their sessions where that is asked since the last time.
    pub(super) fn heed_kills(&self) {
        let kills = self.client.thread.kills();
        if self.kills.replace(kills) == kills {
            return;
        }
        for (_, client) in self.open.borrow().iter() {
            client.heed_kills();
        }
    }

    /// Ends what is left of a connection that is gone.
    pub(super) fn give_up(&self, cause: Cause) {
        for client in self.answered.take() {
            client.flow.will_be_cut(cause);
        }
        for (_, client) in self.open.borrow().iter() {
            client.flow.will_be_cut(cause);
            client.leave();
            client.wake();
        }
    }
}

impl Stream {
    /// h2 was given all of the answer.
    pub(super) fn answered(&self) {
        let mut answered = self.streams.answered.borrow_mut();
        answered.push(self.client.clone());
    }

    /// Waits until all that h2 was given is sent: a reset would overtake it.
    pub(super) async fn is_sent(&self, sends: &mut SendStream<Bytes>) -> Result<(), Lost> {
        let streams = &self.streams;
        let before = streams.flushes.get();
        streams.waiting.set(streams.waiting.get() + 1);
        let sent = poll_fn(|cx| {
            if streams.flushes.get() != before {
                return Poll::Ready(Ok(()));
            }
            let is_reset = sends.poll_reset(cx).is_ready();
            look(self, cx, is_reset)?;
            Poll::Pending
        });
        let sent = sent.await;
        streams.waiting.set(streams.waiting.get() - 1);
        sent
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = self.streams.open.borrow_mut();
        open.try_remove(self.key);
        if open.is_empty() && self.streams.leaving.get() {
            self.streams.hurry();
        }
    }
}
