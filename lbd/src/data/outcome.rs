//! What became of a request, whether it is logged or not: when it was asked and sent, and the status that its client
//! got.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::fault::Fault;
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
    connecting: Cell<bool>,
    /// The position of the server that was picked last.
    server: Cell<Option<usize>>,
    status: Cell<Option<StatusCode>>,
    fault: Cell<Option<Fault>>,
    ended: Cell<bool>,
    complete: Cell<bool>,
}

/// When the head of a server's response came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub(super) at: Instant,
    /// Since the request's head was whole.
    pub(super) since_asked: Duration,
    /// Since it was sent to this server.
    pub(super) since_sent: Duration,
}

impl Outcome {
    pub(super) fn begin(flow: &Rc<Flow>) -> Self {
        Self {
            written: flow.written(),
            flow: flow.clone(),
            asked: Instant::now(),
            sent: Cell::new(None),
            waited: Cell::new(false),
            connecting: Cell::new(false),
            server: Cell::new(None),
            status: Cell::new(None),
            fault: Cell::new(None),
            ended: Cell::new(false),
            complete: Cell::new(false),
        }
    }

    pub(super) fn waits(&self) {
        self.waited.set(true);
    }

    /// A server was picked; gives the one before it, if there was one.
    pub(super) fn picked(&self, server: usize) -> Option<usize> {
        let before = self.server.replace(Some(server));
        self.connecting.set(false);
        if before.is_some() {
            self.waited.set(true);
        }
        before
    }

    /// A connection is to be made.
    pub(super) fn connecting(&self) {
        self.waited.set(true);
        self.connecting.set(true);
    }

    /// There is a connection to send it on. Gives the time, for which no clock is asked where nothing was waited for,
    /// and whether it was there before.
    pub(super) fn connected(&self) -> (Instant, bool) {
        let now = match self.waited.get() {
            true => Instant::now(),
            false => self.asked,
        };
        self.sent.set(Some(now));
        (now, !self.connecting.take())
    }

    /// The head of the server's response has come.
    pub(super) fn answered(&self, status: StatusCode) -> Answered {
        self.status.set(Some(status));
        let now = Instant::now();
        let sent = self.sent.get().unwrap_or(self.asked);
        Answered {
            at: now,
            since_asked: now.saturating_duration_since(self.asked),
            since_sent: now.saturating_duration_since(sent),
        }
    }

    /// lbd answers itself.
    pub(super) fn answers(&self, status: StatusCode) {
        self.status.set(Some(status));
        self.ended.set(true);
    }

    /// lbd answers because of this.
    pub(super) fn fails(&self, fault: Fault) {
        self.fault.set(Some(fault));
        self.answers(fault.status());
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

    /// Why lbd answers itself, if it does for a reason.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get().or_else(|| self.refused())
    }

    /// What was wrong with the bytes that came in the middle of the request, where that is what the client was told.
    fn refused(&self) -> Option<Fault> {
        let is_open = !self.ended.get() && !self.complete.get() && self.status.get().is_none();
        self.flow.refused().filter(|_| is_open)
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
        status.or(self.refused().map(Fault::status))
    }
}
