//! Where a server is: as configured, or what its host name led to last.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use lb_proto::config::Address;

use super::Snapshot;

/// What host names lead to, as far as that is known when a configuration is loaded.
pub(crate) type Addresses = HashMap<String, IpAddr>;

/// Written by the control plane alone. Data threads read the address without a lock.
#[derive(Debug, Default)]
pub(crate) struct Location {
    address: ArcSwapOption<SocketAddr>,
    trouble: Mutex<Option<Trouble>>,
}

/// The host name cannot be looked up.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) since: Instant,
    /// Why, in one sentence.
    pub(crate) detail: String,
}

impl Location {
    /// `None`: its name has led nowhere yet.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address.load().as_deref().copied()
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.lock().clone()
    }

    pub(super) fn set(&self, address: Option<SocketAddr>) {
        self.address.store(address.map(Arc::new));
    }

    /// Keeps what is wrong since when; tells whether anything was before.
    pub(super) fn set_trouble(&self, detail: &str, now: Instant) -> bool {
        let mut trouble = self.lock();
        let since = trouble.as_ref().map(|before| before.since);
        *trouble = Some(Trouble {
            since: since.unwrap_or(now),
            detail: detail.to_owned(),
        });
        since.is_some()
    }

    /// Tells whether there was any.
    pub(super) fn end_trouble(&self) -> bool {
        self.lock().take().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// The host names of its servers, each once.
    pub(crate) fn host_names(&self) -> BTreeSet<&str> {
        let servers = self.backends.iter().flat_map(|b| &b.config.servers);
        servers.filter_map(|server| server.address.host()).collect()
    }

    /// What those names lead to, as far as is known.
    pub(crate) fn addresses(&self) -> Addresses {
        let backends = self.backends.iter();
        let servers = backends.flat_map(|b| b.servers.iter().zip(&b.config.servers));
        servers
            .filter_map(|(server, config)| {
                let host = config.address.host()?;
                let address = server.location.address()?;
                Some((host.to_owned(), address.ip()))
            })
            .collect()
    }
}

/// Where an address leads as far as is known.
pub(super) fn known(address: &Address, addresses: &Addresses) -> Option<SocketAddr> {
    match address {
        Address::Ip(address) => Some(*address),
        Address::Name { host, port } => addresses.get(host).map(|ip| SocketAddr::new(*ip, *port)),
    }
}
