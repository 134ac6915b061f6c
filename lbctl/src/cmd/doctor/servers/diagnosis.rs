//! What answers of servers mean, and what to do about them. Pure.

use std::net::SocketAddr;

use lb_proto::config::{Backend, Check, CheckKind, Protocol};
use lb_proto::name::{BackendName, ServerName};
use lb_proto::state::{Admin, Health};
use lb_proto::status::{CheckResult, ServerStatus};

use super::CHECK;
use crate::cmd::doctor::ask::Seen;
use crate::cmd::doctor::finding::Finding;
use crate::ui::words;

/// A server that was to be asked.
#[derive(Debug)]
pub(in crate::cmd::doctor) struct Asked<'a> {
    pub(super) backend: &'a BackendName,
    pub(super) server: &'a ServerName,
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
    pub(super) kind: CheckKind,
    /// `None`: there was no time left.
    pub(super) seen: Option<Seen>,
    /// What the daemon says of it.
    pub(super) state: Option<&'a ServerStatus>,
}

/// A path that does answer as the check expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cmd::doctor) struct Elsewhere {
    pub(super) path: String,
    pub(super) status: u16,
}

/// What to ask a server. One without checks still has to take connections; one of HTTP/2 is not asked
/// for more here.
pub(super) fn kind(backend: &Backend, check: Option<&Check>) -> CheckKind {
    match check {
        Some(check) if backend.protocol == Protocol::Http1 => check.kind.clone(),
        _ => CheckKind::Tcp,
    }
}

impl Asked<'_> {
    fn failed(&self) -> Option<&Seen> {
        self.seen.as_ref().filter(|seen| !seen.result.is_ok())
    }

    /// `web01 (10.0.0.11:8080): GET /healthz answered 404, expected 200`
    fn told(&self, seen: &Seen) -> String {
        let (server, address) = (self.server, self.address);
        let result = seen.result.as_str();
        format!("{server} ({address}): {result}, {}", seen.detail)
    }
}

/// Of the servers of a backend.
pub(super) fn diagnose(
    backend: &Backend,
    asked: &[&Asked<'_>],
    elsewhere: Option<&Elsewhere>,
) -> Vec<Finding> {
    let name = &backend.name;
    let mut findings = Vec::new();
    let late = asked.iter().filter(|asked| asked.seen.is_none()).count();
    if late > 0 {
        let what = format!("{late} servers of {name}");
        let why = "the others took too long; lbctl status tells what lbd has found";
        findings.push(Finding::not_looked_at(CHECK, what, why));
    }
    if backend.protocol == Protocol::Http2 && !asked.is_empty() {
        let what = format!("what the servers of {name} answer");
        let why =
            "by HTTP/2 only connections are made here; lbctl status tells what lbd's checks found";
        findings.push(Finding::not_looked_at(CHECK, what, why));
    }
    let failed = asked.iter().filter(|asked| asked.failed().is_some());
    let failed: Vec<&Asked<'_>> = failed.copied().collect();
    let answered = asked.len() - late - failed.len();
    let groups = alike(&failed);
    let others = match (answered + late, groups.len()) {
        (0, 1) => Others::None,
        (0, _) => Others::FailToo(failed.len()),
        _ => Others::May,
    };
    for group in &groups {
        findings.push(ill(backend, group, others, elsewhere));
    }
    findings.extend(asked.iter().filter_map(|asked| disputed(backend, asked)));
    let down = asked.iter().filter_map(|asked| believed(backend, asked));
    let down: Vec<Finding> = down.collect();
    if failed.is_empty() && down.is_empty() && answered > 0 {
        findings.push(Finding::fine(CHECK, well(name, asked)));
    }
    findings.extend(down);
    findings
}

/// What is known of servers that did not fail: some were only connected to.
fn well(name: &BackendName, asked: &[&Asked<'_>]) -> String {
    let seen = asked.iter().filter(|asked| asked.seen.is_some());
    let of = |kind: fn(&CheckKind) -> bool| seen.clone().filter(|a| kind(&a.kind)).count();
    let answered = of(|kind| matches!(kind, CheckKind::Http { .. }));
    let connected = of(|kind| *kind == CheckKind::Tcp);
    let many = |n: usize| match n {
        1 => "1 server".to_owned(),
        n => format!("{n} servers"),
    };
    let parts = [
        (answered, "answered as expected"),
        (connected, "took a connection"),
    ];
    let parts = parts.into_iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, did)| format!("{} {did}", many(n))).collect();
    format!("backend {name}: {}", parts.join(", "))
}

/// A server of HTTP/2 that lbd has down: what it answered is known from lbd alone.
fn believed(backend: &Backend, asked: &Asked<'_>) -> Option<Finding> {
    let state = asked.state?;
    let last = state
        .last_check
        .as_ref()
        .filter(|last| !last.result.is_ok())?;
    let asks_more = backend.protocol == Protocol::Http2 && asked.failed().is_none();
    if !asks_more || state.health != Health::Down {
        return None;
    }
    let name = format!("{}/{}", asked.backend, asked.server);
    let (remedy, command) = advice(backend, asked, Some((last.result, last.status)), None);
    Some(
        Finding::problem(CHECK, format!("{name} is down: {}", last.detail))
            .place(asked.address.to_string())
            .why(format!("lbd's last check: {}", words::check(last)))
            .remedy(remedy)
            .command(command.replace("curl ", "curl --http2-prior-knowledge ")),
    )
}

/// Those that failed in the same way, together.
fn alike<'s, 'a>(failed: &[&'s Asked<'a>]) -> Vec<Vec<&'s Asked<'a>>> {
    let way = |asked: &Asked<'_>| asked.failed().map(|seen| (seen.result, seen.status));
    let mut groups: Vec<Vec<&'s Asked<'a>>> = Vec::new();
    for asked in failed {
        match groups.iter_mut().find(|group| way(group[0]) == way(asked)) {
            Some(group) => group.push(asked),
            None => groups.push(vec![asked]),
        }
    }
    groups
}

/// The servers of a backend beside some that failed in the same way.
#[derive(Debug, Clone, Copy)]
enum Others {
    None,
    /// Of so many with them, each in a way of its own.
    FailToo(usize),
    /// Some may be well.
    May,
}

/// Of servers that failed in the same way.
fn ill(
    backend: &Backend,
    group: &[&Asked<'_>],
    others: Others,
    elsewhere: Option<&Elsewhere>,
) -> Finding {
    const SHOWN: usize = 5;
    let first = group[0];
    let name = &backend.name;
    let seen = first.failed();
    let detail = seen.map_or("", |seen| &seen.detail);
    let (whose, one) = match (group, others) {
        (_, Others::None) => (format!("every server of {name}"), true),
        ([one], _) => (format!("{name}/{}", one.server), true),
        (several, _) => (format!("{} servers of {name}", several.len()), false),
    };
    let fails = match (checked(backend, first), one) {
        (true, true) => "fails its check",
        (true, false) => "fail their check",
        (false, _) => "cannot be reached",
    };
    let servers: Vec<String> = group
        .iter()
        .take(SHOWN)
        .map(|a| a.address.to_string())
        .collect();
    let mut finding = Finding::problem(CHECK, format!("{whose} {fails}: {detail}"));
    let rest = match others {
        Others::FailToo(all) => format!(", none of whose {all} servers is well"),
        Others::None | Others::May => String::new(),
    };
    finding = finding.place(format!("backend {name}{rest}: {}", servers.join(", ")));
    for asked in group.iter().take(SHOWN) {
        finding = asked
            .failed()
            .into_iter()
            .fold(finding, |f, seen| f.why(asked.told(seen)));
    }
    if let Some(more @ 1..) = group.len().checked_sub(SHOWN) {
        finding = finding.why(format!("and {more} more"));
    }
    for line in seen.into_iter().flat_map(|seen| &seen.came_back) {
        finding = finding.why(format!("came back: {line}"));
    }
    let found = seen.map(|seen| (seen.result, seen.status));
    let (remedy, command) = advice(backend, first, found, elsewhere);
    finding.remedy(remedy).command(command)
}

fn checked(backend: &Backend, asked: &Asked<'_>) -> bool {
    let mut servers = backend.servers.iter();
    backend.health.is_some() && servers.any(|s| s.name == *asked.server && s.check)
}

/// What to do, in words and to paste.
fn advice(
    backend: &Backend,
    asked: &Asked<'_>,
    found: Option<(CheckResult, Option<u16>)>,
    elsewhere: Option<&Elsewhere>,
) -> (String, String) {
    let address = asked.address;
    let path = match backend.health.as_ref().map(|check| &check.kind) {
        Some(CheckKind::Http { path, .. }) => path,
        _ => "/",
    };
    let curl = match asked.tls {
        true => format!("curl -ik https://{address}{path}"),
        false => format!("curl -i http://{address}{path}"),
    };
    let remedy = match found {
        Some((CheckResult::L7STS, Some(404))) => match elsewhere {
            Some(Elsewhere { path: other, status }) => format!(
                "{other} answers {status} there: set path = \"{other}\" in `health` of [backend.{}] and reload, \
                 or have the application answer {path}",
                asked.backend
            ),
            None => format!(
                "have the application answer {path}, or set `path` in `health` of [backend.{}] to one that it answers, \
                 and reload",
                asked.backend
            ),
        },
        Some((CheckResult::L7STS, Some(301..=308))) => {
            "it sends the check elsewhere: ask the path that it leads to, set `host` in `health`, or let `expect` have that status".to_owned()
        }
        Some((CheckResult::L7STS, Some(401 | 403))) => {
            format!("it lets nobody see {path} without a login: check a path that is open to lbd")
        }
        Some((CheckResult::L7STS, Some(400 | 421))) => {
            "it may know another name than its address: set `host` in `health`; or it wants TLS: give the server `tls`".to_owned()
        }
        Some((CheckResult::L7STS, Some(500..))) => {
            "the application is ill: its own log says why".to_owned()
        }
        Some((CheckResult::L7STS, _)) => {
            "change `path` or `expect` in `health`, or what the application answers".to_owned()
        }
        Some((CheckResult::L4CON, _)) => {
            "start the application there, or correct the server's address; a firewall that rejects looks the same".to_owned()
        }
        Some((CheckResult::L4TOUT, _)) => {
            "a firewall between here and there, or the machine is off: let this machine in".to_owned()
        }
        Some((CheckResult::L6RSP | CheckResult::L6TOUT, _)) => {
            "correct `tls` of the server, or its certificate; without TLS on that port, remove `tls`".to_owned()
        }
        Some((CheckResult::L7RSP, _)) => {
            "another protocol lives on that port: TLS (give the server `tls`), HTTP/2 (`protocol = \"h2\"`), or none of HTTP (`type = \"tcp\"`)".to_owned()
        }
        _ => "the application accepts and does not answer: look at its log, or give `timeout` in `health` more time".to_owned(),
    };
    let command = match found.map(|(result, _)| result) {
        Some(CheckResult::L4CON) if address.ip().is_loopback() => {
            format!("sudo ss -ltnp 'sport = :{}'", address.port())
        }
        Some(CheckResult::L4CON | CheckResult::L4TOUT) => {
            format!("nc -zvw3 {} {}", address.ip(), address.port())
        }
        Some(CheckResult::L6RSP | CheckResult::L6TOUT) => {
            format!("openssl s_client -connect {address} </dev/null")
        }
        _ => curl,
    };
    (remedy, command)
}

/// The daemon has it down, and it answers us.
fn disputed(backend: &Backend, asked: &Asked<'_>) -> Option<Finding> {
    let state = asked.state?;
    let seen = asked.seen.as_ref().filter(|seen| seen.result.is_ok())?;
    if state.health != Health::Down || !state.check || backend.protocol == Protocol::Http2 {
        return None;
    }
    let name = format!("{}/{}", asked.backend, asked.server);
    let rise = backend.health.as_ref().map_or(1, |check| check.rise);
    let finding = Finding::warning(CHECK, format!("{name} answers us, and lbd has it down"))
        .place(asked.address.to_string())
        .why(format!("now: {}", seen.detail));
    let finding = match &state.last_check {
        Some(last) => finding.why(format!("lbd's last check: {}", words::check(last))),
        None => finding,
    };
    let comes_up = match rise {
        1 => "when a check succeeds".to_owned(),
        rise => format!("after {rise} successful checks in a row"),
    };
    let remedy = format!("it comes up {comes_up}; if it does not, ask again");
    Some(
        finding
            .remedy(remedy)
            .command(format!("lbctl explain {name}")),
    )
}

/// Nobody is left because of what operators did, where checks are not the reason.
pub(super) fn nobody_left(
    backend: &BackendName,
    states: &[&ServerStatus],
    asked: &[&Asked<'_>],
) -> Option<Finding> {
    let takes = |server: &&ServerStatus| server.state.takes_new_sessions() && server.weight > 0;
    if states.is_empty() || states.iter().any(takes) {
        return None;
    }
    let put_out = |s: &&ServerStatus| s.admin != Admin::Ready || s.weight == 0;
    let out: Vec<&&ServerStatus> = states.iter().filter(|s| put_out(s)).collect();
    if out.is_empty() && asked.iter().any(|asked| asked.failed().is_some()) {
        // Told already, with the reason.
        return None;
    }
    let what = format!("no server of {backend} takes new requests: clients get 503");
    let mut finding = Finding::problem(CHECK, what).place(format!("backend {backend}"));
    for server in states {
        let said = match server.weight {
            0 => format!("{}, weight 0", words::state(server)),
            _ => words::state(server),
        };
        finding = finding.why(format!("{} is {said}: {}", server.name, words::why(server)));
    }
    let ready = out.first().filter(|server| server.weight > 0);
    Some(match ready {
        Some(server) => finding
            .remedy("put a server back into rotation")
            .command(format!("lbctl ready {backend}/{}", server.name)),
        None => finding.remedy("see why each is down, or give one a weight"),
    })
}

#[cfg(test)]
mod tests;
