//! `status`: how everything is, or one backend or server of it.

mod certificates;

use std::time::Instant;

use jiff::Timestamp;
use lb_proto::config;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{BackendName, ServerId};
use lb_proto::request::Status as StatusCall;
use lb_proto::state::State;
use lb_proto::status::{
    AccessLogStatus, AdminStatus, BackendStatus, CheckStatus, ConfigStatus, Daemon, Ejected,
    FrontendStatus, HostStatus, KeptStatus, Rising, SCHEMA, ServerStatus, Status,
};

use super::{find_server, unknown};
use crate::control::{Control, Reloader};
use crate::state::{
    Backend, Connections, Frontend, Loaded, Server, Snapshot, seconds_left, unix_now,
};

pub(in crate::control) async fn run(
    call: &StatusCall,
    control: &Control,
) -> Result<Status, ErrorReply> {
    let file_differs = control.reloader.file_differs().await;
    let snapshot = control.shared.snapshot();
    let (frontends, mut backends, certificates) = match call.of.as_deref() {
        None => (
            snapshot.frontends.iter().map(frontend_status).collect(),
            snapshot.backends.iter().map(backend_status).collect(),
            certificates::status(&snapshot, unix_now()),
        ),
        Some(name) => (Vec::new(), vec![one_of(&snapshot, name)?], Vec::new()),
    };
    for backend in &mut backends {
        backend.rolling = control.shared.rolling.of(&backend.name);
    }
    Ok(Status {
        schema: SCHEMA,
        daemon: daemon_status(control, &snapshot, file_differs),
        frontends,
        backends,
        certificates,
    })
}

/// The backend named, or the backend of the server named with that server alone.
fn one_of(snapshot: &Snapshot, name: &str) -> Result<BackendStatus, ErrorReply> {
    if !name.contains('/') {
        let known: Option<BackendName> = name.parse().ok();
        return known
            .and_then(|name| snapshot.backend(&name))
            .map(backend_status)
            .ok_or_else(|| unknown(snapshot, ErrorCode::NoSuchBackend, name));
    }
    let id: ServerId = name
        .parse()
        .map_err(|_| unknown(snapshot, ErrorCode::NoSuchServer, name))?;
    let (backend, server) = find_server(snapshot, &id)?;
    Ok(BackendStatus {
        servers: vec![server_status(backend, server)],
        ..backend_frame(backend)
    })
}

fn daemon_status(control: &Control, snapshot: &Snapshot, file_differs: Option<bool>) -> Daemon {
    let shared = &control.shared;
    let log = &shared.access_log;
    let access_log = log.current().map(|sink| AccessLogStatus {
        path: sink.config.path.to_string(),
        lost: log.lost(),
    });
    let Connections { all, removed } = shared.connections_now();
    Daemon {
        version: lb_proto::VERSION.to_owned(),
        pid: std::process::id(),
        uptime_s: shared.started.elapsed().as_secs(),
        started_at: Some(shared.started_at.clone()),
        config: config_status(&snapshot.loaded, &control.reloader, file_differs),
        connections: all,
        connections_removed: removed,
        connections_limit: shared.connections.most() as u64,
        handshakes: shared.handshakes.count() as u64,
        handshakes_waiting: shared.handshakes.waiting() as u64,
        handshakes_limit: shared.handshakes.most() as u64,
        access_log,
        kept: KeptStatus {
            config_error: control.reloader.unwritten(),
            audit_error: control.audit.error(),
            ..control.keeper.status(shared)
        },
        admin: snapshot.admin.as_ref().map(|admin| AdminStatus {
            bind: admin.listener.address.to_string(),
            tls: certificates::bind(&admin.listener, admin.config.tls.as_ref()),
        }),
    }
}

fn config_status(loaded: &Loaded, reloader: &Reloader, file_differs: Option<bool>) -> ConfigStatus {
    let trial = reloader.trial_status();
    ConfigStatus {
        path: loaded.path.clone(),
        generation: loaded.generation,
        loaded_at: loaded.at.clone(),
        sha256: loaded.sha256.clone(),
        file_differs,
        confirmed: trial
            .as_ref()
            .is_none_or(|trial| trial.confirm_until.is_none()),
        trial,
        last_reload: reloader.last_reload(),
    }
}

fn frontend_status(frontend: &Frontend) -> FrontendStatus {
    let tallies = &frontend.record.tallies;
    let binds = frontend.listeners.iter().map(|l| l.address.to_string());
    FrontendStatus {
        name: frontend.config.name.clone(),
        mode: frontend.config.mode.as_str().to_owned(),
        binds: binds.collect(),
        connections: frontend.record.connections(),
        sessions: tallies.sum(|t| &t.sessions),
        requests_total: tallies.sum(|t| &t.requests_total),
        bytes_in: tallies.sum(|t| &t.bytes_in),
        bytes_out: tallies.sum(|t| &t.bytes_out),
        tls: certificates::binds(frontend),
    }
}

fn backend_status(backend: &Backend) -> BackendStatus {
    let servers = backend.servers.iter();
    BackendStatus {
        servers: servers.map(|s| server_status(backend, s)).collect(),
        ..backend_frame(backend)
    }
}

fn backend_frame(backend: &Backend) -> BackendStatus {
    BackendStatus {
        name: backend.config.name.clone(),
        balance: backend.config.balance.to_string(),
        queued: backend.pool.queue.len() as u64,
        servers: Vec::new(),
        rolling: None,
    }
}

fn address(server: &Server, config: Option<&config::Server>) -> String {
    match (server.location.address(), config) {
        (Some(address), _) => address.to_string(),
        (None, config) => config.map(|c| c.address.to_string()).unwrap_or_default(),
    }
}

fn host(server: &Server, config: &config::Server) -> Option<HostStatus> {
    let name = config.address.host()?;
    let trouble = server.location.trouble();
    Some(HostStatus {
        name: name.to_owned(),
        resolved: server.location.address().is_some(),
        failing_s: trouble.as_ref().map(|t| t.since.elapsed().as_secs()),
        error: trouble.map(|t| t.detail),
    })
}

pub(super) fn server_status(backend: &Backend, server: &Server) -> ServerStatus {
    let name = &server.id.server;
    let config = backend.server_config(name);
    let (admin, health) = (server.admin(), server.health());
    let weight_configured = config.map_or(0, |c| c.weight);
    let last_check = server.past.last_check();
    ServerStatus {
        name: name.clone(),
        address: address(server, config),
        host: config.and_then(|config| host(server, config)),
        weight: server.overrides.weight_over(weight_configured),
        weight_configured,
        backup: config.is_some_and(|c| c.backup),
        admin,
        health,
        state: State::of(admin, health),
        check: backend.checks(name).is_some(),
        sticky_clients: backend
            .config
            .sticky
            .is_some()
            .then(|| server.returning_clients()),
        move_sticky: server.moves_sticky(),
        sessions: server.sessions(),
        sessions_max: server.sessions_max(),
        sessions_total: server.sessions_total(),
        bytes_in: server.bytes_in(),
        bytes_out: server.bytes_out(),
        errors: server.errors(),
        rising: rising(backend, server, last_check.as_ref()),
        last_check,
        changed_s: server.changed().elapsed().as_secs(),
        session_cookie: match backend.config.sticky {
            None if backend.config.shares_sessions => None,
            None => server.session_cookie.get().map(str::to_owned),
            Some(_) => None,
        },
        ejected: server.ejection.term().map(|term| Ejected {
            left_s: seconds_left(&term, Instant::now()),
            reason: term.reason,
        }),
        overrides: server.overrides.status(Timestamp::now(), weight_configured),
    }
}

fn rising(backend: &Backend, server: &Server, last: Option<&CheckStatus>) -> Option<Rising> {
    let check = backend.checks(&server.id.server)?;
    let waits = State::of(server.admin(), server.health()) == State::Down;
    let unopposed = last.is_none_or(|last| last.result.is_ok());
    (waits && unopposed).then(|| Rising {
        has: server.past.against(),
        needs: check.rise,
    })
}
