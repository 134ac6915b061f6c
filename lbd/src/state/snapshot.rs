//! One configuration as it runs: immutable, swapped whole.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use lb_proto::config::{self, Address, Certificates};
use lb_proto::name::{BackendName, FrontendName, ServerId, ServerName};
use lb_proto::reply::Change;
use lb_proto::state::{Health, State};

use super::absent::Absent;
use super::networks::Networks;
use super::pool::Pool;
use super::ring::Ring;
use super::{Failures, FrontendTally, Gate, Limit, Listener, PerThread, Server, now};
use crate::tls::{Originator, Terminator};
use crate::traces;

/// Where TLS is spoken unless something else is said.
const HTTPS: u16 = 443;

/// Where a configuration came from.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) path: String,
    pub(crate) generation: u64,
    /// RFC 3339, UTC.
    pub(crate) at: String,
    /// Of the file's bytes, hexadecimal.
    pub(crate) sha256: String,
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) loaded: Loaded,
    pub(crate) global: config::Global,
    pub(crate) admin: Option<Admin>,
    /// Where spans of requests go; `None`: lbd takes no part in traces.
    pub(crate) traces: Option<Arc<traces::Target>>,
    pub(crate) certificates: Certificates,
    pub(crate) frontends: Vec<Frontend>,
    pub(crate) backends: Arc<[Backend]>,
    pub(super) backend_index: HashMap<BackendName, usize>,
    pub(super) absent: Absent,
}

#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) config: config::Admin,
    pub(crate) listener: Arc<Listener>,
    /// `None`: it is spoken to in the clear.
    pub(crate) terminator: Option<Arc<Terminator>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Frontend {
    pub(crate) config: config::Frontend,
    pub(crate) record: Arc<FrontendRecord>,
    /// `None`: everybody is served.
    pub(crate) gate: Option<Gate>,
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// The uids of listeners that want PROXY headers, with those who are to send them.
    pub(super) introducers: Vec<(u64, Networks)>,
    /// The uids of listeners that speak TLS.
    pub(super) terminators: Vec<(u64, Arc<Terminator>)>,
}

/// What belongs to a frontend and outlives its configuration.
#[derive(Debug)]
pub(crate) struct FrontendRecord {
    pub(crate) limit: Limit,
    pub(crate) tallies: PerThread<FrontendTally>,
}

#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) config: config::Backend,
    pub(crate) pool: Arc<Pool>,
    /// In the order of `config.servers`.
    pub(crate) servers: Vec<Arc<Server>>,
    /// How each speaks TLS, if it does.
    pub(crate) originators: Vec<Option<Arc<Originator>>>,
    /// Where keys belong, if servers are picked by one; the one part that changes, with weights that
    /// are set.
    pub(crate) ring: ArcSwapOption<Ring>,
    /// Where each server is as far as was known when this was built.
    pub(super) starts: Vec<Option<SocketAddr>>,
    /// Some server has a slow start.
    pub(super) starts_slowly: bool,
    /// Each server's failures, where those count (`outlier`); else empty.
    pub(crate) failures: Vec<Arc<Failures>>,
    pub(super) index: HashMap<ServerName, usize>,
}

impl Snapshot {
    /// What it was built from.
    pub(crate) fn config(&self) -> config::Config {
        config::Config {
            global: self.global.clone(),
            admin: self.admin.as_ref().map(|admin| admin.config.clone()),
            traces: self.traces.as_ref().map(|target| target.config.clone()),
            frontends: self.frontends.iter().map(|f| f.config.clone()).collect(),
            backends: self.backends.iter().map(|b| b.config.clone()).collect(),
        }
    }

    pub(crate) fn backend(&self, name: &BackendName) -> Option<&Backend> {
        self.backend_position(name).map(|i| &self.backends[i])
    }

    pub(crate) fn backend_position(&self, name: &BackendName) -> Option<usize> {
        self.backend_index.get(name).copied()
    }

    pub(crate) fn frontend(&self, name: &FrontendName) -> Option<&Frontend> {
        self.frontends.iter().find(|f| f.config.name == *name)
    }

    /// The same, but that clients are shown these certificates.
    pub(crate) fn showing(&self, certificates: Certificates) -> Self {
        let frontends = self.frontends.iter();
        Self {
            loaded: self.loaded.clone(),
            global: self.global.clone(),
            admin: self
                .admin
                .as_ref()
                .map(|admin| admin.showing(&certificates)),
            traces: self.traces.clone(),
            frontends: frontends.map(|f| f.showing(&certificates)).collect(),
            certificates,
            backends: self.backends.clone(),
            backend_index: self.backend_index.clone(),
            absent: self.absent.clone(),
        }
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = Arc<Listener>> {
        self.frontends
            .iter()
            .flat_map(|f| f.listeners.iter().cloned())
    }

    /// Carries out what taking over from `before` means for records: limits change, and health
    /// starts over where the address changed. What comes back begins anew. Call it right before
    /// [`Snapshot::begin`].
    pub(super) fn settle(&self, before: &Snapshot) {
        for frontend in &self.frontends {
            frontend
                .record
                .limit
                .resize(most_connections(&frontend.config));
        }
        let servers = before.backends.iter().flat_map(|b| &b.servers);
        for gone in servers.filter(|server| !self.has(&server.id)) {
            gone.presence.ends_with(before.loaded.generation);
        }
        for backend in self.backends.iter() {
            let old = before.backend(&backend.config.name);
            backend.settle(old, self.loaded.generation);
        }
    }

    /// From now on its servers are picked as it says. Call it right before publishing.
    pub(super) fn begin(&self) {
        self.backends.iter().for_each(Backend::begin);
    }

    pub(super) fn has(&self, id: &ServerId) -> bool {
        let backend = self.backend(&id.backend);
        backend.is_some_and(|backend| backend.server(&id.server).is_some())
    }
}

impl FrontendRecord {
    /// Client connections that are open now.
    pub(crate) fn connections(&self) -> u64 {
        self.tallies.sum(|t| &t.connections)
    }
}

impl Admin {
    fn showing(&self, certificates: &Certificates) -> Self {
        let terminator = self.terminator.as_ref();
        Self {
            terminator: terminator.map(|t| Arc::new(t.showing(certificates))),
            ..self.clone()
        }
    }
}

impl Frontend {
    fn showing(&self, certificates: &Certificates) -> Self {
        let anew = |(uid, terminator): &(u64, Arc<Terminator>)| {
            (*uid, Arc::new(terminator.showing(certificates)))
        };
        Self {
            terminators: self.terminators.iter().map(anew).collect(),
            ..self.clone()
        }
    }

    /// Its listeners where clients speak TLS.
    pub(crate) fn secure(&self) -> impl Iterator<Item = (&Listener, &config::Bind, &Terminator)> {
        let binds = self.listeners.iter().zip(&self.config.binds);
        binds.filter_map(|(listener, bind)| {
            let terminator = self.terminator(listener.uid)?;
            Some((&**listener, bind, &**terminator))
        })
    }

    /// Who may connect to this listener, and must send a PROXY header; `None`: everybody, without.
    pub(crate) fn introducers(&self, listener: u64) -> Option<&Networks> {
        of_listener(&self.introducers, listener)
    }

    /// What this listener does in handshakes; `None`: it speaks no TLS.
    pub(crate) fn terminator(&self, listener: u64) -> Option<&Arc<Terminator>> {
        of_listener(&self.terminators, listener)
    }

    /// Whether clients of this listener may speak HTTP/2 without TLS.
    pub(crate) fn speaks_h2c(&self, listener: u64) -> bool {
        let mut binds = self.listeners.iter().zip(&self.config.binds);
        binds.any(|(l, bind)| l.uid == listener && bind.h2c)
    }

    /// The port to send clients to that are to come by TLS.
    pub(crate) fn https_port(&self) -> u16 {
        let mut ports = self.terminators.iter().filter_map(|(uid, _)| {
            let listener = self.listeners.iter().find(|l| l.uid == *uid)?;
            Some(listener.address.port())
        });
        match (ports.next(), ports.next()) {
            (Some(only), None) => only,
            _ => HTTPS,
        }
    }
}

fn of_listener<T>(all: &[(u64, T)], listener: u64) -> Option<&T> {
    let found = all.iter().find(|(uid, _)| *uid == listener);
    found.map(|(_, value)| value)
}

impl Backend {
    pub(crate) fn server(&self, name: &ServerName) -> Option<&Arc<Server>> {
        self.position(name).map(|i| &self.servers[i])
    }

    /// How the server is checked; `None` where checks are off or there is no such server.
    pub(crate) fn checks(&self, name: &ServerName) -> Option<&config::Check> {
        let check = self.config.health.as_ref()?;
        self.position(name)
            .filter(|i| self.config.servers[*i].check)
            .map(|_| check)
    }

    /// As configured.
    pub(crate) fn address(&self, name: &ServerName) -> Option<&Address> {
        self.server_config(name).map(|server| &server.address)
    }

    pub(crate) fn server_config(&self, name: &ServerName) -> Option<&config::Server> {
        self.position(name).map(|i| &self.config.servers[i])
    }

    /// How the server speaks TLS, if it does.
    pub(crate) fn originator(&self, name: &ServerName) -> Option<&Arc<Originator>> {
        self.position(name)
            .and_then(|i| self.originators[i].as_ref())
    }

    pub(super) fn position(&self, name: &ServerName) -> Option<usize> {
        self.index.get(name).copied()
    }

    fn settle(&self, old: Option<&Backend>, generation: u64) {
        let keeps_health = |server: &Arc<Server>| {
            let name = &server.id.server;
            let before = old.and_then(|old| old.address(name));
            before.is_some_and(|before| Some(before) == self.address(name))
        };
        let somebody_stays = self
            .servers
            .iter()
            .any(|s| keeps_health(s) && s.state() == State::Up);
        for (server, start) in self.servers.iter().zip(&self.starts) {
            let checked = self.checks(&server.id.server).is_some();
            let moved = !keeps_health(server);
            if moved || self.config.outlier.is_none() {
                server.ejection.end();
            }
            if moved {
                server.location.set(*start);
                server.location.end_trouble();
                server.forget_connections();
                server.past.forget_checks();
            }
            let health = match (checked, moved) {
                _ if server.location.address().is_none() => Health::Down,
                (false, _) => Health::Unchecked,
                (true, true) if somebody_stays => Health::Down,
                (true, true) => Health::Unchecked,
                (true, false) => server.health(),
            };
            let returns = server.presence.returns_with(generation);
            let (was, state) = match returns {
                true => server.begin_anew(health),
                false => server.write(server.admin(), health),
            };
            if was != state || returns {
                let reason = match (moved, checked) {
                    _ if returns => "a reload brought it back",
                    (true, _) => "a reload gave it another address",
                    (false, true) => "a reload turned its checks on",
                    (false, false) => "a reload turned its checks off",
                };
                server.past.remember(Change {
                    at: now(),
                    was,
                    state,
                    reason: reason.to_owned(),
                });
            }
        }
    }
}

pub(super) fn most_connections(config: &config::Frontend) -> usize {
    config.max_connections.map_or(usize::MAX, |n| n as usize)
}
