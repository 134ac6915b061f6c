//! What is known of a client connection; the parts of a request share it.

use std::cell::{Cell, RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use http::header::EXPECT;
use http::{HeaderValue, Request, StatusCode, Version};
use hyper::body::Incoming;
use lb_proto::config::{self, ClientTimeouts};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::account::Account;
use super::connect::Upstream;
use super::decode::Head;
use super::fault::Fault;
use super::lease::Lease;
use super::thread::{Place, Thread};
use super::trace::{self, Flow};
use super::tunnel::{Meter, Silence};
use super::upgrade::Upgrade;
use super::watch::{Awaiting, Watch};
use super::{encode, headers};
use crate::access_log::Termination;
use crate::proxy_protocol::{self, Addresses, Tlvs};
use crate::state::{FrontendRecord, FrontendTally, Server, add};

/// Informational responses kept for a client that does not take them, in bytes, beyond the last.
const MOST_INFORMED: usize = 16 * 1024;

/// What is known of a connection as long as it is open; the parts of a request share it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) thread: Rc<Thread>,
    /// The listener's uid.
    pub(super) listener: u64,
    /// Of the frontend that accepted it: counts its bytes.
    record: Arc<FrontendRecord>,
    pub(super) peer: SocketAddr,
    /// The peer's address as a field value.
    pub(super) address: HeaderValue,
    /// What it connected to: the address that is listened on, unless more is known.
    local: Cell<SocketAddr>,
    /// The port it connected to, as a field value.
    pub(super) port: HeaderValue,
    /// `https` under TLS, and where a PROXY header says so; else `http`.
    pub(super) scheme: HeaderValue,
    /// What else a PROXY header told, for servers.
    tlvs: Tlvs,
    /// A connection to a server that is this client's alone.
    private: RefCell<Option<Box<Upstream>>>,
    pub(super) watch: Watch,
    pub(super) flow: Rc<Flow>,
    timeouts: Cell<ClientTimeouts>,
    /// No part of a request is unread.
    pub(super) between: Cell<bool>,
    /// From the call of the service until the answer is out.
    exchange: Cell<bool>,
    /// The account of an answer that is complete but not out yet.
    answered: RefCell<Option<Account>>,
    /// The version of the request, and whether it waits to be told to go on (RFC 9110, 10.1.1).
    version: Cell<Version>,
    expects_continue: Cell<bool>,
    /// Informational responses that are to be written.
    informed: RefCell<Vec<u8>>,
    /// The protocol that the connection goes over to.
    upgrade: RefCell<Option<Upgrade>>,
    refused: Cell<Option<Fault>>,
    /// The answer's end is the connection's end (RFC 9112, 6.3): only a reset shows that it is cut.
    unframed: Cell<bool>,
    /// hyper was given some of an answer that it has not written yet.
    unwritten: Cell<bool>,
    /// Somebody waits for that to be written.
    wants_written: Cell<bool>,
    /// The answer's body was given up before its end, or nobody is there to take it.
    abandoned: Cell<bool>,
    /// It has asked for something.
    served: Cell<bool>,
    waker: RefCell<Waker>,
}

/// Where a connection comes from and leads to.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    /// Its address may be every address.
    pub(super) local: SocketAddr,
    pub(super) tlvs: Tlvs,
    /// It speaks TLS with us.
    pub(super) tls: bool,
}

impl Client {
    pub(super) fn new(thread: Rc<Thread>, listener: u64, place: &Place, ends: Ends) -> Rc<Self> {
        let frontend = &place.view.snapshot.frontends[place.frontend];
        let timeouts = frontend.config.timeouts;
        let client = Rc::new(Self {
            thread,
            listener,
            record: frontend.record.clone(),
            peer: ends.peer,
            address: text_value(ends.peer.ip().to_canonical()),
            local: Cell::new(ends.local),
            port: text_value(ends.local.port()),
            scheme: HeaderValue::from_static(match ends.tls || ends.tlvs.say_tls() {
                true => "https",
                false => "http",
            }),
            tlvs: ends.tlvs,
            private: RefCell::new(None),
            flow: Flow::new(ends.peer),
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
            wants_written: Cell::new(false),
            abandoned: Cell::new(false),
            served: Cell::new(false),
            waker: RefCell::new(Waker::noop().clone()),
        });
        add(&client.tally().connections, 1);
        client
    }

    pub(super) fn tally(&self) -> &FrontendTally {
        self.record.tallies.of(self.thread.id)
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local.get()
    }

    /// Looks at where the socket leads, if a server may be told and it is not known.
    pub(super) fn note_local(&self, stream: &TcpStream) {
        if self.local().ip().is_unspecified()
            && self.thread.view().introduces
            && let Ok(local) = stream.local_addr()
        {
            self.local.set(local);
        }
    }

    /// What a server is sent first that is to know whose connection it is.
    pub(super) fn introduction(&self, server: &config::Server) -> Option<Vec<u8>> {
        let addresses = Addresses {
            source: self.peer,
            destination: self.local(),
        };
        let write = |version| proxy_protocol::write(version, addresses, &self.tlvs);
        server.send_proxy.map(write)
    }

    /// A kept connection to the leased server that can be used at once; see [`Pools::take`].
    ///
    /// [`Pools::take`]: super::pool::Pools::take
    pub(super) fn reuse(&self, lease: &Lease, recent: bool) -> Option<Upstream> {
        let (server, address) = (lease.server(), lease.address());
        if lease.config().send_proxy.is_none() {
            return self.thread.reuse(server, address, recent);
        }
        // A client that pauses gives it up, so it is always a recent one.
        let private = self.private.take()?;
        (private.leads_to(server, address) && private.is_quiet()).then_some(*private)
    }

    /// Keeps a connection to a server for a later request: any client's, or this one's alone.
    pub(super) fn keep(&self, server: &Server, mut upstream: Upstream) {
        match upstream.is_private() {
            true => {
                upstream.rest();
                self.private.replace(Some(Box::new(upstream)));
            }
            false => self.thread.keep(server, upstream),
        }
    }

    /// It is idle, and holds nothing but its socket.
    pub(super) fn parked(&self) {
        self.private.take();
        self.thread.parked();
    }

    /// Counts the bytes of a tunnel to this server.
    pub(super) fn meter(&self, server: &Arc<Server>) -> Meter {
        Meter::new(self.thread.id, self.record.clone(), server.clone())
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
    pub(super) fn begin_exchange(&self, request: &Request<Incoming>, timeouts: ClientTimeouts) {
        self.version.set(request.version());
        self.expects_continue
            .set(request.headers().contains_key(EXPECT));
        self.exchange.set(true);
        self.served.set(true);
        self.timeouts.set(timeouts);
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
        if self.version.get() == Version::HTTP_11 && informed.len() < MOST_INFORMED {
            headers::prepare_response(&mut head.headers, false);
            encode::informational(&mut informed, &head);
        }
    }

    pub(super) fn informed(&self) -> RefMut<'_, Vec<u8>> {
        self.informed.borrow_mut()
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
    pub(super) fn answered(&self, account: Account) {
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
        self.exchange.set(false);
        self.watch
            .expect(Awaiting::Request, self.timeouts.get().keep_alive);
        true
    }

    /// A head that was refused, or never came whole, in the access log.
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

impl Drop for Client {
    fn drop(&mut self) {
        add(&self.tally().connections, 1u64.wrapping_neg());
    }
}

fn text_value(value: impl ToString) -> HeaderValue {
    HeaderValue::try_from(value.to_string()).unwrap_or(HeaderValue::from_static(""))
}
