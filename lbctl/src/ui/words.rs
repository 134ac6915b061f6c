//! Numbers and codes in the words of an operator.

use std::time::Duration;

use anstyle::AnsiColor;
use lb_proto::name::BackendName;
use lb_proto::rolling::{Phase, Rolling};
use lb_proto::state::{Admin, Health, State};
use lb_proto::status::{By, CheckStatus, HostStatus, Override, ServerStatus};

use crate::duration;
use crate::there;

/// `1 session`, `3 sessions`
pub(crate) fn sessions(count: u64) -> String {
    match count {
        1 => "1 session".to_owned(),
        _ => format!("{count} sessions"),
    }
}

/// `1 sticky client`, `41 sticky clients`
pub(crate) fn sticky_clients(count: u64) -> String {
    match count {
        1 => "1 sticky client".to_owned(),
        _ => format!("{count} sticky clients"),
    }
}

/// `L4CON: connection refused`
pub(crate) fn check(check: &CheckStatus) -> String {
    match check.detail.as_str() {
        "" => match check.status {
            Some(status) => format!("{} {status}", check.result.as_str()),
            None => check.result.as_str().to_owned(),
        },
        detail => format!("{}: {detail}", check.result.as_str()),
    }
}

/// `down (L4CON: connection refused)`; of one that was set anew, what was seen before that tells nothing.
pub(crate) fn health(server: &ServerStatus) -> String {
    if let Some(rising) = server.rising {
        return format!("{} ({rising})", server.health);
    }
    match &server.last_check {
        Some(last) => format!("{} ({})", server.health, check(last)),
        None => format!("{} (no check yet)", server.health),
    }
}

/// Three digits and a binary unit: `0`, `812 B`, `1.2 MiB`, `34 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would round to "1024.0" of a unit that has a bigger sibling.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match value {
        small if small < 9.95 => format!("{small:.1} {}", UNITS[unit]),
        large => format!("{large:.0} {}", UNITS[unit]),
    }
}

/// `2026-11-23 20:31:11 UTC`, from the RFC 3339 of the wire; anything else as it came.
pub(crate) fn time(rfc3339: &str) -> String {
    let Some((date, rest)) = rfc3339.split_once('T') else {
        return rfc3339.to_owned();
    };
    let Some(clock) = rest.strip_suffix('Z') else {
        return rfc3339.to_owned();
    };
    let clock = clock.split('.').next().unwrap_or(clock);
    format!("{date} {clock} UTC")
}

/// `rolling maintenance by ops since …, at web02, 1 of 3 done`
pub(crate) fn rolling(backend: &BackendName, rolling: &Rolling) -> String {
    let who = rolling.by.user.clone();
    let who = who.unwrap_or_else(|| rolling.by.to_string());
    let since = time(&rolling.since);
    let at = rolling.current().map(|turn| turn.server.as_str());
    let done = rolling
        .turns
        .iter()
        .filter(|turn| turn.phase == Phase::Done);
    let done = format!("{} of {} done", done.count(), rolling.turns.len());
    match (rolling.running, at) {
        (true, Some(at)) => {
            format!("rolling maintenance by {who} since {since}, at {at}, {done}")
        }
        (true, None) => format!("rolling maintenance by {who} since {since}, {done}"),
        (false, at) => format!(
            "rolling maintenance by {who} stopped{}, {done}: {} rolling-maintenance {backend} --resume",
            at.map_or_else(String::new, |at| format!(" at {at}")),
            there::lbctl()
        ),
    }
}

pub(crate) fn latency(millis: f64) -> String {
    if millis < 10.0 {
        return format!("{millis:.1}ms");
    }
    if millis < 1_000.0 {
        return format!("{millis:.0}ms");
    }
    duration::words(Duration::from_millis(millis.min(1e12) as u64))
}

/// The state, and what hides behind it: a server that is down may be drained as well, and one that
/// drains may send its sticky clients elsewhere.
pub(crate) fn state(server: &ServerStatus) -> String {
    if let Some(ejected) = &server.ejected {
        let left = duration::words(Duration::from_secs(ejected.left_s));
        return format!("{}, ejected {left}", server.state);
    }
    match (server.state, server.admin) {
        (State::Down, Admin::Drain) => "down, drain".to_owned(),
        (State::Drain, _) if server.move_sticky => "drain, moving".to_owned(),
        (state, _) => state.to_string(),
    }
}

pub(crate) fn color(server: &ServerStatus) -> AnsiColor {
    match server.state {
        _ if server.ejected.is_some() => AnsiColor::Yellow,
        State::Up => AnsiColor::Green,
        State::Down => AnsiColor::Red,
        State::Drain => AnsiColor::Yellow,
        State::Maint => AnsiColor::Blue,
    }
}

/// `10.0.0.11:8080`, and the name that led there.
pub(crate) fn address(server: &ServerStatus) -> String {
    let address = &server.address;
    match &server.host {
        Some(host) if host.resolved => format!("{address} ({})", host.name),
        _ => address.clone(),
    }
}

/// `by ops: kernel update, 18m left`
fn set(set: &Override) -> String {
    let left = set
        .left_s
        .map(|left| format!(", {} left{}", seconds(left), then(set)));
    let (by, why) = (who(&set.by), why_set(set));
    format!("by {by}{why}{}", left.unwrap_or_default())
}

/// `set 2h05m ago by ops (uid 1000, pid 4711): kernel update; 18m left`
pub(crate) fn set_in_full(set: &Override) -> String {
    let left = set
        .left_s
        .map(|left| format!("; {} left{}", seconds(left), then(set)));
    let (age, by, why) = (seconds(set.age_s), &set.by, why_set(set));
    format!("set {age} ago by {by}{why}{}", left.unwrap_or_default())
}

/// When it ends by itself. RFC 3339, UTC.
pub(crate) fn until_when(server: &ServerStatus) -> Option<String> {
    server.overrides.admin.as_ref()?.until.clone()
}

/// ` until 2026-11-23 21:01:11 UTC (in 18m)`, where it ends by itself.
pub(crate) fn until(server: &ServerStatus) -> String {
    let set = server.overrides.admin.as_ref();
    let ends = set.and_then(|set| Some((set.until.as_ref()?, set.left_s?)));
    ends.map_or_else(String::new, |(until, left)| {
        let then = set.map_or(String::new(), then);
        format!(" until {} (in {}){then}", time(until), seconds(left))
    })
}

/// `, then maint again`, where it is not ready after that.
fn then(set: &Override) -> String {
    let then = set.then;
    then.map_or(String::new(), |admin| format!(", then {admin} again"))
}

fn why_set(set: &Override) -> String {
    let reason = set.reason.as_ref();
    reason.map_or(String::new(), |reason| format!(": {reason}"))
}

fn who(by: &By) -> String {
    match (&by.user, by.uid) {
        (Some(user), _) => user.clone(),
        (None, Some(uid)) => format!("uid {uid}"),
        (None, None) if by.dashboard.is_some() => "dashboard".to_owned(),
        (None, None) => "somebody".to_owned(),
    }
}

/// For how long the server has been in its state: what an operator set may be older than the daemon.
pub(crate) fn since(server: &ServerStatus) -> String {
    match &server.overrides.admin {
        Some(set) if matches!(server.state, State::Drain | State::Maint) => seconds(set.age_s),
        _ => seconds(server.changed_s),
    }
}

/// The weight, and what is configured where that is another one.
pub(crate) fn weight(server: &ServerStatus) -> String {
    match server.overrides.weight {
        Some(_) => format!("{}, not {}", server.weight, server.weight_configured),
        None => server.weight.to_string(),
    }
}

pub(crate) fn seconds(count: u64) -> String {
    duration::words(Duration::from_secs(count))
}

/// Why a server is in its state, as far as its errors and its last check tell. What a successful check said in
/// full is of no interest here.
pub(crate) fn why(server: &ServerStatus) -> String {
    if let Some(ejected) = &server.ejected {
        return ejected.reason.clone();
    }
    if let (State::Drain | State::Maint, Some(by)) = (server.state, &server.overrides.admin) {
        return set(by);
    }
    match &server.host {
        Some(HostStatus {
            resolved: false,
            error: None,
            ..
        }) => return "DNS: not looked up yet".to_owned(),
        Some(HostStatus {
            resolved,
            error: Some(error),
            ..
        }) if !resolved || server.state != State::Down => return format!("DNS: {error}"),
        _ => {}
    }
    if !server.check {
        return "no checks".to_owned();
    }
    if let Some(rising) = server.rising {
        return rising.to_string();
    }
    match (&server.last_check, server.health) {
        (_, _) if server.admin == Admin::Maint => "checks stopped".to_owned(),
        (None, Health::Unchecked | Health::Up) => "not checked yet".to_owned(),
        (None, Health::Down) => "no check since maint".to_owned(),
        (Some(last), _) if last.result.is_ok() => match last.status {
            Some(status) => format!("{} {status}", last.result.as_str()),
            None => last.result.as_str().to_owned(),
        },
        (Some(last), _) => check(last),
    }
}

#[cfg(test)]
mod tests {
    use lb_proto::status::{Ejected, Overrides, Rising};

    use super::*;
    use crate::ui::sample;

    #[test]
    fn bytes_have_three_digits_at_most() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(15 * 1024), "15 KiB");
        assert_eq!(bytes(1023 * 1024), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16 EiB");
    }

    #[test]
    fn a_time_loses_its_letters_and_its_fraction() {
        assert_eq!(time("2026-11-23T20:31:11Z"), "2026-11-23 20:31:11 UTC");
        assert_eq!(time("2026-11-23T20:31:11.123Z"), "2026-11-23 20:31:11 UTC");
        assert_eq!(time("yesterday"), "yesterday");
    }

    #[test]
    fn a_rolling_maintenance_says_who_is_at_it_or_how_to_go_on() {
        let turn = |server: &str, phase| lb_proto::rolling::Turn {
            server: server.parse().unwrap(),
            phase,
        };
        let mut one = Rolling {
            since: "2026-11-23T20:31:11Z".to_owned(),
            by: lb_proto::status::By {
                uid: Some(1000),
                pid: Some(7),
                user: Some("ops".to_owned()),
                dashboard: None,
            },
            running: true,
            turns: vec![turn("web01", Phase::Done), turn("web02", Phase::Maint)],
            hook: None,
        };
        let app = "app".parse().unwrap();
        assert_eq!(
            rolling(&app, &one),
            "rolling maintenance by ops since 2026-11-23 20:31:11 UTC, at web02, 1 of 2 done"
        );
        one.running = false;
        assert_eq!(
            rolling(&app, &one),
            "rolling maintenance by ops stopped at web02, 1 of 2 done: \
             lbctl rolling-maintenance app --resume"
        );
    }

    #[test]
    fn what_a_check_said_is_told_when_it_failed() {
        assert_eq!(why(&sample::server("web01")), "L7OK 200");
        assert_eq!(
            why(&sample::down("web02")),
            "L4CON: connection refused by 10.0.0.12:8080"
        );
    }

    #[test]
    fn a_name_is_shown_with_where_it_leads() {
        let mut server = sample::server("web02");
        let mut host = HostStatus {
            name: "app.internal".to_owned(),
            resolved: true,
            error: None,
            failing_s: None,
        };
        server.host = Some(host.clone());
        assert_eq!(address(&server), "10.0.0.11:8080 (app.internal)");
        assert_eq!(why(&server), "L7OK 200");
        host.error = Some("no such name".to_owned());
        server.host = Some(host.clone());
        assert_eq!(why(&server), "DNS: no such name");
        let down = ServerStatus {
            host: Some(host.clone()),
            ..sample::down("web02")
        };
        assert_eq!(why(&down), why(&sample::down("web02")));
        host.resolved = false;
        server.host = Some(host);
        server.address = "app.internal:8080".to_owned();
        assert_eq!(address(&server), "app.internal:8080");
        assert_eq!(why(&server), "DNS: no such name");
    }

    #[test]
    fn a_server_on_its_way_up_says_what_it_waits_for() {
        let server = ServerStatus {
            rising: Some(Rising { has: 1, needs: 2 }),
            last_check: sample::server("web02").last_check,
            ..sample::down("web02")
        };
        assert_eq!(why(&server), "it waits for its checks: 1 of 2 succeeded");
        let whole = "down (it waits for its checks: 1 of 2 succeeded)";
        assert_eq!(health(&server), whole);
    }

    #[test]
    fn an_ejected_server_says_what_it_did_and_for_how_long() {
        let server = ServerStatus {
            ejected: Some(Ejected {
                left_s: 12,
                reason: "10 errors within 10s".to_owned(),
            }),
            ..sample::server("web02")
        };
        assert_eq!(state(&server), "up, ejected 12s");
        assert_eq!(why(&server), "10 errors within 10s");
    }

    #[test]
    fn what_an_operator_set_says_who_why_and_for_how_long() {
        let mut by = Override {
            at: "2026-11-23T20:31:11Z".to_owned(),
            age_s: 720,
            by: By {
                uid: Some(1000),
                pid: Some(4711),
                user: Some("ops".to_owned()),
                dashboard: None,
            },
            reason: Some("kernel update".to_owned()),
            until: Some("2026-11-23T21:01:11Z".to_owned()),
            left_s: Some(1080),
            then: None,
        };
        let set = |admin, weight| ServerStatus {
            admin: Admin::Drain,
            state: State::Drain,
            changed_s: 3,
            overrides: Overrides { admin, weight },
            ..sample::server("web01")
        };
        let drained = set(Some(by.clone()), None);
        assert_eq!(since(&drained), "12m");
        assert_eq!(why(&drained), "by ops: kernel update, 18m left");
        assert_eq!(weight(&drained), "1");
        let said = " until 2026-11-23 21:01:11 UTC (in 18m)";
        assert_eq!(until(&drained), said);
        let mut maint = drained.clone();
        maint.overrides.admin.as_mut().unwrap().then = Some(Admin::Maint);
        assert_eq!(until(&maint), format!("{said}, then maint again"));
        by.by.user = None;
        by.reason = None;
        by.left_s = None;
        assert_eq!(why(&set(Some(by.clone()), None)), "by uid 1000");
        assert_eq!(set_in_full(&by), "set 12m ago by uid 1000, pid 4711");
        by.by = By {
            dashboard: Some([192, 0, 2, 7].into()),
            ..By::default()
        };
        assert_eq!(why(&set(Some(by.clone()), None)), "by dashboard");
        assert_eq!(set_in_full(&by), "set 12m ago by dashboard (192.0.2.7)");
        let lighter = ServerStatus {
            weight: 0,
            ..set(None, Some(by))
        };
        assert_eq!(weight(&lighter), "0, not 1");
    }

    #[test]
    fn a_drained_server_that_is_down_says_both() {
        let server = ServerStatus {
            admin: Admin::Drain,
            ..sample::down("web02")
        };
        assert_eq!(state(&server), "down, drain");
    }
}
