//! What is known of a server, the reason for its state first. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use lb_proto::reply::{Because, CheckRules, Explain, Share};
use lb_proto::state::{Health, State};
use lb_proto::status::{CheckStatus, ServerStatus};

use super::next::steps;
use super::sentence::sentence;
use super::times::Clock;
use crate::duration;
use crate::ui::{Canvas, words};

pub(super) fn text(told: &Explain, clock: &Clock, canvas: &Canvas) -> String {
    let server = &told.server;
    let bold = if canvas.color {
        Style::new().bold()
    } else {
        Style::new()
    };
    let name = format!("{}/{}", told.backend, server.name);
    let mut text = format!("{bold}{name}{bold:#} {}\n\n", sentence(told, clock));
    fact(&mut text, "address", &[words::address(server)]);
    fact(&mut text, "admin", &[server.admin.to_string()]);
    fact(&mut text, "weight", &[weight(server, clock)]);
    fact(&mut text, "health", &[health(told)]);
    fact(
        &mut text,
        "checks",
        &[told.check.as_ref().map_or_else(|| "none".to_owned(), rules)],
    );
    fact(&mut text, "sessions", &[sessions(told)]);
    fact(&mut text, "share", &[share(&told.share, server.state)]);
    let changes = told.changes.iter().rev().map(|change| {
        let at = clock.time(&change.at);
        match change.was == change.state {
            true => format!("{at}  {}: {}", change.state, change.reason),
            false => format!(
                "{at}  {} -> {}: {}",
                change.was, change.state, change.reason
            ),
        }
    });
    fact(&mut text, "changes", &changes.collect::<Vec<_>>());
    fact(
        &mut text,
        "probes",
        &told
            .probes
            .iter()
            .rev()
            .map(|p| probe(p, clock))
            .collect::<Vec<_>>(),
    );
    fact(&mut text, "next", &steps(told));
    let _ = writeln!(text, "\n(times are {})", clock.zone());
    text
}

/// A name, and what there is to say, a line each.
fn fact(text: &mut String, name: &str, lines: &[String]) {
    let mut name = name;
    for line in lines {
        let _ = writeln!(text, "{name:9} {line}");
        name = "";
    }
}

/// With who set another than the configured one.
fn weight(server: &ServerStatus, clock: &Clock) -> String {
    let (weight, configured) = (server.weight, server.weight_configured);
    match &server.overrides.weight {
        None => weight.to_string(),
        Some(set) => {
            let why = set.reason.as_deref().map(|why| format!(", {why}"));
            let (at, by) = (clock.time(&set.at), &set.by);
            let why = why.unwrap_or_default();
            format!("{weight}, configured {configured}; set at {at} by {by}{why}")
        }
    }
}

/// With how near it is to a change.
fn health(told: &Explain) -> String {
    let health = told.server.health;
    let Some(check) = &told.check else {
        return health.to_string();
    };
    match (health, told.against) {
        (Health::Up, 0) | (Health::Unchecked, _) => health.to_string(),
        (Health::Up, n) => format!(
            "up; {n} of {} failures in a row that bring it down",
            check.fall
        ),
        (Health::Down, _) if check.rise == 1 => "down; a success brings it up".to_owned(),
        (Health::Down, n) => format!(
            "down; {n} of {} successes in a row that bring it up",
            check.rise
        ),
    }
}

/// `GET /healthz every 2s, expects 200 within 2s; 2 successes in a row bring it up, 3 failures down`
fn rules(check: &CheckRules) -> String {
    let millis = |millis: u64| match millis % 1_000 {
        0 => duration::words(Duration::from_millis(millis)),
        _ if millis < 1_000 => format!("{millis}ms"),
        _ => duration::words(Duration::from_millis(millis)),
    };
    let (interval, timeout) = (millis(check.interval_ms), millis(check.timeout_ms));
    let what = match (&check.method, &check.path) {
        (Some(method), Some(path)) => format!("{method} {path}"),
        _ => "a connection".to_owned(),
    };
    let expects = match &check.expect {
        Some(expect) => format!("expects {expect}"),
        None => "it has to come".to_owned(),
    };
    let (rise, fall) = (check.rise, check.fall);
    let many = |n: u32, one: &str, several: &str| match n {
        1 => format!("1 {one} brings"),
        n => format!("{n} {several} in a row bring"),
    };
    format!(
        "{what} every {interval}, {expects} within {timeout}; {} it up, {} it down",
        many(rise, "success", "successes"),
        many(fall, "failure", "failures"),
    )
}

fn sessions(told: &Explain) -> String {
    let kinds = &told.sessions;
    let many = |n: u64, one: &str, many: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {many}")),
    };
    let parts = [
        many(kinds.requests, "request in flight", "requests in flight"),
        many(kinds.tunnels, "tunnel", "tunnels"),
        many(kinds.connections, "connection", "connections"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let now = match parts.is_empty() {
        true => "none now".to_owned(),
        false => parts.join(", "),
    };
    match told.server.sticky_clients {
        Some(clients) => format!(
            "{now}; {} in the last minute",
            words::sticky_clients(clients)
        ),
        None => now,
    }
}

/// `50 % of new sessions, by its weight`
fn share(share: &Share, state: State) -> String {
    let percent = match share.percent {
        whole if (whole - whole.round()).abs() < 0.05 => format!("{whole:.0}"),
        part => format!("{part:.1}"),
    };
    let why = match share.because {
        Because::Weight => "by its weight".to_owned(),
        Because::SlowStart => "it is starting slowly (slow_start)".to_owned(),
        Because::StandsIn => "it is a backup, and no other server is up".to_owned(),
        Because::LastResort => "it fails too often, and nobody else is left".to_owned(),
        Because::Spare => "it is a backup, and others are up".to_owned(),
        Because::AnotherBackup => "it is a backup, and another one comes first".to_owned(),
        Because::Ejected => "it failed too often (outlier)".to_owned(),
        Because::Weightless => "its weight is 0".to_owned(),
        Because::NotUp => format!("its state is {state}"),
    };
    format!("{percent} % of new sessions that no cookie ties to a server: {why}")
}

fn probe(probe: &CheckStatus, clock: &Clock) -> String {
    let (at, result) = (clock.time(&probe.at), probe.result.as_str());
    let status = probe
        .status
        .map(|status| format!(" {status}"))
        .unwrap_or_default();
    let result = format!("{result}{status}");
    format!(
        "{at}  {result:9} {:>7}  {}",
        words::latency(probe.latency_ms),
        probe.detail
    )
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use lb_proto::status::CheckResult;

    use super::*;
    use crate::cmd::explain::sentence::tests::{down_by, told};

    fn shown(told: &Explain) -> String {
        let now = "2026-11-27T15:00:00Z".parse().unwrap();
        let canvas = Canvas {
            width: Some(80),
            color: false,
        };
        text(told, &Clock::at(now, TimeZone::UTC), &canvas)
    }

    #[test]
    fn the_reason_comes_first_and_then_what_is_known() {
        let mut told = down_by(
            CheckResult::L7STS,
            "GET /healthz answered 404, expected 200",
        );
        told.against = 1;
        assert_eq!(
            shown(&told),
            "\
app/web01 down since 14:02:11: 3 of 3 checks failed, GET /healthz answered 404, expected 200

address   10.0.0.11:8080
admin     ready
weight    1
health    down; 1 of 2 successes in a row that bring it up
checks    GET /healthz every 2s, expects 200 within 500ms; 2 successes in a row bring it up, 3 failures in a row bring it down
sessions  2 requests in flight, 1 tunnel
share     0 % of new sessions that no cookie ties to a server: its state is down
changes   14:02:11  up -> down: 3 of 3 checks failed: L7STS, GET /healthz answered 404, expected 200
          14:00:00  up: check succeeded: L7OK, GET /healthz answered 200
probes    14:02:11  L7STS 404   1.2ms  GET /healthz answered 404, expected 200
next      curl -i http://10.0.0.11:8080/healthz    # what it answers
          sudo lbctl doctor    # asks it, and says what to change

(times are UTC)
"
        );
    }

    #[test]
    fn sessions_are_told_by_their_kind() {
        let mut told = told();
        told.sessions = Default::default();
        assert_eq!(sessions(&told), "none now");
        told.sessions.connections = 7;
        told.server.sticky_clients = Some(1);
        assert_eq!(
            sessions(&told),
            "7 connections; 1 sticky client in the last minute"
        );
    }

    #[test]
    fn a_share_says_why_it_is_what_it_is() {
        let of = |percent, because| share(&Share { percent, because }, State::Up);
        assert!(of(33.333, Because::Weight).starts_with("33.3 % of new sessions"));
        assert!(of(50.0, Because::SlowStart).starts_with("50 % of"));
        assert!(of(0.0, Because::Spare).ends_with("it is a backup, and others are up"));
    }
}
