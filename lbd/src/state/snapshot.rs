//! One configuration as it runs: immutable, swapped whole.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lb_proto::config::{self, Address, Certificates, Config};
use lb_proto::name::{BackendName, FrontendName, ServerId, ServerName};
use lb_proto::state::{Health, State};

use super::ejection::failures_of;
use super::location::{Addresses, known};
use super::networks::Networks;
use super::pool::Pool;
use super::ring::Ring;
use super::{BindError, Failures, FrontendTally, Gate, Limit, Listener, PerThread, Server, bind};
use crate::tls::{Terminator, TlsError};

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
    pub(crate) certificates: Certificates,
    pub(crate) frontends: Vec<Frontend>,
    pub(crate) backends: Vec<Backend>,
    backend_index: HashMap<BackendName, usize>,
}

#[derive(Debug)]
pub(crate) struct Frontend {
    pub(crate) config: config::Frontend,
    pub(crate) record: Arc<FrontendRecord>,
    /// `None`: everybody is served.
    pub(crate) gate: Option<Gate>,
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// The uids of listeners that want PROXY headers, with those who are to send them.
    introducers: Vec<(u64, Networks)>,
    /// The uids of listeners that speak TLS.
    terminators: Vec<(u64, Arc<Terminator>)>,
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
    /// Where keys belong, if servers are picked by one.
    pub(crate) ring: Option<Arc<Ring>>,
    /// Where each server is as far as was known when this was built.
    starts: Vec<Option<SocketAddr>>,
    /// Some server has a slow start.
    pub(super) starts_slowly: bool,
    /// Each server's failures, where those count (`outlier`); else empty.
    pub(crate) failures: Vec<Arc<Failures>>,
    index: HashMap<ServerName, usize>,
}

/// Why a configuration cannot run. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{frontend} cannot speak TLS on {address}")]
    Tls {
        frontend: FrontendName,
        address: SocketAddr,
        #[source]
        source: TlsError,
    },
}

impl Snapshot {
    /// Turns a configuration into one that can run: finds or makes its records, binds what is not
    /// bound yet. `before` is what runs now, `None` at process start; `addresses` is what is known
    /// of host names.
    ///
    /// Nothing that runs is touched until [`Snapshot::settle`].
    pub(crate) fn build(
        config: Config,
        certificates: Certificates,
        loaded: Loaded,
        before: Option<&Snapshot>,
        addresses: &Addresses,
        threads: usize,
    ) -> Result<Self, BuildError> {
        let mut bound: Vec<Arc<Listener>> = before.into_iter().flat_map(Self::listeners).collect();
        let frontends = config
            .frontends
            .into_iter()
            .map(|frontend| build_frontend(frontend, &certificates, before, &mut bound, threads))
            .collect::<Result<Vec<_>, _>>()?;
        let backends: Vec<Backend> = config
            .backends
            .into_iter()
            .map(|backend| {
                let old = before.and_then(|snapshot| snapshot.backend(&backend.name));
                build_backend(backend, old, loaded.generation, addresses, threads)
            })
            .collect();
        let backend_index = backends
            .iter()
            .enumerate()
            .map(|(i, b)| (b.config.name.clone(), i))
            .collect();
        if before.is_none() {
            backends.iter().for_each(Backend::begin);
        }
        Ok(Self {
            loaded,
            global: config.global,
            certificates,
            frontends,
            backends,
            backend_index,
        })
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

    fn listeners(&self) -> impl Iterator<Item = Arc<Listener>> {
        self.frontends
            .iter()
            .flat_map(|f| f.listeners.iter().cloned())
    }

    /// Carries out what taking over from `before` means for records that both mention: limits and
    /// shares change, and health starts over where the address changed. Call it right before
    /// publishing.
    pub(crate) fn settle(&self, before: &Snapshot) {
        for frontend in &self.frontends {
            frontend
                .record
                .limit
                .resize(most_connections(&frontend.config));
        }
        for backend in &self.backends {
            if let Some(old) = before.backend(&backend.config.name) {
                backend.settle(old, before.loaded.generation);
            }
            backend.begin();
        }
    }
}

impl Frontend {
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

    pub(super) fn position(&self, name: &ServerName) -> Option<usize> {
        self.index.get(name).copied()
    }

    fn settle(&self, old: &Backend, generation: u64) {
        let gone = |server: &&Arc<Server>| self.server(&server.id.server).is_none();
        for server in old.servers.iter().filter(gone) {
            server.ends_with(generation);
        }
        let keeps_health = |server: &Arc<Server>| {
            let name = &server.id.server;
            old.address(name)
                .is_some_and(|before| Some(before) == self.address(name))
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
                server.set_last_check(None);
            }
            let health = match (checked, moved) {
                _ if server.location.address().is_none() => Health::Down,
                (false, _) => Health::Unchecked,
                (true, true) if somebody_stays => Health::Down,
                (true, true) => Health::Unchecked,
                (true, false) => server.health(),
            };
            server.write(server.admin(), health);
        }
    }
}

fn build_frontend(
    config: config::Frontend,
    certificates: &Certificates,
    before: Option<&Snapshot>,
    bound: &mut Vec<Arc<Listener>>,
    threads: usize,
) -> Result<Frontend, BuildError> {
    let old = before.and_then(|snapshot| snapshot.frontend(&config.name));
    let record = match old {
        Some(old) => old.record.clone(),
        None => Arc::new(FrontendRecord {
            limit: Limit::new(most_connections(&config)),
            tallies: PerThread::new(threads),
        }),
    };
    let ours: Vec<SocketAddr> = before
        .into_iter()
        .flat_map(Snapshot::listeners)
        .map(|listener| listener.address)
        .collect();
    let mut listeners = Vec::with_capacity(config.binds.len());
    let mut introducers = Vec::new();
    let mut terminators = Vec::new();
    for wanted in &config.binds {
        let same = |l: &Arc<Listener>| {
            l.configured == wanted.address
                && (wanted.address.port() != 0 || l.first_frontend == config.name)
        };
        let listener = match bound.iter().position(same) {
            Some(i) => bound.remove(i),
            None => Arc::new(bind(wanted.address, &config.name, threads, &ours)?),
        };
        if let Some(networks) = &wanted.proxy_protocol {
            introducers.push((listener.uid, Networks::new(networks)));
        }
        if let Some(tls) = &wanted.tls {
            let before = old.and_then(|old| old.terminator(listener.uid));
            let terminator = Terminator::new(tls, certificates, before.map(Arc::as_ref));
            let terminator = terminator.map_err(|source| BuildError::Tls {
                frontend: config.name.clone(),
                address: wanted.address,
                source,
            })?;
            terminators.push((listener.uid, Arc::new(terminator)));
        }
        listeners.push(listener);
    }
    Ok(Frontend {
        gate: Gate::new(&config, old.map(|old| (&old.config, old.gate.as_ref()))),
        config,
        record,
        listeners,
        introducers,
        terminators,
    })
}

fn build_backend(
    config: config::Backend,
    old: Option<&Backend>,
    generation: u64,
    addresses: &Addresses,
    threads: usize,
) -> Backend {
    let pool = old.map(|b| b.pool.clone()).unwrap_or_default();
    let index: HashMap<_, _> = config
        .servers
        .iter()
        .enumerate()
        .map(|(i, s)| (s.name.clone(), i))
        .collect();
    let somebody_stays = old.is_some_and(|b| {
        b.servers
            .iter()
            .any(|s| s.state() == State::Up && index.contains_key(&s.id.server))
    });
    let starts: Vec<_> = config
        .servers
        .iter()
        .map(|server| known(&server.address, addresses))
        .collect();
    let servers = config
        .servers
        .iter()
        .zip(&starts)
        .map(|(server, start)| {
            if let Some(record) = old.and_then(|b| b.server(&server.name)) {
                return record.clone();
            }
            let checked = config.health.is_some() && server.check;
            let waits = checked && somebody_stays;
            let health = match waits || start.is_none() {
                true => Health::Down,
                false => Health::Unchecked,
            };
            let id = ServerId::new(&config.name, &server.name);
            let record = Server::new(id, pool.clone(), health, generation, threads);
            record.location.set(*start);
            Arc::new(record)
        })
        .collect::<Vec<_>>();
    Backend {
        failures: failures_of(config.outlier, &servers, old),
        ring: ring(&config, old),
        starts_slowly: config.servers.iter().any(|s| s.slow_start.is_some()),
        config,
        pool,
        servers,
        starts,
        index,
    }
}

/// The old one, if it would be the same: it takes a while to make for thousands of servers.
fn ring(config: &config::Backend, old: Option<&Backend>) -> Option<Arc<Ring>> {
    if !config.balance.is_hash() {
        return None;
    }
    let servers = config.servers.iter();
    let servers: Vec<_> = servers.map(|s| (s.name.to_string(), s.weight)).collect();
    let same = old.and_then(|old| old.ring.clone());
    Some(
        same.filter(|ring| ring.is_of(&servers))
            .unwrap_or_else(|| Arc::new(Ring::new(servers))),
    )
}

fn most_connections(config: &config::Frontend) -> usize {
    config.max_connections.map_or(usize::MAX, |n| n as usize)
}
