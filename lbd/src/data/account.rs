//! The account of a request, or of a connection in mode tcp: opened with its head, closed when its
//! last byte was passed on or somebody gave up. Whatever happens to it, dropping the account closes
//! it once, and writes its line in the access log.

use std::cell::RefCell;
use std::rc::Rc;

use http::{Request, StatusCode};
use lb_proto::config::Mode;

use super::client::Client;
use super::fault::Fault;
use super::lease::Lease;
use super::outcome::Outcome;
use super::span;
use super::sticky::Visit;
use super::thread::Thread;
use super::trace::Trace;
use super::view::View;
use crate::access_log::{Cause, Phase, Termination};
use crate::state::{Ahead, FrontendTally, add};
use crate::traces::Span;

#[derive(Debug)]
pub(super) struct Account {
    thread: Rc<Thread>,
    view: Rc<View>,
    frontend: usize,
    /// The session that is part of it, once a server was picked.
    pub(super) lease: Option<Lease>,
    /// What a stickiness cookie did for it.
    pub(super) cookie: Visit,
    outcome: Outcome,
    /// `None`: it is not logged, and has no span.
    trace: Option<Box<RefCell<Trace>>>,
}

impl Account {
    pub(super) fn open<B>(
        client: &Client,
        view: Rc<View>,
        frontend: usize,
        request: &Request<B>,
        span: Option<Box<Span>>,
    ) -> Box<Self> {
        let traced = span.is_some();
        let trace = |outcome: &Outcome| Trace::of_request(outcome, request, span);
        Self::begin(client, view, frontend, traced, trace)
    }

    /// That of a connection in mode tcp.
    pub(super) fn of_connection(client: &Client, view: Rc<View>, frontend: usize) -> Box<Self> {
        Self::begin(client, view, frontend, false, Trace::of_connection)
    }

    fn begin(
        client: &Client,
        view: Rc<View>,
        frontend: usize,
        traced: bool,
        trace: impl FnOnce(&Outcome) -> Trace,
    ) -> Box<Self> {
        let thread = client.thread.clone();
        let outcome = Outcome::begin(&client.flow);
        let trace =
            (thread.journal.is_on() || traced).then(|| Box::new(RefCell::new(trace(&outcome))));
        let account = Box::new(Self {
            thread,
            view,
            frontend,
            lease: None,
            cookie: Visit::NONE,
            outcome,
            trace,
        });
        add(&account.tally().requests_total, 1);
        add(&account.tally().sessions, 1);
        account
    }

    pub(super) fn view(&self) -> &Rc<View> {
        &self.view
    }

    /// It is for this backend.
    pub(super) fn routed(&self, backend: usize) {
        self.note(|trace| {
            trace.routed(backend);
            self.view.snapshot.backends[backend].pool.request_began();
        });
    }

    /// It waits for a server with room.
    pub(super) fn waits(&self, ahead: Ahead) {
        self.outcome.waits();
        self.note(|trace| trace.waits(ahead));
    }

    /// Another server was leased, or none.
    pub(super) fn picked(&mut self) {
        let lease = self.lease.as_ref();
        let client = self.cookie.on(lease.map(Lease::position));
        let Some(lease) = lease else {
            return;
        };
        if let Some(client) = client {
            lease.server().saw_returning(client);
        }
        if let Some(before) = self.outcome.picked(lease.position()) {
            let tally = lease.server().tally(self.thread.id);
            add(&tally.retries, 1);
            add(&tally.redispatches, u64::from(before != lease.position()));
        }
        self.note(|trace| trace.picked(lease.position()));
    }

    /// A connection to the server is being made.
    pub(super) fn connecting(&self) {
        self.outcome.connecting();
        if let Some(lease) = &self.lease {
            add(&lease.server().tally(self.thread.id).connects, 1);
        }
        self.note(Trace::connecting);
    }

    /// There is one, be it one that was kept.
    pub(super) fn connected(&self) {
        let (now, was_there) = self.outcome.connected();
        if let Some(lease) = self.lease.as_ref().filter(|_| was_there) {
            add(&lease.server().tally(self.thread.id).reuses, 1);
        }
        self.note(|trace| trace.connected(now));
    }

    /// The head of the server's response has come.
    pub(super) fn answered(&self, status: StatusCode) {
        let answered = self.outcome.answered(status);
        self.tally().times.count(answered.since_asked);
        if let Some(lease) = &self.lease {
            let tally = lease.server().tally(self.thread.id);
            tally.responses.count(Some(status.as_u16()));
            tally.times.count(answered.since_sent);
        }
        self.note(|trace| trace.answered(answered.at));
    }

    /// A server is connected to a client in mode tcp.
    pub(super) fn relays(&self) {
        self.note(Trace::relays);
    }

    /// It cannot be finished.
    pub(super) fn cut(&self, by: Cause) {
        self.outcome.ends();
        self.note(|trace| trace.cut(by));
    }

    /// lbd answers with this status because it is configured to.
    pub(super) fn answers(&self, status: StatusCode) {
        let end = Termination::at(Cause::Local, Phase::Request);
        self.outcome.answers(status);
        self.note(|trace| trace.answers(end));
    }

    /// lbd answers because of this.
    pub(super) fn failed(&self, fault: Fault) {
        self.outcome.fails(fault);
        self.note(|trace| trace.answers(fault.termination(trace.phase())));
    }

    /// The connection was a tunnel; `bytes`: what the client got there.
    pub(super) fn tunnelled(&self, end: Termination, bytes: u64) {
        self.outcome.ends();
        self.outcome.flow.wrote(bytes);
        self.note(|trace| trace.tunnelled(end));
    }

    /// The client was sent the whole answer.
    pub(super) fn complete(&self) {
        self.outcome.complete();
    }

    /// A connect to the leased server failed.
    pub(super) fn connect_error(&self) {
        if let Some(lease) = &self.lease {
            add(&lease.server().tally(self.thread.id).connect_errors, 1);
            lease.failed(&self.thread);
        }
    }

    /// The leased server's response was bad, cut or late.
    pub(super) fn response_error(&self) {
        if let Some(lease) = &self.lease {
            add(&lease.server().tally(self.thread.id).response_errors, 1);
            lease.failed(&self.thread);
        }
    }

    /// The leased server answered that it cannot.
    pub(super) fn server_error(&self) {
        if let Some(lease) = &self.lease {
            lease.failed(&self.thread);
        }
    }

    /// Tells the access log and the span something, where there is one.
    fn note(&self, tell: impl FnOnce(&mut Trace)) {
        if let Some(trace) = &self.trace {
            tell(&mut trace.borrow_mut());
        }
    }

    /// It is one of mode tcp.
    fn is_connection(&self) -> bool {
        self.view.snapshot.frontends[self.frontend].config.mode == Mode::Tcp
    }

    fn tally(&self) -> &FrontendTally {
        self.view.snapshot.frontends[self.frontend]
            .record
            .tallies
            .of(self.thread.id)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let tally = self.tally();
        add(&tally.sessions, 1u64.wrapping_neg());
        let status = self.outcome.status();
        tally.responses.count(status.map(|status| status.as_u16()));
        // Whoever left before he was told had another reason. In mode tcp nobody is told anything.
        let told = status.is_some() || self.is_connection();
        if let Some(fault) = self.outcome.fault().filter(|_| told) {
            tally.errors.count(fault.reason() as usize);
        }
        let Some(trace) = &self.trace else {
            return;
        };
        let mut trace = trace.borrow_mut();
        let snapshot = &self.view.snapshot;
        trace.write(
            &self.outcome,
            self.cookie.flags(),
            &self.thread.journal,
            snapshot,
            self.frontend,
        );
        if let Some(span) = trace.span.take() {
            let span = span::end(span, &trace, &self.outcome, snapshot, self.frontend);
            self.thread.shared.spans.push(span);
        }
        if let Some(backend) = trace.backend {
            snapshot.backends[backend].pool.request_ended();
        }
    }
}
