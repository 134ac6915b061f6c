//! The rules that no value can break alone: names that lead somewhere, ports that are free.
//!
//! Pure, and ignorant of TOML: the readers hand over what they saw and where.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::file::count;
use super::file::report::Report;
use super::problem::Fault;
use super::{Config, Mode};
use crate::error::Problem;
use crate::name::nearest;

/// How many names a remedy lists before it gives up: more than that is no help at three at night.
const LISTED: usize = 8;

/// What a file says that other parts of it must agree with, each with its place.
#[derive(Default)]
pub(super) struct Facts<'a> {
    /// With the mode, where it is known.
    backends: Vec<(&'a str, Option<Mode>)>,
    /// With the mode of the frontend.
    references: Vec<(&'a str, Mode, usize)>,
    binds: Vec<(SocketAddr, &'a str, usize)>,
}

impl<'a> Facts<'a> {
    pub(super) fn backend(&mut self, name: &'a str, mode: Option<Mode>) {
        self.backends.push((name, mode));
    }

    pub(super) fn reference(&mut self, backend: &'a str, mode: Mode, at: usize) {
        self.references.push((backend, mode, at));
    }

    /// `text` is the address as it is written.
    pub(super) fn bind(&mut self, address: SocketAddr, text: &'a str, at: usize) {
        self.binds.push((address, text, at));
    }
}

pub(super) fn run(facts: &Facts<'_>, report: &Report<'_>) {
    references_lead_somewhere(facts, report);
    binds_do_not_overlap(facts, report);
}

/// Two servers of one backend cannot share a name; `names` has each with its place.
pub(super) fn unique_servers<'a>(
    names: impl Iterator<Item = (&'a str, usize)>,
    report: &Report<'_>,
) {
    repeated(names, |name, at, first| {
        report.wrong(
            at,
            Fault::new(
                format!("two servers of this backend are named `{name}`"),
                format!("rename one; the first is on line {}", report.line_of(first)),
            ),
        );
    });
}

/// Nor can they share the value of the cookie that tells them apart.
pub(super) fn unique_cookies<'a>(
    cookies: impl Iterator<Item = (&'a str, usize)>,
    report: &Report<'_>,
) {
    repeated(cookies, |cookie, at, first| {
        report.wrong(
            at,
            Fault::new(
                format!("two servers of this backend have the cookie `{cookie}`"),
                format!(
                    "give one another `cookie`; the first is on line {}, where a server without `cookie` has its name for one",
                    report.line_of(first)
                ),
            ),
        );
    });
}

/// Nor can two users be told apart by anything but their names.
pub(super) fn unique_users<'a>(names: impl Iterator<Item = (&'a str, usize)>, report: &Report<'_>) {
    repeated(names, |name, at, first| {
        report.wrong(
            at,
            Fault::new(
                format!("two users are named `{name}`"),
                format!("rename one; the first is on line {}", report.line_of(first)),
            ),
        );
    });
}

/// Hears of every text that was there before: the text, its place, and that of the one before.
fn repeated<'a>(
    texts: impl Iterator<Item = (&'a str, usize)>,
    mut hear: impl FnMut(&str, usize, usize),
) {
    let mut first = HashMap::new();
    for (text, at) in texts {
        if let Some(other) = first.insert(text, at) {
            hear(text, at, other);
        }
    }
}

fn references_lead_somewhere(facts: &Facts<'_>, report: &Report<'_>) {
    let known: BTreeMap<&str, Option<Mode>> = facts.backends.iter().copied().collect();
    for (name, mode, at) in &facts.references {
        if let Some(of_backend) = known.get(name) {
            if let Some(of_backend) = of_backend.filter(|m| m != mode) {
                report.wrong(*at, other_mode(name, of_backend, *mode));
            }
            continue;
        }
        let message = match nearest(name, known.keys().copied()) {
            Some(near) => format!("there is no backend `{name}`; did you mean `{near}`?"),
            None => format!("there is no backend `{name}`"),
        };
        let remedy = match facts.backends.as_slice() {
            [] => format!("add a section [backend.{name}]"),
            all if all.len() <= LISTED => {
                let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
                format!(
                    "add a section [backend.{name}], or use one of {}",
                    names.join(", ")
                )
            }
            _ => format!("add a section [backend.{name}], or use one that exists"),
        };
        report.absent(*at, Fault::new(message, remedy));
    }
}

fn other_mode(backend: &str, of_backend: Mode, of_frontend: Mode) -> Fault {
    let (theirs, ours) = (of_backend.as_str(), of_frontend.as_str());
    Fault::new(
        format!("backend `{backend}` has mode {theirs}, and this frontend has mode {ours}"),
        format!("give both the same `mode`, or use a backend of mode {ours}"),
    )
}

/// Linux gives a port to one listener per address, and every address includes each of them
/// (EADDRINUSE, bind(2)). IPv4 and IPv6 are apart: `[::]:80` listens on IPv6 alone.
fn binds_do_not_overlap(facts: &Facts<'_>, report: &Report<'_>) {
    #[derive(Default)]
    struct Port<'a> {
        any: Option<(&'a str, usize)>,
        first: Option<(&'a str, usize)>,
        one: HashMap<IpAddr, (&'a str, usize)>,
    }
    let mut ports: HashMap<(u16, bool), Port<'_>> = HashMap::new();
    for (address, text, at) in &facts.binds {
        if address.port() == 0 {
            continue;
        }
        let port = ports
            .entry((address.port(), address.is_ipv4()))
            .or_default();
        let any = address.ip().is_unspecified();
        let taken = match any {
            true => port.first,
            false => port.any.or_else(|| port.one.get(&address.ip()).copied()),
        };
        let Some((other, line)) = taken.map(|(other, at)| (other, report.line_of(at))) else {
            let this = (*text, *at);
            port.first.get_or_insert(this);
            match any {
                true => port.any = Some(this),
                false => drop(port.one.insert(address.ip(), this)),
            }
            continue;
        };
        let message = if other == *text {
            format!("`{text}` is bound twice")
        } else {
            format!("`{text}` overlaps `{other}`")
        };
        let remedy = format!("remove one or change its port; the other is on line {line}");
        report.wrong(*at, Fault::new(message, remedy));
    }
}

/// What works, but should not stay so; what the files that it names hold is not looked at.
pub(super) fn unwise(config: &Config, file: &str, text: &str) -> Vec<Problem> {
    let report = Report::new(file, text);
    if let Some(admin) = &config.admin
        && !admin.bind.ip().is_loopback()
        && !admin.users.is_empty()
        && admin.tls.is_none()
    {
        let bind = admin.bind;
        let remedy = format!(
            "give it TLS: bind = {{ address = \"{bind}\", tls = {{ certs = [\"/etc/lbd/certs\"] }} }}"
        );
        let message = "the passwords of [[admin.users]] are sent in the clear";
        report.wrong(admin.place.0, Fault::new(message, remedy));
    }
    report.finish()
}

/// What a valid file holds, in one line: "2 frontends, 3 routes, 3 backends, 9 servers; …".
pub fn summary(config: &Config) -> String {
    let servers = config.backends.iter().map(|b| b.servers.len()).sum();
    let routes = config.frontends.iter().map(|f| f.routes.len()).sum();
    format!(
        "{}, {}, {}, {}; every name leads somewhere and no address is bound twice",
        count(config.frontends.len(), "frontend"),
        count(routes, "route"),
        count(config.backends.len(), "backend"),
        count(servers, "server"),
    )
}
