//! `/metrics`: every number that there is, read from the tallies while nobody waits for it.
//!
//! The names are the contract's, and what is counted how is in the README. Never takes a lock that requests take.

mod backend;
mod frontend;
mod process;
mod server;
mod text;

use jiff::Timestamp;
use lb_proto::status::{LastReload, TrialStatus};

use self::text::{Kind, Text, labels};
use crate::state::{Connections, Histogram, PerThread, Shared, Snapshot};

pub(super) use self::text::Format;

/// [`Histogram::BOUNDS`] in seconds.
const BOUNDS: [&str; Histogram::BOUNDS.len()] = [
    "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0",
    "10.0",
];

/// What the control plane tells of reloads.
#[derive(Debug)]
pub(super) struct Reloads {
    pub(super) last: Option<LastReload>,
    pub(super) trial: Option<TrialStatus>,
}

/// All of it. Takes as long as there are servers: not for the control thread.
pub(super) fn write(shared: &Shared, reloads: &Reloads, format: Format) -> String {
    let snapshot = shared.snapshot();
    let mut text = Text::new(format);
    daemon(&mut text, shared);
    config(&mut text, &snapshot, reloads);
    frontend::write(&mut text, shared, &snapshot);
    backend::write(&mut text, &snapshot);
    server::write(&mut text, &snapshot);
    certificates(&mut text, &snapshot);
    process::write(&mut text);
    text.finish()
}

fn daemon(text: &mut Text, shared: &Shared) {
    text.family(
        Kind::Gauge,
        "lbd_build_info",
        "1, with the version that runs.",
    );
    text.sample(&labels(&[("version", lb_proto::VERSION)]), 1);
    let Connections { all, removed } = shared.connections_now();
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
            all,
        ),
        (
            "lbd_connections_removed",
            "Those of frontends that the configuration no longer has.",
            removed,
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
    let spans = &shared.spans;
    let counters = [
        (
            "lbd_trace_spans_exported",
            "Spans that the collector took.",
            spans.exported(),
        ),
        (
            "lbd_trace_spans_dropped",
            "Spans that it did not take, or that there was no room for.",
            spans.dropped(),
        ),
        (
            "lbd_trace_export_failures",
            "Exports that failed, those that were tried again included.",
            spans.failures(),
        ),
    ];
    for (name, help, value) in counters {
        text.family(Kind::Counter, name, help);
        text.sample("", value);
    }
}

fn config(text: &mut Text, snapshot: &Snapshot, reloads: &Reloads) {
    let last_reload = reloads.last.as_ref();
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
    text.family(
        Kind::Gauge,
        "lbd_config_on_trial",
        "Whether the former configuration may come back by itself.",
    );
    text.sample("", u64::from(reloads.trial.is_some()));
    text.family(
        Kind::Gauge,
        "lbd_config_trial_end_timestamp_seconds",
        "When it does unless something happens before, in seconds since 1970.",
    );
    if let Some(end) = reloads.trial.as_ref().and_then(first_end) {
        text.sample("", end.as_second());
    }
}

/// When the first of the conditions of a trial is decided.
fn first_end(trial: &TrialStatus) -> Option<Timestamp> {
    let ends = [&trial.confirm_until, &trial.watched_until].into_iter();
    ends.flatten().filter_map(|end| end.parse().ok()).min()
}

/// One histogram of those of all threads.
fn histogram<T: Default>(
    text: &mut Text,
    labels: &str,
    tallies: &PerThread<T>,
    times: impl Fn(&T) -> &Histogram,
) {
    let counts: [u64; BOUNDS.len() + 1] =
        std::array::from_fn(|bound| tallies.sum(|t| times(t).bucket(bound)));
    let micros = tallies.sum(|t| times(t).micros());
    text.histogram(labels, &BOUNDS, &counts, micros as f64 / 1e6);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_that_are_counted_by() {
        let seconds = BOUNDS.map(|bound| (bound.parse::<f64>().unwrap() * 1e6).round() as u64);
        assert_eq!(seconds, Histogram::BOUNDS);
    }

    #[test]
    fn a_trial_ends_with_the_first_of_its_conditions() {
        let trial = |confirm: Option<&str>, watched: Option<&str>| TrialStatus {
            by: "a test".to_owned(),
            confirm_until: confirm.map(str::to_owned),
            confirm_left_s: None,
            watched_until: watched.map(str::to_owned),
            watched_left_s: None,
        };
        let (early, late) = ("2026-11-27T21:00:00.000Z", "2026-11-27T22:00:00.000Z");
        let end = |trial: &TrialStatus| first_end(trial).map(|end| format!("{end:.3}"));
        assert_eq!(end(&trial(Some(late), Some(early))).as_deref(), Some(early));
        assert_eq!(end(&trial(Some(late), None)).as_deref(), Some(late));
        assert_eq!(end(&trial(None, None)), None);
    }
}
