//! One message after the other between a client and us: what the parts of a request share. On a
//! connection of HTTP/1 they follow each other; HTTP/2 has one of these for each of its streams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::Deref;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use http::header::EXPECT;
use http::{Request, StatusCode, Version};
use lb_proto::config::{self, ClientTimeouts};
use tokio::time::Instant;

use super::account::Account;
use super::decode::Head;
use super::fault::Fault;
use super::headers;
use super::inflow::Inflow;
use super::lease::Lease;
use super::link::Link;
use super::trace::{self, Flow};
use super::tunnel::Silence;
use super::upgrade::Upgrade;
use super::watch::{Awaiting, Watch};
use crate::access_log::Termination;
use crate::state::add;

/// Informational responses kept for a client that does not take them, in bytes, beyond the last.
const MOST_INFORMED: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Client {
    pub(super) link: Rc<Link>,
    pub(super) watch: Watch,
    pub(super) flow: Rc<Flow>,
    timeouts: Cell<ClientTimeouts>,
    /// No part of a request is unread.
    pub(super) between: Cell<bool>,
    /// From the call of the service until the answer is out.
    exchange: Cell<bool>,
    /// The account of an answer that is complete but not out yet.
    answered: RefCell<Option<Box<Account>>>,
    /// The version of the request, and whether it waits to be told to go on (RFC 9110, 10.1.1).
    version: Cell<Version>,
    expects_continue: Cell<bool>,
    /// Informational responses that are to be written.
    informed: RefCell<Vec<Head>>,
    /// The protocol that the connection goes over to.
    upgrade: RefCell<Option<Upgrade>>,
    refused: Cell<Option<Fault>>,
    /// The answer's end is the connection's end (RFC 9112, 6.3): only a reset shows that it is cut.
    unframed: Cell<bool>,
    /// hyper was given some of an answer that it has not written yet.
    unwritten: Cell<bool>,
    /// What comes of the answer, where it comes on a stream of HTTP/2.
    inflow: RefCell<Weak<RefCell<Inflow>>>,
    /// Somebody waits for that to be written.
    wants_written: Cell<bool>,
    /// The answer's body was given up before its end, or nobody is there to take it.
    abandoned: Cell<bool>,
    /// It sends nothing more.
    closed: Cell<bool>,
    /// It has asked for something.
    served: Cell<bool>,
    /// The uid of the server that it has a session on; 0: of none.
    session: Cell<u64>,
    waker: RefCell<Waker>,
}

impl Deref for Client {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Client {
    pub(super) fn new(link: Rc<Link>, timeouts: ClientTimeouts) -> Rc<Self> {
        Rc::new(Self {
            flow: Flow::new(link.peer),
            link,
            watch: Watch::new(Awaiting::Request, timeouts.request, Instant::now()),
            timeouts: Cell::new(timeouts),
            between: Cell::new(true),
            exchange: Cell::new(false),
            answered: RefCell::new(None),
            version: Cell::new(Version::HTTP_11),
            expects_continue: Cell::new(false),
            informed: RefCell::default(),
            upgrade: RefCell::new(None),
            refused: Cell::new(None),
            unframed: Cell::new(false),
            unwritten: Cell::new(false),
            inflow: RefCell::default(),
            wants_written: Cell::new(false),
            abandoned: Cell::new(false),
            closed: Cell::new(false),
            served: Cell::new(false),
            session: Cell::new(0),
            waker: RefCell::new(Waker::noop().clone()),
        })
    }

    /// For a stream of this connection.
    pub(super) fn of_stream(&self) -> Rc<Self> {
        let client = Self::new(self.link.clone(), self.timeouts.get());
        client.await_client();
        client
    }

    pub(super) fn note_inflow(&self, inflow: &Rc<RefCell<Inflow>>) {
        self.inflow.replace(Rc::downgrade(inflow));
    }

    /// To be called while there is no room for the answer here: takes what has come of it, where that must not
    /// be left to lie.
    pub(super) fn poll_ahead(&self, cx: &mut Context<'_>) {
        if let Some(inflow) = self.inflow.borrow().upgrade() {
            inflow.borrow_mut().poll_ahead(cx);
        }
    }

    /// The connection is without a request.
    pub(super) fn await_request(&self) {
        self.watch
            .expect(Awaiting::Request, self.timeouts.get().keep_alive);
    }

    /// How long a tunnel to this backend may be silent.
    pub(super) fn tunnel_silence(&self, backend: &config::Backend) -> Silence {
        let timeouts = self.timeouts.get();
        Silence {
            open: backend.timeouts.tunnel_from(&timeouts),
            after_client: backend.timeouts.server,
            after_server: timeouts.client,
        }
    }

    /// The service was called with a request of this frontend.
    pub(super) fn begin_exchange<B>(&self, request: &Request<B>, timeouts: ClientTimeouts) {
        self.version.set(request.version());
        self.expects_continue
            .set(request.headers().contains_key(EXPECT));
        self.exchange.set(true);
        self.served.set(true);
        self.timeouts.set(timeouts);
    }

    /// Of the request.
    pub(super) fn version(&self) -> Version {
        self.version.get()
    }

    pub(super) fn in_exchange(&self) -> bool {
        self.exchange.get()
    }

    /// The first byte of a head has come.
    pub(super) fn head_began(&self) {
        if self.thread.journal.is_on() {
            self.flow.head_began(std::time::Instant::now());
        }
        self.watch
            .expect(Awaiting::Head, self.timeouts.get().request);
    }

    /// It is the client's turn to send or to take.
    pub(super) fn await_client(&self) {
        self.watch
            .expect(Awaiting::Client, self.timeouts.get().client);
    }

    /// The client took some of the answer.
    pub(super) fn answer_moved(&self) {
        if self.watch.awaiting() == Awaiting::Client {
            self.watch.moved();
        }
    }

    /// The client may be told to go on: by the server, not by hyper.
    pub(super) fn expects_continue(&self) -> bool {
        self.expects_continue.get()
    }

    /// Passes on an informational response; a client that does not take them in time misses some.
    pub(super) fn inform(&self, mut head: Head) {
        let mut informed = self.informed.borrow_mut();
        let held: usize = informed.iter().map(Head::size).sum();
        if self.version.get() >= Version::HTTP_11 && held < MOST_INFORMED {
            headers::prepare_response(&mut head.headers, head.status, false);
            informed.push(head);
        }
    }

    /// Those that are to be passed on now.
    pub(super) fn take_informed(&self) -> Vec<Head> {
        self.informed.take()
    }

    /// The answer to the request is the last: another protocol follows.
    pub(super) fn switch(&self, upgrade: Upgrade) {
        self.upgrade.replace(Some(upgrade));
    }

    pub(super) fn take_upgrade(&self) -> Option<Upgrade> {
        self.upgrade.take()
    }

    /// The answer has no length of its own.
    pub(super) fn answer_is_unframed(&self) {
        self.unframed.set(true);
    }

    pub(super) fn is_unframed(&self) -> bool {
        self.unframed.get()
    }

    /// hyper is about to be given some of an answer.
    pub(super) fn gives(&self) {
        self.unwritten.set(true);
    }

    /// Whether all that hyper was given is written. If it is not, the connection is polled again
    /// when it is.
    pub(super) fn is_written(&self) -> bool {
        self.wants_written.set(self.unwritten.get());
        !self.unwritten.get()
    }

    /// hyper has written all it has; true: somebody waited for that.
    pub(super) fn written(&self) -> bool {
        self.unwritten.set(false);
        self.wants_written.take()
    }

    /// The answer is complete; the account closes when it is out.
    pub(super) fn answered(&self, account: Box<Account>) {
        self.await_client();
        self.answered.replace(Some(account));
    }

    /// The answer's body was given up before its end: nothing can follow it.
    pub(super) fn answer_abandoned(&self) {
        self.abandoned.set(true);
    }

    /// The client has gone away.
    pub(super) fn leave(&self) {
        self.abandoned.set(true);
    }

    /// Its connection has ended on its side, which may be in the middle of a request.
    pub(super) fn closes(&self) {
        self.closed.set(true);
    }

    /// Whether that is so; then it has gone away.
    pub(super) fn leave_if_closed(&self) -> bool {
        if self.closed.get() {
            self.leave();
        }
        self.closed.get()
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }

    /// All that was to be written is written: if the answer was complete, it is out now.
    pub(super) fn answer_is_out(&self) -> bool {
        let Some(account) = self.answered.take() else {
            return false;
        };
        account.complete();
        drop(account);
        self.has_session(None);
        self.watch.spare();
        self.exchange.set(false);
        self.await_request();
        true
    }

    /// A head that was refused, or never came whole, is counted as a request is.
    pub(super) fn count_bad_request(&self, fault: Option<Fault>) {
        let tally = self.tally();
        add(&tally.requests_total, 1);
        let status = fault.map(|fault| fault.status().as_u16());
        tally.responses.count(status);
        if let Some(fault) = fault {
            tally.errors.count(fault.reason() as usize);
        }
    }

    /// It has a line in the access log.
    pub(super) fn log_bad_request(&self, status: Option<StatusCode>, end: Termination, bytes: u64) {
        if self.thread.journal.is_on()
            && let Some(place) = self.thread.place(self.listener)
        {
            let frontend = &place.view.snapshot.frontends[place.frontend];
            trace::write_bad_request(
                &self.flow,
                &self.thread.journal,
                frontend,
                status,
                end,
                bytes,
            );
        }
    }

    /// The head that is coming in is not one to read any further.
    pub(super) fn refuse(&self, fault: Fault) {
        self.refused.set(Some(fault));
    }

    pub(super) fn take_refused(&self) -> Option<Fault> {
        self.refused.take()
    }

    /// It has a session there from now on, or none.
    pub(super) fn has_session(&self, lease: Option<&Lease>) {
        self.session
            .set(lease.map_or(0, |lease| lease.server().uid));
    }

    /// Takes note where its session is on a server whose sessions are closed.
    pub(super) fn heed_kills(&self) {
        let session = self.session.get();
        if session != 0 && self.thread.view().is_killed(session) {
            self.watch.kill();
        }
        self.wake();
    }

    /// Waits until its session is to be closed.
    pub(super) async fn killed(&self) {
        poll_fn(|cx| {
            self.set_waker(cx);
            match self.watch.take_killed() || self.thread.is_cutting() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Lets the connection look at what changed around it.
    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.between.get() && !self.exchange.get() && self.watch.awaiting() == Awaiting::Request
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.is_idle() && self.served.get() && self.thread.is_stopping()
    }

    pub(super) fn set_waker(&self, cx: &Context<'_>) {
        self.waker.borrow_mut().clone_from(cx.waker());
    }
}
