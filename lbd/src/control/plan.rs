//! What another configuration would change of the one that runs: what differs is
//! [`lb_proto::config::diff`]'s; how many sessions it touches now is known here. Changes nothing.

use lb_proto::config::{self, diff, diff_certificates};
use lb_proto::plan::{Change, Effect, Part, Section};

use crate::state::{Backend, Snapshot};

/// `now`: seconds since 1970.
pub(super) fn between(
    before: &Snapshot,
    config: &config::Config,
    certificates: &config::Certificates,
    now: i64,
) -> Vec<Change> {
    let mut changes = diff(&before.config(), config);
    changes.extend(diff_certificates(&before.certificates, certificates, now));
    for change in &mut changes {
        count(before, change);
    }
    changes
}

fn count(before: &Snapshot, change: &mut Change) {
    match change.effect {
        Effect::SessionsFinish | Effect::StartsOver | Effect::Reconnects => {
            change.sessions = sessions(before, change);
        }
        Effect::ConnectionsFinish => {
            let frontend = before.frontends.iter();
            let mut named = frontend.filter(|f| f.config.name.as_str() == change.place.name);
            if let Some(frontend) = named.next() {
                let tallies = &frontend.record.tallies;
                change.connections = Some(tallies.sum(|tally| &tally.connections));
                change.sessions = Some(tallies.sum(|tally| &tally.sessions));
            }
        }
        Effect::AtOnce
        | Effect::NewRequests
        | Effect::NewConnections
        | Effect::NewHandshakes
        | Effect::NewSessions
        | Effect::ChecksAgain
        | Effect::Joins
        | Effect::Listens
        | Effect::CookiesForgotten
        | Effect::Restart
        | Effect::Shown => {}
    }
}

/// Those of the server, or of all servers of the backend.
fn sessions(before: &Snapshot, change: &Change) -> Option<u64> {
    let backend = match change.place.section {
        Section::Backend => before.backend(&change.place.name.parse().ok()?)?,
        Section::Global
        | Section::Admin
        | Section::Traces
        | Section::Frontend
        | Section::Certificate => return None,
    };
    match &change.place.part {
        Some(Part::Server(name)) => Some(backend.server(name)?.sessions()),
        _ => Some(all_sessions(backend)),
    }
}

fn all_sessions(backend: &Backend) -> u64 {
    backend.servers.iter().map(|server| server.sessions()).sum()
}
