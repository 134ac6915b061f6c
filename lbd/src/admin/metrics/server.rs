//! Backends and their servers.

use lb_proto::state::State;

use super::text::{Kind, Text, labels};
use crate::state::{Backend, ByClass, Histogram, Server, Snapshot};

const STATES: [State; 4] = [State::Up, State::Drain, State::Maint, State::Down];

/// [`Histogram::BOUNDS`] in seconds.
const BOUNDS: [&str; Histogram::BOUNDS.len()] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0",
];

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
        |s| Some(s.server.sum(|t| &t.retries)),
    ),
    (
        "lbd_server_connects",
        "Sessions for which a connection was to be made; the others used one that was kept.",
        |s| Some(s.server.sum(|t| &t.connects)),
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
    text.family(
        Kind::Gauge,
        "lbd_backend_queue",
        "Requests that wait for a server with room.",
    );
    for backend in snapshot.backends.iter() {
        let name = labels(&[("backend", backend.config.name.as_str())]);
        text.sample(&name, backend.pool.queue.len());
    }
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
            let count = server.server.sum(|t| t.responses.of(class));
            text.sample_of(&server.labels, ("code", name), count);
        }
    }
    text.family(
        Kind::Histogram,
        "lbd_server_response_seconds",
        "Time from when a request was sent to when the head of its response was there.",
    );
    for server in of_http() {
        let counts: [u64; BOUNDS.len() + 1] =
            std::array::from_fn(|bound| server.server.sum(|t| t.times.bucket(bound)));
        let micros = server.server.sum(|t| t.times.micros());
        text.histogram(&server.labels, &BOUNDS, &counts, micros as f64 / 1e6);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_that_are_counted_by() {
        let seconds = BOUNDS.map(|bound| (bound.parse::<f64>().unwrap() * 1e6).round() as u64);
        assert_eq!(seconds, Histogram::BOUNDS);
    }
}
