//! Servers.

use lb_proto::state::State;

use super::histogram;
use super::text::{Kind, Text, labels};
use crate::state::{Backend, ByClass, Handshake, Server, Snapshot};

const STATES: [State; 4] = [State::Up, State::Drain, State::Maint, State::Down];

/// One server, and how it is called in each of its samples.
struct Labelled<'a> {
    backend: &'a Backend,
    server: &'a Server,
    labels: String,
}

/// A metric that has one value for each server: its name, what it is, and where it is read.
type Reading = (&'static str, &'static str, fn(&Labelled<'_>) -> Option<u64>);

const GAUGES: &[Reading] = &[
    (
        "lbd_server_up",
        "Whether it takes new sessions: its state is up.",
        |s| Some(u64::from(s.server.state() == State::Up)),
    ),
    ("lbd_server_sessions", "Sessions now.", |s| {
        Some(s.server.sessions())
    }),
    (
        "lbd_server_sessions_max",
        "The most sessions that there were at once.",
        |s| Some(s.server.sessions_max()),
    ),
    (
        "lbd_server_sessions_limit",
        "How many sessions it may have at once, where that is bounded.",
        |s| {
            let config = s.backend.server_config(&s.server.id.server)?;
            config.max_connections.map(u64::from)
        },
    ),
    (
        "lbd_server_tunnels",
        "Sessions that are tunnels, as of WebSockets.",
        |s| Some(s.server.tunnels()),
    ),
    ("lbd_server_weight", "Its weight as it counts.", |s| {
        let config = s.backend.server_config(&s.server.id.server)?;
        Some(s.server.overrides.weight_over(config.weight).into())
    }),
    (
        "lbd_server_backup",
        "Whether it is used only where no other of its backend is up.",
        |s| {
            let config = s.backend.server_config(&s.server.id.server)?;
            Some(config.backup.into())
        },
    ),
    (
        "lbd_server_queue",
        "Requests that wait for this very server.",
        |s| Some(s.server.load.queued()),
    ),
    (
        "lbd_server_idle_connections",
        "Connections by HTTP/1 that are kept for later requests.",
        |s| Some(s.server.tallies.sum(|t| &t.idle)),
    ),
    (
        "lbd_server_ejected",
        "Whether it is left alone for a while for its failures (outlier).",
        |s| Some(s.server.ejection.is_on().into()),
    ),
];

const COUNTERS: &[Reading] = &[
    (
        "lbd_server_sessions_started",
        "Sessions, one for each attempt.",
        |s| Some(s.server.sessions_total()),
    ),
    (
        "lbd_server_retries",
        "Sessions that began because an attempt before them failed.",
        |s| Some(s.server.tallies.sum(|t| &t.retries)),
    ),
    (
        "lbd_server_redispatches",
        "Of these, those whose attempt before was on another server.",
        |s| Some(s.server.tallies.sum(|t| &t.redispatches)),
    ),
    (
        "lbd_server_connection_reuses",
        "Attempts that were sent on a connection that was there.",
        |s| Some(s.server.tallies.sum(|t| &t.reuses)),
    ),
    (
        "lbd_server_connections_opened",
        "Connections that were made, TLS included.",
        |s| Some(s.server.tallies.sum(|t| &t.opened)),
    ),
    (
        "lbd_server_ejections",
        "How often it was left alone for its failures (outlier).",
        |s| Some(s.server.ejection.times()),
    ),
    (
        "lbd_server_state_changes",
        "How often its state changed.",
        |s| Some(s.server.changes()),
    ),
    (
        "lbd_server_connects",
        "Sessions for which a connection was to be made; the others used one that was kept.",
        |s| Some(s.server.tallies.sum(|t| &t.connects)),
    ),
    (
        "lbd_server_connect_errors",
        "Connections that failed.",
        |s| Some(s.server.errors().connect),
    ),
    (
        "lbd_server_response_errors",
        "Responses that were bad, cut or late.",
        |s| Some(s.server.errors().response),
    ),
    ("lbd_server_bytes_in", "Bytes sent to it.", |s| {
        Some(s.server.bytes_in())
    }),
    ("lbd_server_bytes_out", "Bytes that came from it.", |s| {
        Some(s.server.bytes_out())
    }),
    ("lbd_server_checks", "Health checks.", |s| {
        Some(s.server.past.checks().all)
    }),
    (
        "lbd_server_check_failures",
        "Health checks that failed.",
        |s| Some(s.server.past.checks().failed),
    ),
];

pub(super) fn write(text: &mut Text, snapshot: &Snapshot) {
    let servers: Vec<Labelled<'_>> = snapshot.backends.iter().flat_map(labelled).collect();
    for (kind, readings) in [(Kind::Gauge, GAUGES), (Kind::Counter, COUNTERS)] {
        for (name, help, read) in readings {
            text.family(kind, name, help);
            for server in &servers {
                if let Some(value) = read(server) {
                    text.sample(&server.labels, value);
                }
            }
        }
    }
    text.family(
        Kind::Gauge,
        "lbd_server_state",
        "1 for the state that it is in, 0 for the others.",
    );
    for server in &servers {
        let current = server.server.state();
        for state in STATES {
            let is = u64::from(state == current);
            text.sample_of(&server.labels, ("state", state.as_str()), is);
        }
    }
    let of_http = || {
        servers
            .iter()
            .filter(|s| s.backend.config.mode == lb_proto::config::Mode::Http)
    };
    text.family(
        Kind::Counter,
        "lbd_server_requests",
        "Requests that it answered, by the class of the status.",
    );
    for server in of_http() {
        for (class, name) in ByClass::NAMES.into_iter().enumerate().skip(1) {
            let count = server.server.tallies.sum(|t| t.responses.of(class));
            text.sample_of(&server.labels, ("code", name), count);
        }
    }
    text.family(
        Kind::Histogram,
        "lbd_server_response_seconds",
        "Time from when a request was sent to when the head of its response was there.",
    );
    for server in of_http() {
        histogram(text, &server.labels, &server.server.tallies, |t| &t.times);
    }
    text.family(
        Kind::Counter,
        "lbd_server_tls_handshakes",
        "TLS handshakes with it, by what became of them.",
    );
    let secure = servers
        .iter()
        .filter(|s| s.backend.originator(&s.server.id.server).is_some());
    for server in secure {
        for (became, word) in Handshake::NAMES.into_iter().enumerate() {
            let count = server.server.tallies.sum(|t| t.handshakes.of(became));
            text.sample_of(&server.labels, ("result", word), count);
        }
    }
    text.family(
        Kind::Gauge,
        "lbd_server_check_seconds",
        "How long its last health check took.",
    );
    for server in &servers {
        if let Some(ms) = server.server.past.last_latency_ms() {
            text.sample(&server.labels, ms / 1e3);
        }
    }
}

fn labelled(backend: &Backend) -> impl Iterator<Item = Labelled<'_>> {
    let servers = backend.servers.iter();
    servers.map(move |server| Labelled {
        backend,
        server,
        labels: labels(&[
            ("backend", server.id.backend.as_str()),
            ("server", server.id.server.as_str()),
        ]),
    })
}
