//! What became of a request, whether it is logged or not: when it was asked and sent, and the status that its client
//! got.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::trace::Flow;

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) flow: Rc<Flow>,
    /// Of the flow, before this request.
    written: u64,
    /// When the head was whole.
    pub(super) asked: Instant,
    sent: Cell<Option<Instant>>,
    /// It was not sent at once: it waited, was connected for, or is tried again.
    waited: Cell<bool>,
    /// Another server was picked, or the same again.
    picks: Cell<u32>,
    status: Cell<Option<StatusCode>>,
    ended: Cell<bool>,
    complete: Cell<bool>,
}

impl Outcome {
    pub(super) fn begin(flow: &Rc<Flow>) -> Self {
        Self {
            written: flow.written(),
            flow: flow.clone(),
            asked: Instant::now(),
            sent: Cell::new(None),
            waited: Cell::new(false),
            picks: Cell::new(0),
            status: Cell::new(None),
            ended: Cell::new(false),
            complete: Cell::new(false),
        }
    }

    pub(super) fn waits(&self) {
        self.waited.set(true);
    }

    /// A server was picked; true: it is not the first one.
    pub(super) fn picked(&self) -> bool {
        let before = self.picks.get();
        self.picks.set(before + 1);
        if before > 0 {
            self.waited.set(true);
        }
        before > 0
    }

    /// There is a connection to send it on. Gives the time, for which no clock is asked where nothing was waited for.
    pub(super) fn connected(&self) -> Instant {
        let now = match self.waited.get() {
            true => Instant::now(),
            false => self.asked,
        };
        self.sent.set(Some(now));
        now
    }

    /// The head of the server's response has come: when, and how long that took.
    pub(super) fn answered(&self, status: StatusCode) -> (Instant, Duration) {
        self.status.set(Some(status));
        let now = Instant::now();
        let sent = self.sent.get().unwrap_or(self.asked);
        (now, now.saturating_duration_since(sent))
    }

    /// lbd answers itself.
    pub(super) fn answers(&self, status: StatusCode) {
        self.status.set(Some(status));
        self.ended.set(true);
    }

    /// It ends otherwise than it should.
    pub(super) fn ends(&self) {
        self.ended.set(true);
    }

    /// The client was sent all of it.
    pub(super) fn complete(&self) {
        self.complete.set(true);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete.get()
    }

    /// Bytes that the client was sent for it.
    pub(super) fn bytes(&self) -> u64 {
        self.flow.written() - self.written
    }

    /// The status that the client was sent, as far as one was.
    pub(super) fn status(&self) -> Option<StatusCode> {
        let status = self.status.get();
        if self.ended.get() {
            return status.filter(|_| self.bytes() > 0);
        }
        if self.complete.get() {
            return status;
        }
        let refused = self.flow.refused();
        status.or(refused.map(|fault| fault.status()))
    }
}
