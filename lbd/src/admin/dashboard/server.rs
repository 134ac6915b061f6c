//! A server's row. Pure.

use lb_proto::name::ServerId;
use lb_proto::state::{Admin, Health, State};
use lb_proto::status::{BackendStatus, CheckStatus, ServerStatus};

use super::spark;
use super::view::{Cells, Row, Seen};
use super::words::{self, Clock, NOTHING};
use crate::admin::history::Recent;

/// From this share of failures on there is something to look at.
const SOME_FAIL: f64 = 0.01;
pub(super) const MANY_FAIL: f64 = 0.05;

pub(super) fn key(backend: &BackendStatus, server: &ServerStatus) -> String {
    format!("{}/{}", backend.name, server.name)
}

pub(super) fn row(backend: &BackendStatus, server: &ServerStatus, seen: &Seen<'_>) -> Row {
    let recent = seen.history.server(&ServerId {
        backend: backend.name.clone(),
        server: server.name.clone(),
    });
    let look = look(server);
    let cells = Cells::default()
        .with("name", server.name.as_str())
        .with("address", address(server))
        .with("role", if server.backup { "backup" } else { "" })
        .with("look", look)
        .with("icon", format!("#i-{look}"))
        .with("word", word(server))
        .with("since", since(server))
        .with("admin", server.admin.as_str())
        .with("held", held(backend, server, seen.clock))
        .with("left", leaving(server).unwrap_or_default())
        .with("why", why(server, seen.clock))
        .with("sessions", words::number(server.sessions))
        .with("most", words::number(server.sessions_max))
        .with("spark", spark::path(&recent.levels))
        .with("drawn", drawn(&recent));
    let cells = lately(cells, &recent)
        .with("in", words::bytes(server.bytes_in))
        .with("out", words::bytes(server.bytes_out))
        .with("sticky", sticky(server))
        .with("weight", server.weight.to_string())
        .with("set", weight_set(server, seen.clock));
    let cells = checked(cells, server, seen.clock).with("by", by(server, &recent));
    Row {
        key: key(backend, server),
        cells,
    }
}

/// What colour and shape it has.
pub(super) fn look(server: &ServerStatus) -> &'static str {
    match server.state {
        State::Up if server.ejected.is_some() => "ejected",
        state => state.as_str(),
    }
}

fn word(server: &ServerStatus) -> &'static str {
    match (server.state, server.admin) {
        (State::Down, Admin::Drain) => "down, drain",
        _ => look(server),
    }
}

fn address(server: &ServerStatus) -> String {
    match &server.host {
        Some(host) if host.resolved => format!("{} ({})", server.address, host.name),
        _ => server.address.clone(),
    }
}

/// For how long it has been in its state: what an operator set may be older than the daemon.
fn since(server: &ServerStatus) -> String {
    let seconds = match &server.overrides.admin {
        Some(set) if matches!(server.state, State::Drain | State::Maint) => set.age_s,
        _ => server.changed_s,
    };
    words::seconds(seconds)
}

/// Why it is as it is, where that does not go without saying.
pub(super) fn why(server: &ServerStatus, clock: &Clock) -> String {
    let mut parts = Vec::new();
    if let Some(ejected) = &server.ejected {
        let left = words::seconds(ejected.left_s);
        parts.push(format!("left alone for {left}: {}", ejected.reason));
    }
    match server.state {
        State::Drain | State::Maint => {}
        State::Down => parts.extend(match server.rising {
            Some(rising) => Some(rising.to_string()),
            None => server.last_check.as_ref().map(verdict),
        }),
        State::Up if server.check && server.health == Health::Unchecked => {
            parts.push("not checked yet".to_owned());
        }
        State::Up => {}
    }
    if let Some(set) = &server.overrides.admin {
        let also = match server.state {
            State::Down => "in drain ",
            _ => "",
        };
        parts.push(format!("{also}{}", words::set(set, clock)));
    }
    if server.state == State::Drain && server.move_sticky {
        parts.push("its sticky clients go elsewhere".to_owned());
    }
    if let Some(error) = server.host.as_ref().and_then(|host| host.error.as_ref()) {
        parts.push(format!("its name cannot be looked up: {error}"));
    }
    parts.join(" · ")
}

/// Who has it as it is, and would be overruled by whoever sets it now.
pub(super) fn held(backend: &BackendStatus, server: &ServerStatus, clock: &Clock) -> String {
    let set = server.overrides.admin.as_ref();
    let set = set.map(|set| words::set(set, clock));
    let rolling = backend.rolling.as_ref().and_then(|rolling| {
        rolling
            .current()
            .filter(|turn| turn.server == server.name)?;
        let by = words::who(&rolling.by);
        Some(match (rolling.running, &rolling.hook) {
            (true, Some(_)) => {
                format!("a rolling maintenance by {by} has its command at work there")
            }
            (true, None) => format!("a rolling maintenance by {by} is at it"),
            (false, _) => format!("a rolling maintenance by {by} stopped there"),
        })
    });
    let parts: Vec<_> = set.into_iter().chain(rolling).collect();
    parts.join("; ")
}

/// How far it is with sessions that finish.
pub(super) fn leaving(server: &ServerStatus) -> Option<String> {
    match (server.admin, server.sessions) {
        (Admin::Ready, _) => None,
        (_, 0) => Some("no sessions left".to_owned()),
        (_, left) => Some(format!("{} left", words::count(left, "session"))),
    }
}

/// `L7STS 404: GET /healthz answered 404, expected 200`
fn verdict(check: &CheckStatus) -> String {
    match check.detail.as_str() {
        "" => code(check),
        detail => format!("{}: {detail}", check.result.as_str()),
    }
}

fn code(check: &CheckStatus) -> String {
    let code = check.result.as_str();
    check
        .status
        .map_or_else(|| code.to_owned(), |status| format!("{code} {status}"))
}

/// What was counted in the last minute.
pub(super) fn lately(cells: Cells, recent: &Recent) -> Cells {
    let (failed, begun) = (u64::from(recent.failed), u64::from(recent.begun));
    let [half, most, nearly_all] = match recent.times {
        Some(times) => times.map(words::quantile),
        None => [NOTHING; 3].map(str::to_owned),
    };
    cells
        .with("rate", words::rate(recent.rate))
        .with("errors", words::share(failed.min(begun), begun))
        .with("failing", failing(recent))
        .with("p50", half)
        .with("p95", most)
        .with("p99", nearly_all)
}

fn failing(recent: &Recent) -> &'static str {
    match failed(recent) {
        many if many >= MANY_FAIL => "bad",
        some if some >= SOME_FAIL => "warn",
        _ => "",
    }
}

/// The share of what was begun in the last minute that failed.
pub(super) fn failed(recent: &Recent) -> f64 {
    match recent.begun {
        0 => 0.0,
        begun => f64::from(recent.failed.min(begun)) / f64::from(begun),
    }
}

/// The drawing in words.
pub(super) fn drawn(recent: &Recent) -> String {
    let levels = &recent.levels;
    match (levels.iter().min(), levels.iter().max()) {
        (Some(least), Some(most)) => {
            format!("between {least} and {most} in the last five minutes")
        }
        _ => "nothing known yet".to_owned(),
    }
}

fn sticky(server: &ServerStatus) -> String {
    let clients = server.sticky_clients;
    clients.map_or_else(String::new, |clients| {
        format!(" · {} sticky", words::number(clients))
    })
}

fn weight_set(server: &ServerStatus, clock: &Clock) -> String {
    let set = server.overrides.weight.as_ref();
    set.map_or_else(String::new, |set| {
        let configured = server.weight_configured;
        format!("not {configured}, {}", words::set(set, clock))
    })
}

fn checked(cells: Cells, server: &ServerStatus, clock: &Clock) -> Cells {
    let (code, took, detail, tone) = match &server.last_check {
        Some(check) => (
            code(check),
            words::latency(check.latency_ms),
            format!("{} {}", clock.time(&check.at), check.detail),
            if check.result.is_ok() { "" } else { "bad" },
        ),
        None if server.check => (
            "none yet".into(),
            String::new(),
            "no check has spoken yet".into(),
            "",
        ),
        None => ("off".into(), String::new(), "it is not checked".into(), ""),
    };
    cells
        .with("check", code)
        .with("took", took)
        .with("detail", detail)
        .with("tone", tone)
}

/// What rows are sorted by, in this order: state, sessions, rate, failures, times, bytes. Whole numbers.
fn by(server: &ServerStatus, recent: &Recent) -> String {
    let rank = match look(server) {
        "down" => 0,
        "ejected" => 1,
        "maint" => 2,
        "drain" => 3,
        _ => 4,
    };
    let rate = recent.rate.unwrap_or(0.0) * 1e3;
    let most = recent.times.map_or(0, |[_, most, _]| words::millis(most));
    format!(
        "{rank} {} {rate:.0} {:.0} {most} {}",
        server.sessions,
        failed(recent) * 1e4,
        server.bytes_out
    )
}
