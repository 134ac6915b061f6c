//! What one data thread owns: its view of the configuration, its pools, its clients.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::BytesMut;
use http::HeaderValue;
use hyper::server::conn::http1;
use lb_proto::config::Mode;
use slab::Slab;
use tokio::sync::Notify;

use super::client::Client;
use super::connect::{Upstream, Way};
use super::framing::MAX_HEAD;
use super::journal::Journal;
use super::lease::Lease;
use super::pool::Pools;
use super::proxy_protocol::{Refusals, Refused};
use super::trunk::Trunks;
use super::tunnel;
use super::view::View;
use crate::memory;
use crate::state::{Server, Shared, ThreadId};

/// From so many connections parked in a second on, their buffers are worth a system call or two.
const MANY_PARKED: u32 = 100;

#[derive(Debug)]
pub(super) struct Thread {
    pub(super) id: ThreadId,
    pub(super) shared: Arc<Shared>,
    pub(super) http: http1::Builder,
    pub(super) journal: Journal,
    view: RefCell<Rc<View>>,
    /// Listeners that a reload removed while connections of theirs were open, with the frontend
    /// these go on to be served by.
    departed: RefCell<HashMap<u64, (Rc<View>, usize)>>,
    pools: RefCell<Pools>,
    pub(super) trunks: RefCell<Trunks>,
    clients: RefCell<Slab<Rc<Client>>>,
    pub(super) tunnels: tunnel::Tools,
    /// What request heads are written into, one after the other.
    buffer: RefCell<Vec<u8>>,
    /// What is left of the buffer that was last read into from a server.
    pub(super) spare: RefCell<BytesMut>,
    /// Seconds since the thread started: a clock that costs nothing to read.
    tick: Cell<u32>,
    /// Connections that gave their buffers back since the last tick.
    parked: Cell<u32>,
    date: RefCell<HeaderValue>,
    refusals: Refusals,
    /// How often servers' sessions have been closed, as far as this thread has heeded it.
    kills: Cell<u64>,
    stopping: Cell<bool>,
    cutting: Cell<bool>,
    empty: Notify,
}

/// A client's place in its thread's register.
#[derive(Debug)]
pub(super) struct Entry {
    thread: Rc<Thread>,
    key: usize,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut clients = self.thread.clients.borrow_mut();
        clients.try_remove(self.key);
        if clients.is_empty() {
            self.thread.empty.notify_one();
        }
    }
}

/// Which frontend a request is for.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) view: Rc<View>,
    pub(super) frontend: usize,
}

impl Place {
    pub(super) fn mode(&self) -> Mode {
        self.view.snapshot.frontends[self.frontend].config.mode
    }
}

impl Thread {
    pub(super) fn new(id: ThreadId, shared: Arc<Shared>) -> Rc<Self> {
        let mut http = http1::Builder::new();
        // Room beyond our own bound, so that it is ours that is met.
        http.max_header_size(2 * MAX_HEAD);
        let view = View::new(shared.snapshot());
        Rc::new(Self {
            id,
            journal: Journal::new(shared.clone()),
            shared,
            http,
            view: RefCell::new(Rc::new(view)),
            departed: RefCell::default(),
            pools: RefCell::default(),
            trunks: RefCell::default(),
            clients: RefCell::default(),
            tunnels: tunnel::Tools::default(),
            buffer: RefCell::default(),
            spare: RefCell::default(),
            tick: Cell::new(0),
            parked: Cell::new(0),
            date: RefCell::new(date_now()),
            refusals: Refusals::default(),
            kills: Cell::new(0),
            stopping: Cell::new(false),
            cutting: Cell::new(false),
            empty: Notify::new(),
        })
    }

    /// The view of what runs now.
    pub(super) fn view(&self) -> Rc<View> {
        let current = self.shared.snapshot_cell().load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(&current, &view.snapshot) {
            let old = std::mem::replace(&mut *view, Rc::new(View::new(Arc::clone(&current))));
            self.remember_departed(&old, &view);
            self.journal.follow();
        }
        view.clone()
    }

    /// The frontend that serves the connections of a listener.
    pub(super) fn place(&self, listener: u64) -> Option<Place> {
        let view = self.view();
        if let Some(frontend) = view.frontend_of(listener) {
            return Some(Place { view, frontend });
        }
        let departed = self.departed.borrow();
        let (view, frontend) = departed.get(&listener)?;
        Some(Place {
            view: view.clone(),
            frontend: *frontend,
        })
    }

    /// Whether the connections of a listener close after the request that they are at, which began
    /// under `view`: the listener is gone, or everything is about to be.
    pub(super) fn is_leaving(&self, listener: u64, view: &Rc<View>) -> bool {
        let current = self.view.borrow();
        self.stopping.get()
            || !Rc::ptr_eq(view, &current) && current.frontend_of(listener).is_none()
    }

    /// Whether the connections of a listener are to end when they are at nothing.
    pub(super) fn leaves(&self, listener: u64) -> bool {
        self.stopping.get() || self.view().frontend_of(listener).is_none()
    }

    /// The time as a field value (RFC 9110, 5.6.7), to a second.
    pub(super) fn date(&self) -> HeaderValue {
        self.date.borrow().clone()
    }

    fn remember_departed(&self, old: &Rc<View>, new: &View) {
        let clients = self.clients.borrow();
        let mut departed = self.departed.borrow_mut();
        for (_, client) in clients.iter() {
            let listener = client.listener;
            if new.frontend_of(listener).is_none()
                && let Some(frontend) = old.frontend_of(listener)
            {
                departed.insert(listener, (old.clone(), frontend));
            }
        }
    }

    /// A kept connection to a server that can be used at once; see [`Pools::take`].
    pub(super) fn reuse(&self, lease: &Lease, recent: bool) -> Option<Box<Upstream>> {
        self.pools
            .borrow_mut()
            .take(lease.server(), Way::of(lease), self.tick.get(), recent)
    }

    /// Keeps a connection to a server for a later request.
    pub(super) fn keep(&self, server: &Server, upstream: Box<Upstream>) {
        self.pools
            .borrow_mut()
            .put(server, upstream, self.tick.get());
    }

    /// A buffer to write a request head into; give it back.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.buffer.take()
    }

    pub(super) fn give_buffer(&self, buffer: Vec<u8>) {
        self.buffer.replace(buffer);
    }

    /// Says that a connection to `bind` is not served.
    pub(super) fn refuse(&self, peer: SocketAddr, bind: SocketAddr, why: &Refused) {
        self.refusals.tell(peer, bind, why, self.tick.get());
    }

    /// Registers a client for as long as what this returns is held.
    pub(super) fn enter(self: &Rc<Self>, client: Rc<Client>) -> Entry {
        let key = self.clients.borrow_mut().insert(client);
        Entry {
            thread: self.clone(),
            key,
        }
    }

    /// Waits until no client is left.
    pub(super) async fn last_client_left(&self) {
        while !self.clients.borrow().is_empty() {
            self.empty.notified().await;
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// From now on connections close as soon as nothing moves on them.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.wake_clients();
    }

    pub(super) fn is_cutting(&self) -> bool {
        self.cutting.get()
    }

    /// From now on connections close whatever moves on them.
    pub(super) fn cut(&self) {
        self.cutting.set(true);
        self.wake_clients();
    }

    fn wake_clients(&self) {
        for (_, client) in self.clients.borrow().iter() {
            client.wake();
        }
    }

    /// Has clients close their sessions on servers where that is asked since the last time.
    pub(super) fn heed_kills(&self) {
        let kills = self.shared.kills();
        if self.kills.replace(kills) == kills {
            return;
        }
        for (_, client) in self.clients.borrow().iter() {
            client.heed_kills();
        }
    }

    /// Goes up with each time that clients must look whether their sessions are to be closed.
    pub(super) fn kills(&self) -> u64 {
        self.kills.get()
    }

    /// A connection gave its buffers back.
    pub(super) fn parked(&self) {
        self.parked.set(self.parked.get() + 1);
    }

    /// A second has passed.
    pub(super) fn tick(&self) {
        self.tick.set(self.tick.get().wrapping_add(1));
        self.date.replace(date_now());
        self.journal.tick();
        self.sweep();
        if self.parked.take() >= MANY_PARKED {
            memory::give_back();
        }
        if !self.departed.borrow().is_empty() {
            let clients = self.clients.borrow();
            let open = |listener| {
                clients
                    .iter()
                    .any(|(_, client)| client.listener == listener)
            };
            self.departed
                .borrow_mut()
                .retain(|listener, _| open(*listener));
        }
    }

    /// Closes kept connections that nobody should use any more.
    pub(super) fn sweep(&self) {
        let view = self.view();
        let now = self.tick.get();
        let mut pools = self.pools.borrow_mut();
        if !pools.is_empty() {
            pools.sweep(now, |server| view.way(server));
        }
        let mut trunks = self.trunks.borrow_mut();
        if !trunks.is_empty() {
            trunks.sweep(now, |server| view.way(server));
        }
    }
}

fn date_now() -> HeaderValue {
    let date = httpdate::fmt_http_date(SystemTime::now());
    HeaderValue::try_from(date).unwrap_or(HeaderValue::from_static(""))
}
