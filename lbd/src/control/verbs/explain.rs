//! `explain`: why a server is in its state, and what it gets of the traffic.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lb_proto::config::{Check, CheckKind, Mode};
use lb_proto::error::ErrorReply;
use lb_proto::reply::{self, CheckRules, SessionKinds};
use lb_proto::request::Explain;

use super::find_server;
use super::status::server_status;
use crate::control::Control;
use crate::state::{Backend, Server};

pub(in crate::control) fn run(
    call: &Explain,
    control: &Control,
) -> Result<reply::Explain, ErrorReply> {
    let snapshot = control.shared.snapshot();
    let (backend, server) = find_server(&snapshot, &call.server)?;
    let config = &backend.config;
    let story = server.past.story();
    Ok(reply::Explain {
        backend: config.name.clone(),
        mode: config.mode.as_str().to_owned(),
        balance: config.balance.to_string(),
        server: server_status(backend, server),
        since: time_ago(server.changed().elapsed()),
        check: backend.checks(&server.id.server).map(rules),
        probes: story.probes,
        against: story.against,
        changes: story.changes,
        sessions: kinds(backend, server),
        share: backend.share_of(&server.id.server, Instant::now()),
    })
}

/// By the clock of now: RFC 3339, UTC, milliseconds.
fn time_ago(ago: Duration) -> String {
    let ago = SignedDuration::try_from(ago).unwrap_or_default();
    let then = Timestamp::now().checked_sub(ago);
    format!("{:.3}", then.unwrap_or(Timestamp::MIN))
}

fn rules(check: &Check) -> CheckRules {
    let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let (method, path, host) = match &check.kind {
        CheckKind::Tcp => (None, None, None),
        CheckKind::Http {
            method, path, host, ..
        } => (Some(method.clone()), Some(path.clone()), host.clone()),
    };
    CheckRules {
        expect: method.is_some().then(|| check.kind.expected()),
        method,
        path,
        host,
        interval_ms: millis(check.interval),
        timeout_ms: millis(check.timeout),
        rise: check.rise,
        fall: check.fall,
    }
}

/// What is no tunnel is a request. The two are counted one after the other, and may be a moment apart.
fn kinds(backend: &Backend, server: &Server) -> SessionKinds {
    let (all, tunnels) = (server.sessions(), server.tunnels());
    match backend.config.mode {
        Mode::Tcp => SessionKinds {
            connections: all,
            ..SessionKinds::default()
        },
        Mode::Http => SessionKinds {
            requests: all.saturating_sub(tunnels),
            tunnels: tunnels.min(all),
            connections: 0,
        },
    }
}
