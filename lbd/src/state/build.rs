//! From a configuration to a snapshot that can run: records are found or made, what is not bound yet
//! is bound. Nothing that runs is touched.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use lb_proto::config::{self, Certificates, Config};
use lb_proto::name::ServerId;
use lb_proto::state::{Health, State};

use super::absent::Absent;
use super::ejection::failures_of;
use super::location::{Addresses, known};
use super::networks::Networks;
use super::pool::Pool;
use super::ring::Ring;
use super::rotation::weights;
use super::snapshot::most_connections;
use super::{
    Admin, Backend, BindError, Frontend, FrontendRecord, Gate, Limit, Listener, Loaded, PerThread,
    Server, Snapshot, bind,
};
use crate::tls::{Originator, Originators, Terminator, TlsError};
use crate::traces;

/// Why a configuration cannot run. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("{whose} cannot speak TLS on {address}")]
    Tls {
        whose: Box<str>,
        address: SocketAddr,
        #[source]
        source: TlsError,
    },
    #[error("TLS cannot be spoken to {url}")]
    TracesTls {
        url: String,
        #[source]
        source: TlsError,
    },
    #[error("TLS cannot be spoken to {server}")]
    ServerTls {
        server: ServerId,
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
        let admin = config
            .admin
            .map(|admin| build_admin(admin, &certificates, before))
            .transpose()?;
        let mut originators = Originators::new(&certificates, before.map(|b| &b.certificates));
        let backends = config
            .backends
            .into_iter()
            .map(|backend| {
                let old = before.and_then(|snapshot| snapshot.backend(&backend.name));
                let tls = originate(&backend, old, &mut originators)?;
                let found = Found {
                    old,
                    absent: before.map(|before| &before.absent),
                    addresses,
                };
                let generation = loaded.generation;
                Ok(build_backend(backend, tls, found, generation, threads))
            })
            .collect::<Result<Arc<[_]>, BuildError>>()?;
        let old = before.and_then(|snapshot| snapshot.traces.as_ref());
        let traces = config.traces.map(|traces| {
            let url = traces.otlp.to_string();
            let target = traces::Target::new(traces, &mut originators, old);
            target.map_err(|source| BuildError::TracesTls { url, source })
        });
        let traces = traces.transpose()?;
        let backend_index = backends
            .iter()
            .enumerate()
            .map(|(i, b)| (b.config.name.clone(), i))
            .collect();
        if before.is_none() {
            backends.iter().for_each(Backend::begin);
        }
        let mut snapshot = Self {
            loaded,
            global: config.global,
            admin,
            traces,
            certificates,
            frontends,
            backends,
            backend_index,
            absent: Absent::default(),
        };
        if let Some(before) = before {
            snapshot.absent = Absent::from(&snapshot, before);
        }
        Ok(snapshot)
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
    let record = old.map(|old| old.record.clone());
    let record = record.or_else(|| before?.absent.frontend(&config.name));
    let record = record.unwrap_or_else(|| {
        Arc::new(FrontendRecord {
            limit: Limit::new(most_connections(&config)),
            tallies: PerThread::new(threads),
        })
    });
    let mut listeners = Vec::with_capacity(config.binds.len());
    let mut introducers = Vec::new();
    let mut terminators = Vec::new();
    for wanted in &config.binds {
        let same = |l: &Arc<Listener>| {
            l.configured == wanted.address
                && (wanted.address.port() != 0 || l.first_frontend.as_ref() == Some(&config.name))
        };
        let listener = match bound.iter().position(same) {
            Some(i) => bound.remove(i),
            None => bind(wanted.address, Some(&config.name), threads)?,
        };
        if let Some(networks) = &wanted.proxy_protocol {
            introducers.push((listener.uid, Networks::new(networks)));
        }
        if let Some(tls) = &wanted.tls {
            let before = old.and_then(|old| old.terminator(listener.uid));
            let terminator = Terminator::new(tls, certificates, before.map(Arc::as_ref));
            let terminator = terminator.map_err(|source| BuildError::Tls {
                whose: config.name.as_str().into(),
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

/// Its listener is for the one thread that answers there.
fn build_admin(
    config: config::Admin,
    certificates: &Certificates,
    before: Option<&Snapshot>,
) -> Result<Admin, BuildError> {
    let old = before.and_then(|snapshot| snapshot.admin.as_ref());
    let same = old.filter(|old| old.config.bind == config.bind);
    let listener = match same {
        Some(old) => old.listener.clone(),
        None => bind(config.bind, None, 1)?,
    };
    let terminator = config.tls.as_ref().map(|tls| {
        let before = same.and_then(|old| old.terminator.as_deref());
        Terminator::new(tls, certificates, before).map(Arc::new)
    });
    let terminator = terminator.transpose().map_err(|source| BuildError::Tls {
        whose: "[admin]".into(),
        address: config.bind,
        source,
    })?;
    Ok(Admin {
        config,
        listener,
        terminator,
    })
}

/// How each of a backend's servers speaks TLS.
fn originate(
    config: &config::Backend,
    old: Option<&Backend>,
    originators: &mut Originators<'_>,
) -> Result<Vec<Option<Arc<Originator>>>, BuildError> {
    let servers = config.servers.iter().map(|server| {
        let id = ServerId::new(&config.name, &server.name);
        let before = old.and_then(|old| old.originator(&server.name));
        let originator = originators.of(config.protocol, server, before);
        originator.map_err(|source| BuildError::ServerTls { server: id, source })
    });
    servers.collect()
}

/// What there is already for a backend.
#[derive(Clone, Copy)]
struct Found<'a> {
    old: Option<&'a Backend>,
    absent: Option<&'a Absent>,
    addresses: &'a Addresses,
}

fn build_backend(
    config: config::Backend,
    originators: Vec<Option<Arc<Originator>>>,
    found: Found<'_>,
    generation: u64,
    threads: usize,
) -> Backend {
    let Found {
        old,
        absent,
        addresses,
    } = found;
    let pool = old.map(|old| old.pool.clone());
    let pool = pool.or_else(|| absent?.pool(&config.name));
    let pool = pool.unwrap_or_else(|| Pool::new(threads));
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
            let id = ServerId::new(&config.name, &server.name);
            let record = old.and_then(|b| b.server(&server.name)).cloned();
            if let Some(record) = record.or_else(|| absent?.server(&id)) {
                return record;
            }
            let checked = config.health.is_some() && server.check;
            let waits = checked && somebody_stays;
            let health = match waits || start.is_none() {
                true => Health::Down,
                false => Health::Unchecked,
            };
            let record = Server::new(id, pool.clone(), health, generation, threads);
            record.location.set(*start);
            Arc::new(record)
        })
        .collect::<Vec<_>>();
    Backend {
        failures: failures_of(config.outlier, &servers, old),
        ring: ArcSwapOption::new(ring(&config, &servers, old)),
        starts_slowly: config.servers.iter().any(|s| s.slow_start.is_some()),
        config,
        pool,
        servers,
        originators,
        starts,
        index,
    }
}

/// The old one, if it would be the same: it takes a while to make for thousands of servers.
fn ring(
    config: &config::Backend,
    servers: &[Arc<Server>],
    old: Option<&Backend>,
) -> Option<Arc<Ring>> {
    if !config.balance.is_hash() {
        return None;
    }
    let servers = weights(config, servers);
    let same = old.and_then(|old| old.ring.load_full());
    Some(
        same.filter(|ring| ring.is_of(&servers))
            .unwrap_or_else(|| Arc::new(Ring::new(servers))),
    )
}
