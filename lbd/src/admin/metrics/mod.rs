//! `/metrics`: every number that there is, read from the tallies while nobody waits for it.
//!
//! The names are the contract's, and what is counted how is in the README. Never takes a lock that requests take.

mod process;
mod server;
mod text;

use jiff::Timestamp;
use lb_proto::config::Mode;
use lb_proto::status::LastReload;

use self::text::{Kind, Text, labels};
use crate::state::{ByClass, Frontend, FrontendTally, Shared, Snapshot};

pub(super) use self::text::Format;

/// All of it. Takes as long as there are servers: not for the control thread.
pub(super) fn write(shared: &Shared, last_reload: Option<&LastReload>, format: Format) -> String {
    let snapshot = shared.snapshot();
    let mut text = Text::new(format);
    daemon(&mut text, shared, &snapshot);
    config(&mut text, &snapshot, last_reload);
    frontends(&mut text, &snapshot);
    server::write(&mut text, &snapshot);
    certificates(&mut text, &snapshot);
    process::write(&mut text);
    text.finish()
}

fn daemon(text: &mut Text, shared: &Shared, snapshot: &Snapshot) {
    text.family(
        Kind::Gauge,
        "lbd_build_info",
        "1, with the version that runs.",
    );
    text.sample(&labels(&[("version", lb_proto::VERSION)]), 1);
    let connections = snapshot.frontends.iter().map(connections).sum::<u64>();
    let gauges = [
        (
            "lbd_stopping",
            "Whether lbd is stopping.",
            u64::from(shared.is_stopping()),
        ),
        ("lbd_threads", "Data threads.", shared.threads as u64),
        (
            "lbd_connections",
            "Client connections open now, all frontends.",
            connections,
        ),
        (
            "lbd_connections_limit",
            "How many may be open at once.",
            shared.connections.most() as u64,
        ),
        (
            "lbd_tls_handshakes",
            "TLS handshakes with clients in progress now.",
            shared.handshakes.count() as u64,
        ),
        (
            "lbd_tls_handshakes_waiting",
            "Those that wait for one of the others to end.",
            shared.handshakes.waiting() as u64,
        ),
        (
            "lbd_tls_handshakes_limit",
            "How many may be in progress at once.",
            shared.handshakes.most() as u64,
        ),
    ];
    for (name, help, value) in gauges {
        text.family(Kind::Gauge, name, help);
        text.sample("", value);
    }
    text.family(
        Kind::Counter,
        "lbd_access_log_lost_lines",
        "Lines of the access log that there was no room for.",
    );
    text.sample("", shared.access_log.lost());
}

fn config(text: &mut Text, snapshot: &Snapshot, last_reload: Option<&LastReload>) {
    text.family(
        Kind::Gauge,
        "lbd_config_generation",
        "The generation of the configuration that runs.",
    );
    text.sample("", snapshot.loaded.generation);
    text.family(
        Kind::Gauge,
        "lbd_config_last_reload_successful",
        "Whether the last reload succeeded, or there was none since the start.",
    );
    text.sample("", u64::from(last_reload.is_none_or(|last| last.ok)));
    let at = last_reload.map_or(&snapshot.loaded.at, |last| &last.at);
    if let Ok(at) = at.parse::<Timestamp>() {
        text.family(
            Kind::Gauge,
            "lbd_config_last_reload_timestamp_seconds",
            "When the last reload was, or the start, in seconds since 1970.",
        );
        text.sample("", at.as_second());
    }
}

/// A metric of every frontend, and the counter that it is read from.
type Reading = (
    Kind,
    &'static str,
    &'static str,
    fn(&FrontendTally) -> &std::sync::atomic::AtomicU64,
);

const FRONTEND: &[Reading] = &[
    (
        Kind::Gauge,
        "lbd_frontend_connections",
        "Client connections open now.",
        |t| &t.connections,
    ),
    (
        Kind::Gauge,
        "lbd_frontend_sessions",
        "Requests, or connections of mode tcp, under way now.",
        |t| &t.sessions,
    ),
    (
        Kind::Counter,
        "lbd_frontend_requests",
        "Requests, or connections of mode tcp.",
        |t| &t.requests_total,
    ),
    (
        Kind::Counter,
        "lbd_frontend_bytes_in",
        "Bytes that came from clients.",
        |t| &t.bytes_in,
    ),
    (
        Kind::Counter,
        "lbd_frontend_bytes_out",
        "Bytes sent to clients.",
        |t| &t.bytes_out,
    ),
];

fn frontends(text: &mut Text, snapshot: &Snapshot) {
    let name = |frontend: &Frontend| labels(&[("frontend", frontend.config.name.as_str())]);
    for (kind, family, help, read) in FRONTEND {
        text.family(*kind, family, help);
        for frontend in &snapshot.frontends {
            text.sample(&name(frontend), frontend.record.tallies.sum(read));
        }
    }
    text.family(
        Kind::Gauge,
        "lbd_frontend_connections_limit",
        "How many client connections may be open at once, where that is bounded.",
    );
    for frontend in &snapshot.frontends {
        if let Some(most) = frontend.config.max_connections {
            text.sample(&name(frontend), most);
        }
    }
    text.family(
        Kind::Counter,
        "lbd_frontend_responses",
        "What requests ended with, by the class of the status that the client was sent.",
    );
    for frontend in snapshot
        .frontends
        .iter()
        .filter(|f| f.config.mode == Mode::Http)
    {
        for (class, code) in ByClass::NAMES.into_iter().enumerate() {
            let count = frontend.record.tallies.sum(|t| t.responses.of(class));
            text.sample_of(&name(frontend), ("code", code), count);
        }
    }
}

fn connections(frontend: &Frontend) -> u64 {
    frontend.record.tallies.sum(|t| &t.connections)
}

fn certificates(text: &mut Text, snapshot: &Snapshot) {
    text.family(
        Kind::Gauge,
        "lbd_certificate_not_after_timestamp_seconds",
        "When a certificate ends, in seconds since 1970.",
    );
    for file in snapshot.certificates.all() {
        let path = file.path.to_string_lossy();
        text.sample(&labels(&[("file", &path)]), file.bundle.leaf.not_after);
    }
}
