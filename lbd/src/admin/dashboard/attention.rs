//! What is wrong or under way, worst first: what an operator is to see before anything else. Pure.

use lb_proto::pem;
use lb_proto::rolling::Phase;
use lb_proto::state::State;
use lb_proto::status::{BackendStatus, Daemon, ServerStatus};

use super::rows::{left, urgency};
use super::server::{self, MANY_FAIL};
use super::view::{Cells, Seen, anchor};
use super::words;

/// Lines on one page.
const MOST: usize = 40;

/// Servers that are told of together, and how many of them by name.
const MANY: usize = 4;
const NAMED: usize = 3;

/// Of the client connections that there may be.
const NEARLY_FULL: f64 = 0.9;

/// Failures of a frontend before their share means anything.
const FEW: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Clients are refused.
    Lost,
    /// Fewer serve them, or they will be refused soon.
    Bad,
    Warn,
    /// Somebody is at it.
    Note,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lost | Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Note => "note",
        }
    }
}

/// A line, and where on the page there is more of it.
struct Line {
    level: Level,
    of: String,
    text: String,
}

pub(super) fn list(seen: &Seen<'_>) -> Vec<Cells> {
    let mut lines = Vec::new();
    let mut add = |level, of: &str, text: String| {
        lines.push(Line {
            level,
            of: of.to_owned(),
            text,
        });
    };
    if seen.stopping {
        let text = "lbd is stopping: it accepts no connections, and sessions finish".to_owned();
        add(Level::Lost, "daemon", text);
    }
    daemon(seen, &mut add);
    for backend in &seen.status.backends {
        of_backend(backend, seen, &mut add);
    }
    frontends(seen, &mut add);
    for certificate in &seen.status.certificates {
        let level = match urgency(certificate) {
            "bad" => Level::Bad,
            "warn" => Level::Warn,
            _ => continue,
        };
        let names = pem::in_short(&certificate.names);
        let text = format!("certificate of {names}: {}", left(certificate));
        add(level, &format!("certificate {}", certificate.file), text);
    }
    lines.sort_by_key(|line| line.level);
    shortened(lines)
}

fn shortened(mut lines: Vec<Line>) -> Vec<Cells> {
    let more = lines.len().saturating_sub(MOST);
    if more > 0 {
        lines.truncate(MOST);
        lines.push(Line {
            level: Level::Note,
            of: String::new(),
            text: format!("and {} more: lbctl status", words::number(more as u64)),
        });
    }
    let cells = lines.into_iter().map(|line| {
        let level = line.level.as_str();
        Cells::default()
            .with("level", level)
            .with("icon", format!("#i-{level}"))
            .with("text", line.text)
            .with("link", format!("#{}", anchor(&line.of)))
    });
    cells.collect()
}

fn daemon(seen: &Seen<'_>, add: &mut impl FnMut(Level, &str, String)) {
    let Daemon {
        config,
        connections,
        connections_removed,
        connections_limit,
        access_log,
        kept,
        ..
    } = &seen.status.daemon;
    if let Some(trial) = &config.trial {
        let mut ends = Vec::new();
        if let (Some(until), Some(left)) = (&trial.confirm_until, trial.confirm_left_s) {
            let (until, left) = (seen.clock.time(until), words::seconds(left));
            ends.push(format!(
                "confirm it until {until} (in {left}): lbctl confirm"
            ));
        }
        if let Some(left) = trial.watched_left_s {
            let left = words::seconds(left);
            ends.push(format!(
                "it goes back if a backend is left without a server within {left}"
            ));
        }
        let text = format!(
            "configuration {} is on trial, by {}; {}",
            config.generation,
            trial.by,
            ends.join("; ")
        );
        add(Level::Warn, "configuration", text);
    }
    if let Some(last) = config.last_reload.as_ref().filter(|last| !last.ok) {
        let error = last.error.as_deref().unwrap_or("see the log");
        let at = seen.clock.time(&last.at);
        let text = format!("the reload of {at} failed, the former configuration runs: {error}");
        add(Level::Warn, "configuration", text);
    } else if config.file_differs == Some(true) {
        let text =
            "the configuration file says something else than what runs: lbctl plan".to_owned();
        add(Level::Note, "configuration", text);
    }
    if let Some(error) = &kept.error {
        let text = format!("what operators set would be forgotten by a restart: {error}");
        add(Level::Warn, "configuration", text);
    }
    if let Some(log) = access_log.as_ref().filter(|log| log.lost > 0) {
        let text = format!(
            "{} of the access log are lost",
            words::count(log.lost, "line")
        );
        add(Level::Warn, "configuration", text);
    }
    if *connections as f64 >= *connections_limit as f64 * NEARLY_FULL {
        let (now, most) = (
            words::number(*connections),
            words::number(*connections_limit),
        );
        let mut text = format!("{now} client connections are open, of {most} that may be");
        if *connections_removed > 0 {
            let removed = words::number(*connections_removed);
            text.push_str(&format!("; {removed} are of frontends that were removed"));
        }
        add(Level::Warn, "frontends", text);
    }
}

fn of_backend(backend: &BackendStatus, seen: &Seen<'_>, add: &mut impl FnMut(Level, &str, String)) {
    let (name, of) = (&backend.name, format!("backend {}", backend.name));
    let takes = |server: &&ServerStatus| server.state == State::Up;
    if !backend.servers.is_empty() && backend.servers.iter().find(takes).is_none() {
        let text = format!("{name} has no server that takes sessions: its clients are refused");
        add(Level::Lost, &of, text);
    }
    if backend.queued > 0 {
        let queued = words::count(backend.queued, "request");
        add(
            Level::Warn,
            &of,
            format!("{queued} wait for a server of {name}"),
        );
    }
    if let Some(rolling) = &backend.rolling {
        let done = rolling
            .turns
            .iter()
            .filter(|turn| turn.phase == Phase::Done);
        let (done, all, by) = (done.count(), rolling.turns.len(), words::who(&rolling.by));
        let at = rolling.current().map(|turn| format!(" at {}", turn.server));
        let at = at.unwrap_or_default();
        let (level, text) = match rolling.running {
            true => (
                Level::Note,
                format!("rolling maintenance of {name} by {by} is{at}, {done} of {all} done"),
            ),
            false => (
                Level::Warn,
                format!(
                    "rolling maintenance of {name} by {by} stopped{at}, {done} of {all} done: \
                     lbctl rolling-maintenance {name} --resume"
                ),
            ),
        };
        add(level, &of, text);
    }
    servers(backend, seen, add);
}

/// Those that are as they are for the same reason, together: a rack that is gone is one line.
fn servers(backend: &BackendStatus, seen: &Seen<'_>, add: &mut impl FnMut(Level, &str, String)) {
    let mut alike: Vec<(Level, String, Vec<&ServerStatus>)> = Vec::new();
    for server in &backend.servers {
        let Some((level, how)) = trouble(server, seen) else {
            continue;
        };
        match alike.iter_mut().find(|(_, known, _)| *known == how) {
            Some((_, _, servers)) => servers.push(server),
            None => alike.push((level, how, vec![server])),
        }
    }
    for (level, how, servers) in alike {
        if servers.len() < MANY {
            for server in servers {
                let key = server::key(backend, server);
                add(level, &key, format!("{key} is {how}"));
            }
            continue;
        }
        let named: Vec<&str> = servers
            .iter()
            .take(NAMED)
            .map(|s| s.name.as_str())
            .collect();
        let more = if servers.len() > NAMED { ", …" } else { "" };
        let (count, name, named) = (servers.len(), &backend.name, named.join(", "));
        let of = format!("backend {name}");
        add(
            level,
            &of,
            format!("{count} servers of {name} ({named}{more}) are {how}"),
        );
    }
}

/// How a server is that is not well, and why.
fn trouble(server: &ServerStatus, seen: &Seen<'_>) -> Option<(Level, String)> {
    let is_lost = server
        .host
        .as_ref()
        .is_some_and(|host| host.error.is_some());
    let level = match server.state {
        State::Down if server.rising.is_some() => Level::Warn,
        State::Down => Level::Bad,
        State::Up if server.ejected.is_some() || is_lost => Level::Warn,
        State::Up => return None,
        State::Drain | State::Maint => Level::Note,
    };
    let how = match server::look(server) {
        set @ ("drain" | "maint") => format!("in {set}"),
        word => word.to_owned(),
    };
    let why = Some(server::why(server, seen.clock)).filter(|why| !why.is_empty());
    let leaving = server::leaving(server).filter(|_| server.state != State::Down);
    let parts: Vec<String> = leaving.into_iter().chain(why).collect();
    match parts.as_slice() {
        [] => Some((level, how)),
        parts => Some((level, format!("{how}: {}", parts.join(" · ")))),
    }
}

fn frontends(seen: &Seen<'_>, add: &mut impl FnMut(Level, &str, String)) {
    for frontend in &seen.status.frontends {
        let recent = seen.history.frontend(&frontend.name);
        if recent.failed < FEW || server::failed(&recent) < MANY_FAIL {
            continue;
        }
        let (failed, begun) = (u64::from(recent.failed), u64::from(recent.begun));
        let text = format!(
            "{} of the last minute's requests at {} were answered with 5xx ({} of {})",
            words::share(failed.min(begun), begun),
            frontend.name,
            words::number(failed),
            words::number(begun)
        );
        add(Level::Warn, &format!("frontend {}", frontend.name), text);
    }
}
