//! Connections to servers by HTTP/2: each carries many requests at once.
//!
//! A thread's requests share them; where the server is told whose a connection is (`send_proxy`), only
//! those of one client do. A task opens a connection and drives it to its end (`open`).

mod frames;
mod io;
mod open;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Error, SendStream};
use http::Request;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use self::io::Pulse;
use super::ByUid;
use super::client::Client;
use super::connect::{Destination, Way};
use super::fault::Fault;
use super::lease::Lease;

/// Streams on one connection, if the server allows as many; as HAProxy's
/// `tune.h2.be.max-concurrent-streams`. More go on another.
const MOST_STREAMS: usize = 100;

/// Ticks that a connection without a stream is kept, as one of HTTP/1.
const IDLE_TICKS: u32 = 20;

/// Ticks that requests to a server have connections of their own, after it said what ended all that were on one.
const APART_TICKS: u32 = 60;

/// How often a request waits for a connection that then has no room for it.
const MOST_ROUNDS: usize = 8;

/// A connection.
#[derive(Debug)]
pub(super) struct Trunk {
    sender: SendRequest<Bytes>,
    pulse: Rc<Pulse>,
    way: Way,
    is_secure: bool,
    /// The tick at which it was first seen without a stream.
    idle: Cell<Option<u32>>,
}

/// Room for one request on a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    trunk: Rc<Trunk>,
}

/// The connections that somebody has, by [`Server::uid`](crate::state::Server::uid).
#[derive(Debug, Default)]
pub(super) struct Trunks(ByUid<Group>);

/// Those to one server.
#[derive(Debug, Default)]
struct Group {
    open: Vec<Rc<Trunk>>,
    opening: Vec<Rc<Opening>>,
    /// Streams that the server took at once on the connection opened last, where there was one.
    most: Option<usize>,
    /// Ticks for which no two requests share a connection.
    apart: u32,
}

/// A connection that is being opened, for as many as may use it.
#[derive(Debug)]
struct Opening {
    way: Way,
    waiting: Cell<usize>,
    outcome: RefCell<Option<Result<Rc<Trunk>, Fault>>>,
    over: Notify,
}

impl Trunk {
    /// `most`: whatever it takes.
    fn has_room(&self, most: usize) -> bool {
        !self.pulse.leaving.get() && self.pulse.streams.get() < self.most().min(most)
    }

    /// Streams that go on it at once.
    fn most(&self) -> usize {
        self.sender.current_max_send_streams().min(MOST_STREAMS)
    }

    fn slot(self: &Rc<Self>) -> Slot {
        let streams = &self.pulse.streams;
        streams.set(streams.get() + 1);
        self.idle.set(None);
        Slot {
            trunk: self.clone(),
        }
    }

    /// Whether it is to be kept, at this tick.
    fn stays(&self, way: Way, now: u32) -> bool {
        let idles = match (self.pulse.streams.get(), self.idle.get()) {
            (0, Some(since)) => now.wrapping_sub(since) >= IDLE_TICKS,
            (0, None) => {
                self.idle.set(Some(now));
                false
            }
            _ => false,
        };
        self.way == way && !self.pulse.leaving.get() && !idles
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.pulse.released.notify_one();
    }
}

impl Slot {
    /// Begins a stream. An error says that nothing was sent, and that the connection takes no more.
    pub(super) fn begin(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Error> {
        // Each has one of its own: the handle remembers a stream that waits for the server's leave.
        let begun = self.trunk.sender.clone().send_request(request, ends);
        begun.inspect_err(|_| self.give_up())
    }

    /// Whether it is under TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.trunk.is_secure
    }

    /// Whether the server makes tunnels (RFC 8441).
    pub(super) fn takes_tunnels(&self) -> bool {
        self.trunk.sender.is_extended_connect_protocol_enabled()
    }

    /// Bytes that came on the connection so far: tells whether the server is there.
    pub(super) fn received(&self) -> u64 {
        self.trunk.pulse.received.get()
    }

    /// What the server said ends the connection. Whether it can only have been about this request.
    pub(super) fn is_blamed(&self) -> bool {
        self.trunk.pulse.garble() == 1
    }

    /// The connection gets no more streams.
    pub(super) fn give_up(&self) {
        self.trunk.pulse.leaving.set(true);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let streams = &self.trunk.pulse.streams;
        streams.set(streams.get() - 1);
    }
}

/// What there is for a request.
enum Found {
    Slot(Slot),
    Opening(Rc<Opening>),
    Nothing,
}

impl Trunks {
    fn find(&mut self, server: u64, way: Way) -> Found {
        let Some(group) = self.0.get_mut(&server) else {
            return Found::Nothing;
        };
        group.settle();
        let most = group.most();
        let fits = |trunk: &&Rc<Trunk>| trunk.way == way && trunk.has_room(most);
        if let Some(trunk) = group.open.iter().find(fits) {
            return Found::Slot(trunk.slot());
        }
        let most = most.min(group.most.unwrap_or(MOST_STREAMS));
        let leads = |o: &&Rc<Opening>| o.way == way && o.waiting.get() < most;
        match group.opening.iter().find(leads) {
            Some(opening) => Found::Opening(opening.clone()),
            None => Found::Nothing,
        }
    }

    fn begin(&mut self, server: u64, way: Way) -> Rc<Opening> {
        let opening = Rc::new(Opening {
            way,
            waiting: Cell::new(0),
            outcome: RefCell::new(None),
            over: Notify::new(),
        });
        let group = self.0.entry(server).or_default();
        group.opening.push(opening.clone());
        opening
    }

    /// Gives up connections that are without a stream for long, and those that `current` does not
    /// want: it is asked for each server's uid and answers with the way to it.
    pub(super) fn sweep(&mut self, now: u32, current: impl Fn(u64) -> Option<Way>) {
        self.0.retain(|server, group| {
            let Some(way) = current(*server) else {
                return false;
            };
            group.settle();
            group.open.retain(|trunk| trunk.stays(way, now));
            group.apart = group.apart.saturating_sub(1);
            !group.open.is_empty() || !group.opening.is_empty() || group.apart > 0
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Group {
    /// Requests that one connection is given at once, if it takes as many.
    fn most(&self) -> usize {
        match self.apart {
            0 => MOST_STREAMS,
            _ => 1,
        }
    }

    /// Takes what was opened, and forgets what takes no more streams: that ends with its last.
    fn settle(&mut self) {
        let (open, most) = (&mut self.open, &mut self.most);
        self.opening.retain(|opening| {
            if let Some(Ok(trunk)) = &*opening.outcome.borrow() {
                *most = Some(trunk.most());
                open.push(trunk.clone());
            }
            opening.outcome.borrow().is_none()
        });
        if open.iter().any(|trunk| trunk.pulse.is_garbled()) {
            self.apart = APART_TICKS;
        }
        open.retain(|trunk| !trunk.pulse.leaving.get());
    }
}

impl Opening {
    fn finish(&self, outcome: Result<Rc<Trunk>, Fault>) {
        self.outcome.replace(Some(outcome));
        self.over.notify_waiters();
    }

    /// Waits until it is open, or is not going to be.
    async fn wait(&self) -> Result<(), Fault> {
        let _waits = Waits::on(self);
        loop {
            let over = self.over.notified();
            match &*self.outcome.borrow() {
                Some(Ok(_)) => return Ok(()),
                Some(Err(fault)) => return Err(*fault),
                None => {}
            }
            over.await;
        }
    }
}

/// Counts who waits, for as long as it does.
struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    fn on(opening: &'a Opening) -> Self {
        opening.waiting.set(opening.waiting.get() + 1);
        Self(&opening.waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Room on a connection that is there.
pub(super) fn slot(client: &Client, lease: &Lease) -> Option<Slot> {
    let found = client.trunks_to(lease, |trunks| {
        trunks.find(lease.server().uid, Way::of(lease))
    });
    match found {
        Found::Slot(slot) => Some(slot),
        Found::Opening(_) | Found::Nothing => None,
    }
}

/// Room on a connection that is opened if need be. The caller bounds the time.
pub(super) async fn wait(client: &Client, lease: &Lease) -> Result<Slot, Fault> {
    let (server, way) = (lease.server().uid, Way::of(lease));
    for _ in 0..MOST_ROUNDS {
        let found = client.trunks_to(lease, |trunks| match trunks.find(server, way) {
            Found::Nothing => Found::Opening(open(client, lease, trunks)),
            found => found,
        });
        match found {
            Found::Slot(slot) => return Ok(slot),
            Found::Opening(opening) => opening.wait().await?,
            Found::Nothing => break,
        }
    }
    Err(Fault::ConnectFailed)
}

fn open(client: &Client, lease: &Lease, trunks: &mut Trunks) -> Rc<Opening> {
    let to = Destination::of(lease);
    let opening = trunks.begin(to.server.uid, to.way);
    let introduction = client.introduction(lease.config()).unwrap_or_default();
    let patience = lease.backend().config.timeouts.connect;
    let thread = client.thread.id;
    spawn_local(open::run(
        opening.clone(),
        to,
        introduction,
        thread,
        patience,
    ));
    opening
}
