//! A client's connection: what is the same for all that is asked on it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use lb_proto::config;
use tokio::net::TcpStream;

use super::connect::Upstream;
use super::lease::Lease;
use super::own_fields::Origin;
use super::thread::{Place, Thread};
use super::trunk::Trunks;
use super::tunnel::Meter;
use crate::proxy_protocol::{self, Addresses, Tlvs};
use crate::state::{FrontendRecord, FrontendTally, Server, add};

/// A client's connection as long as it is open. Its messages share it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) thread: Rc<Thread>,
    /// The listener's uid.
    pub(super) listener: u64,
    /// Of the frontend that accepted it: counts its bytes.
    record: Arc<FrontendRecord>,
    pub(super) peer: SocketAddr,
    /// What servers are told of it. `https` under TLS, and where a PROXY header says so; else `http`.
    pub(super) origin: Rc<Origin>,
    /// What it connected to: the address that is listened on, unless more is known.
    local: Cell<SocketAddr>,
    /// What else a PROXY header told, for servers.
    tlvs: Tlvs,
    /// A connection to a server that is this client's alone.
    private: RefCell<Option<Box<Upstream>>>,
    trunks: RefCell<Option<Box<Trunks>>>,
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

impl Link {
    pub(super) fn new(thread: Rc<Thread>, listener: u64, place: &Place, ends: Ends) -> Rc<Self> {
        let frontend = &place.view.snapshot.frontends[place.frontend];
        let scheme = match ends.tls || ends.tlvs.say_tls() {
            true => "https",
            false => "http",
        };
        let link = Rc::new(Self {
            thread,
            listener,
            record: frontend.record.clone(),
            peer: ends.peer,
            origin: Origin::new(ends.peer.ip(), scheme, ends.local.port()),
            local: Cell::new(ends.local),
            tlvs: ends.tlvs,
            private: RefCell::new(None),
            trunks: RefCell::new(None),
        });
        add(&link.tally().connections, 1);
        add(&link.tally().accepted, 1);
        link
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
    pub(super) fn reuse(&self, lease: &Lease, recent: bool) -> Option<Box<Upstream>> {
        if lease.config().send_proxy.is_none() {
            return self.thread.reuse(lease, recent);
        }
        // A client that pauses gives it up, so it is always a recent one.
        let private = self.private.take()?;
        (private.leads_to(lease) && private.is_quiet()).then_some(private)
    }

    /// Keeps a connection to a server for a later request: any client's, or this one's alone.
    pub(super) fn keep(&self, server: &Server, mut upstream: Box<Upstream>) {
        match upstream.is_private() {
            true => {
                upstream.rest();
                self.private.replace(Some(upstream));
            }
            false => self.thread.keep(server, upstream),
        }
    }

    /// Looks at the connections by HTTP/2 that lead to the leased server: any client's, or this one's
    /// alone.
    pub(super) fn trunks_to<T>(&self, lease: &Lease, look: impl FnOnce(&mut Trunks) -> T) -> T {
        match lease.config().send_proxy {
            None => look(&mut self.thread.trunks.borrow_mut()),
            Some(_) => look(self.trunks.borrow_mut().get_or_insert_default()),
        }
    }

    /// It is idle, and holds nothing but its socket.
    pub(super) fn parked(&self) {
        self.private.take();
        self.trunks.take();
        self.thread.parked();
    }

    /// Counts the bytes of a tunnel to this server.
    pub(super) fn meter(&self, server: &Arc<Server>) -> Meter {
        Meter::new(self.thread.id, self.record.clone(), server.clone())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        add(&self.tally().connections, 1u64.wrapping_neg());
    }
}
