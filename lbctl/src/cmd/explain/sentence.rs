//! A server's state and the reason for it in one sentence. Pure.

use lb_proto::reply::{Because, Change, Explain};
use lb_proto::state::{Admin, Health, State};

use super::times::Clock;
use crate::duration;
use crate::ui::words;

/// `down since 14:02:11: 3 of 3 checks failed, GET /healthz answered 404, expected 200`
pub(super) fn sentence(told: &Explain, clock: &Clock) -> String {
    let server = &told.server;
    let since = clock.time(&told.since);
    let state = server.state;
    let beginning = match state {
        State::Up | State::Down => format!("{state} since {since}"),
        State::Drain | State::Maint => format!("in {state} since {since}"),
    };
    let reason = match state {
        State::Down => down(told),
        State::Maint => by_whom(told, clock),
        State::Drain => {
            let left = match server.sessions {
                0 => "no session is left".to_owned(),
                left => format!("{} left", words::sessions(left)),
            };
            format!("{}; {left}", by_whom(told, clock))
        }
        State::Up => return up(told, &beginning),
    };
    format!("{beginning}: {reason}")
}

fn down(told: &Explain) -> String {
    let server = &told.server;
    if let Some(host) = server.host.as_ref().filter(|host| !host.resolved) {
        let why = host.error.as_deref().unwrap_or("it was not looked up yet");
        return format!("its name {} leads nowhere, {why}", host.name);
    }
    let also = match server.admin {
        Admin::Drain => "; it is drained as well",
        _ => "",
    };
    let reason = match last_change(told, State::Down) {
        // Its health began anew; what is missing is more than what was done to it.
        Some(change) if !is_of_checks(&change.reason) => fresh(told, &change.reason),
        Some(change) => plain(&change.reason),
        None => match &server.last_check {
            Some(last) => last.detail.clone(),
            None => "no check has succeeded yet".to_owned(),
        },
    };
    format!("{reason}{also}")
}

/// It is down until checks succeed, since something was done to it.
fn fresh(told: &Explain, done: &str) -> String {
    let rise = told.check.as_ref().map_or(1, |check| check.rise);
    let (has, checks) = (told.against, if rise == 1 { "check" } else { "checks" });
    let last = told
        .server
        .last_check
        .as_ref()
        .filter(|last| !last.result.is_ok());
    let found = last
        .map(|last| format!(", the last found {}", last.detail))
        .unwrap_or_default();
    format!("{has} of {rise} {checks} that it needs have succeeded since {done}{found}")
}

fn up(told: &Explain, beginning: &str) -> String {
    let server = &told.server;
    if let Some(ejected) = &server.ejected {
        let left = duration::words(std::time::Duration::from_secs(ejected.left_s));
        let (state, reason) = (server.state, &ejected.reason);
        return format!("{state}, but left alone for {left} more: {reason}");
    }
    let reason = match (server.check, server.health, last_change(told, State::Up)) {
        (false, ..) => "it is not checked".to_owned(),
        (true, Health::Unchecked, _) => "no check has spoken yet".to_owned(),
        (true, _, Some(change)) => plain(&change.reason),
        (true, _, None) => match &server.last_check {
            Some(last) => last.detail.clone(),
            None => "its checks succeed".to_owned(),
        },
    };
    let but = match told.share.because {
        Because::Weightless => "; it gets no new sessions, since its weight is 0",
        Because::Spare => "; it gets no new sessions while a server that is no backup is up",
        _ => "",
    };
    format!("{beginning}: {reason}{but}")
}

/// Who set it, why and for how long.
fn by_whom(told: &Explain, clock: &Clock) -> String {
    let Some(set) = &told.server.overrides.admin else {
        return "an operator set it".to_owned();
    };
    let reason = set.reason.as_deref().map(|why| format!(", {why}"));
    let until = set
        .until
        .as_deref()
        .map(|at| format!(", until {}", clock.time(at)));
    let (reason, until) = (reason.unwrap_or_default(), until.unwrap_or_default());
    format!("set by {}{reason}{until}", set.by)
}

/// What brought it into this state. Of one that came up unchecked, the first check that spoke for it.
fn last_change(told: &Explain, state: State) -> Option<&Change> {
    let brought = |change: &&Change| {
        let confirmed = state == State::Up && is_of_checks(&change.reason);
        change.state == state && (change.was != state || confirmed)
    };
    told.changes.iter().rev().find(brought)
}

fn is_of_checks(reason: &str) -> bool {
    reason.starts_with("check ") || reason.contains(" checks ")
}

/// `3 of 3 checks failed: L7STS, GET / answered 404` without the code, which is for those who know it.
fn plain(reason: &str) -> String {
    let Some((what, rest)) = reason.split_once(": ") else {
        return reason.to_owned();
    };
    match rest.split_once(", ") {
        Some((code, detail)) if is_code(code) => format!("{what}, {detail}"),
        _ => reason.to_owned(),
    }
}

fn is_code(word: &str) -> bool {
    let mut letters = word.bytes();
    letters.next() == Some(b'L') && letters.next().is_some_and(|b| b.is_ascii_digit())
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::tz::TimeZone;
    use lb_proto::reply::{CheckRules, SessionKinds, Share};
    use lb_proto::status::{By, CheckResult, CheckStatus, Ejected, HostStatus, Override};

    use super::*;
    use crate::ui::sample;

    fn change(at: &str, was: State, state: State, reason: &str) -> Change {
        Change {
            at: format!("2026-11-27T{at}Z"),
            was,
            state,
            reason: reason.to_owned(),
        }
    }

    /// A server that has been up since its first check.
    pub(in crate::cmd::explain) fn told() -> Explain {
        Explain {
            backend: "app".parse().unwrap(),
            mode: "http".to_owned(),
            balance: "roundrobin".to_owned(),
            server: sample::server("web01"),
            since: "2026-11-27T13:59:58Z".to_owned(),
            check: Some(CheckRules {
                method: Some("GET".to_owned()),
                path: Some("/healthz".to_owned()),
                host: None,
                expect: Some("200".to_owned()),
                interval_ms: 2_000,
                timeout_ms: 500,
                rise: 2,
                fall: 3,
            }),
            probes: Vec::new(),
            against: 0,
            changes: vec![change(
                "14:00:00",
                State::Up,
                State::Up,
                "check succeeded: L7OK, GET /healthz answered 200",
            )],
            sessions: SessionKinds {
                requests: 2,
                tunnels: 1,
                connections: 0,
            },
            share: Share {
                percent: 50.0,
                because: Because::Weight,
            },
        }
    }

    /// One that checks have brought down.
    pub(in crate::cmd::explain) fn down_by(result: CheckResult, detail: &str) -> Explain {
        let mut told = told();
        let server = &mut told.server;
        (server.health, server.state) = (Health::Down, State::Down);
        let last = CheckStatus {
            at: "2026-11-27T14:02:11Z".to_owned(),
            result,
            status: (result == CheckResult::L7STS).then_some(404),
            latency_ms: 1.24,
            detail: detail.to_owned(),
        };
        server.last_check = Some(last.clone());
        told.probes = vec![last];
        told.since = "2026-11-27T14:02:11Z".to_owned();
        let reason = format!("3 of 3 checks failed: {}, {detail}", result.as_str());
        told.changes
            .push(change("14:02:11", State::Up, State::Down, &reason));
        told.share = Share {
            percent: 0.0,
            because: Because::NotUp,
        };
        told
    }

    fn said(told: &Explain) -> String {
        let now = "2026-11-27T15:00:00Z".parse().unwrap();
        sentence(told, &Clock::at(now, TimeZone::UTC))
    }

    #[test]
    fn down_says_how_many_checks_failed_and_what_they_saw() {
        let lost = down_by(
            CheckResult::L7STS,
            "GET /healthz answered 404, expected 200",
        );
        assert_eq!(
            said(&lost),
            "down since 14:02:11: 3 of 3 checks failed, GET /healthz answered 404, expected 200"
        );
        let refused = down_by(CheckResult::L4CON, "connection refused");
        assert_eq!(
            said(&refused),
            "down since 14:02:11: 3 of 3 checks failed, connection refused"
        );
        let mut drained = refused;
        drained.server.admin = Admin::Drain;
        drained.changes.push(change(
            "14:05:00",
            State::Down,
            State::Down,
            "drain by uid 0, pid 7",
        ));
        assert_eq!(
            said(&drained),
            "down since 14:02:11: 3 of 3 checks failed, connection refused; it is drained as well"
        );
    }

    #[test]
    fn a_server_whose_health_begins_anew_says_what_it_waits_for() {
        let mut told = down_by(CheckResult::L4CON, "connection refused");
        told.changes = vec![change(
            "14:02:11",
            State::Maint,
            State::Down,
            "ready by uid 0, pid 7",
        )];
        assert_eq!(
            said(&told),
            "down since 14:02:11: 0 of 2 checks that it needs have succeeded since ready by uid 0, pid 7, \
             the last found connection refused"
        );
        told.server.last_check = None;
        told.against = 1;
        assert!(
            said(&told).ends_with(
                "1 of 2 checks that it needs have succeeded since ready by uid 0, pid 7"
            )
        );
    }

    #[test]
    fn a_name_that_leads_nowhere_is_the_reason() {
        let mut told = down_by(CheckResult::L4CON, "connection refused");
        told.server.host = Some(HostStatus {
            name: "app.internal".to_owned(),
            resolved: false,
            error: Some("no such name".to_owned()),
            failing_s: Some(9),
        });
        assert_eq!(
            said(&told),
            "down since 14:02:11: its name app.internal leads nowhere, no such name"
        );
    }

    #[test]
    fn who_took_it_out_is_told_with_why_and_for_how_long() {
        let mut told = told();
        told.since = "2026-11-26T14:02:11Z".to_owned();
        told.server.admin = Admin::Maint;
        told.server.state = State::Maint;
        let set = Override {
            at: told.since.clone(),
            age_s: 60,
            by: By {
                uid: Some(1000),
                pid: Some(7),
                user: Some("ops".to_owned()),
                dashboard: None,
            },
            reason: None,
            until: None,
            left_s: None,
            then: None,
        };
        told.server.overrides.admin = Some(set.clone());
        assert_eq!(
            said(&told),
            "in maint since 2026-11-26 14:02:11: set by ops (uid 1000, pid 7)"
        );
        told.server.admin = Admin::Drain;
        told.server.state = State::Drain;
        told.server.overrides.admin = Some(Override {
            reason: Some("kernel patch".to_owned()),
            until: Some("2026-11-27T16:00:00Z".to_owned()),
            ..set
        });
        assert_eq!(
            said(&told),
            "in drain since 2026-11-26 14:02:11: set by ops (uid 1000, pid 7), kernel patch, until 16:00:00; \
             3 sessions left"
        );
        told.server.sessions = 0;
        assert!(said(&told).ends_with("; no session is left"));
    }

    #[test]
    fn up_says_what_it_rests_on_and_what_keeps_traffic_away() {
        assert_eq!(
            said(&told()),
            "up since 13:59:58: check succeeded, GET /healthz answered 200"
        );
        let mut unchecked = told();
        unchecked.server.check = false;
        assert_eq!(said(&unchecked), "up since 13:59:58: it is not checked");
        let mut early = told();
        early.server.health = Health::Unchecked;
        assert_eq!(said(&early), "up since 13:59:58: no check has spoken yet");
        let mut weightless = told();
        weightless.share.because = Because::Weightless;
        assert!(said(&weightless).ends_with("; it gets no new sessions, since its weight is 0"));
        let mut ejected = told();
        ejected.server.ejected = Some(Ejected {
            left_s: 12,
            reason: "10 errors within 10s".to_owned(),
        });
        assert_eq!(
            said(&ejected),
            "up, but left alone for 12s more: 10 errors within 10s"
        );
    }
}
