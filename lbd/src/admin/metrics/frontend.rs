//! Frontends, and the threads that serve them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lb_proto::config::Mode;

use super::histogram;
use super::text::{Kind, Text, labels};
use crate::state::{
    ByClass, Frontend, FrontendRecord, FrontendTally, Handshake, Reason, Shared, Snapshot, ThreadId,
};

/// A metric of every frontend, and the counter that it is read from.
type Reading = (
    Kind,
    &'static str,
    &'static str,
    fn(&FrontendTally) -> &AtomicU64,
);

const FRONTEND: &[Reading] = &[
    (
        Kind::Gauge,
        "lbd_frontend_connections",
        "Client connections open now.",
        |t| &t.connections,
    ),
    (
        Kind::Counter,
        "lbd_frontend_connections_accepted",
        "Client connections, ever.",
        |t| &t.accepted,
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

pub(super) fn write(text: &mut Text, shared: &Shared, snapshot: &Snapshot) {
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
    let of_http = || {
        let all = snapshot.frontends.iter();
        all.filter(|frontend| frontend.config.mode == Mode::Http)
    };
    for frontend in of_http() {
        for (class, code) in ByClass::NAMES.into_iter().enumerate() {
            let count = frontend.record.tallies.sum(|t| t.responses.of(class));
            text.sample_of(&name(frontend), ("code", code), count);
        }
    }
    text.family(
        Kind::Histogram,
        "lbd_frontend_response_seconds",
        "Time from when a request's head was whole to when the head of a server's response was there.",
    );
    for frontend in of_http() {
        histogram(text, &name(frontend), &frontend.record.tallies, |t| {
            &t.times
        });
    }
    text.family(
        Kind::Counter,
        "lbd_frontend_errors",
        "Requests, or connections of mode tcp, that lbd refused or could not have answered, by the reason.",
    );
    for frontend in &snapshot.frontends {
        for (reason, word) in Reason::NAMES.into_iter().enumerate() {
            let count = frontend.record.tallies.sum(|t| t.errors.of(reason));
            text.sample_of(&name(frontend), ("reason", word), count);
        }
    }
    text.family(
        Kind::Counter,
        "lbd_frontend_tls_handshakes",
        "TLS handshakes with clients, by what became of them.",
    );
    let speaks_tls = |frontend: &&Frontend| frontend.config.binds.iter().any(|b| b.tls.is_some());
    for frontend in snapshot.frontends.iter().filter(speaks_tls) {
        for (became, word) in Handshake::NAMES.into_iter().enumerate() {
            let count = frontend.record.tallies.sum(|t| t.handshakes.of(became));
            text.sample_of(&name(frontend), ("result", word), count);
        }
    }
    text.family(
        Kind::Gauge,
        "lbd_thread_connections",
        "Client connections that a data thread has now.",
    );
    for at in 0..shared.threads {
        let of_thread = |record: Arc<FrontendRecord>| {
            let tally = record.tallies.of(ThreadId(at));
            tally.connections.load(Ordering::Relaxed)
        };
        let records = snapshot.frontends.iter().map(|f| f.record.clone());
        let records = records.chain(snapshot.removed_frontends());
        let connections = records.map(of_thread).sum::<u64>();
        let thread = labels(&[("thread", &format!("data-{at}"))]);
        text.sample(&thread, connections);
    }
}
