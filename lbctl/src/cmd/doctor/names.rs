//! Servers that are named by a host name which leads nowhere.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lb_proto::config::Address;
use lb_proto::os_error::in_words;
use lb_proto::status::{HostStatus, ServerStatus, Status};

use super::finding::Finding;
use super::scene::Scene;

const CHECK: &str = "names";

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// For all look-ups. The system's own patience with a resolver that is gone is longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Look-ups at the same time.
const AT_ONCE: usize = 32;

/// What names lead to, or why they lead nowhere.
pub(super) type Resolved = HashMap<String, Result<IpAddr, String>>;

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let Some(config) = scene.config() else {
        let why = "which names there are is in the configuration file";
        return vec![Finding::not_looked_at(CHECK, "names of servers", why)];
    };
    if scene.resolved().is_empty() {
        return vec![Finding::fine(CHECK, "no server is named by a host name")];
    }
    let daemons = scene.status().map(said_by).unwrap_or_default();
    let mut findings = judge(scene.resolved(), &daemons);
    if config.global.resolvers.is_empty() {
        findings.extend(system(
            fs::read_to_string(RESOLV_CONF).map_err(|e| in_words(&e)),
        ));
    }
    findings
}

/// Looks up every name once, some at the same time.
pub(super) fn resolve<'a>(hosts: impl Iterator<Item = &'a str>) -> Resolved {
    let hosts: BTreeSet<String> = hosts.map(str::to_owned).collect();
    let late = || Err(format!("no answer within {PATIENCE:?}"));
    let mut resolved: Resolved = hosts.iter().map(|host| (host.clone(), late())).collect();
    let (tell, told) = channel();
    let turns = Arc::new(Mutex::new(hosts.into_iter()));
    for _ in 0..AT_ONCE.min(resolved.len()) {
        let (tell, turns) = (tell.clone(), turns.clone());
        // A look-up may take longer than anybody waits, and is let be then.
        thread::spawn(move || {
            let next = || turns.lock().ok()?.next();
            while let Some(host) = next() {
                let found = look_up(&host);
                if tell.send((host, found)).is_err() {
                    return;
                }
            }
        });
    }
    let deadline = Instant::now() + PATIENCE;
    for _ in 0..resolved.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((host, found)) = told.recv_timeout(left) else {
            break;
        };
        resolved.insert(host, found);
    }
    resolved
}

/// IPv4 before IPv6, as lbd does.
fn look_up(host: &str) -> Result<IpAddr, String> {
    let found = (host, 0).to_socket_addrs();
    let found = found.map_err(|error| why(&error.to_string()))?;
    let first = found
        .map(|address| address.ip())
        .min_by_key(IpAddr::is_ipv6);
    first.ok_or_else(|| "no address".to_owned())
}

/// Without the preamble of the C library's that says nothing.
fn why(error: &str) -> String {
    error
        .trim_start_matches("failed to lookup address information: ")
        .to_owned()
}

/// Where a server is: as configured, as the daemon found it, or as we did.
pub(super) fn address(
    configured: &Address,
    known: Option<&ServerStatus>,
    resolved: &Resolved,
) -> Option<SocketAddr> {
    match configured {
        Address::Ip(address) => Some(*address),
        Address::Name { host, port } => {
            let of_daemon = known.and_then(|server| server.address.parse().ok());
            let ours = || Some(SocketAddr::new(*resolved.get(host)?.as_ref().ok()?, *port));
            of_daemon.or_else(ours)
        }
    }
}

/// What the daemon says of names, by name.
fn said_by(status: &Status) -> HashMap<&str, &HostStatus> {
    let servers = status.backends.iter().flat_map(|b| &b.servers);
    let hosts = servers.filter_map(|server| server.host.as_ref());
    hosts.map(|host| (&*host.name, host)).collect()
}

fn judge(resolved: &Resolved, daemons: &HashMap<&str, &HostStatus>) -> Vec<Finding> {
    let mut names: Vec<_> = resolved.iter().collect();
    names.sort_by_key(|(host, _)| *host);
    let mut findings = Vec::new();
    let mut well = 0;
    for (host, ours) in names {
        let said = daemons.get(&**host).copied();
        let (severe, why) = match (said, ours) {
            (
                Some(HostStatus {
                    resolved: false,
                    error: Some(error),
                    ..
                }),
                _,
            ) => (
                true,
                format!("lbd asked for it: {error}; its servers are down"),
            ),
            (
                Some(HostStatus {
                    error: Some(error), ..
                }),
                _,
            ) => (
                false,
                format!("lbd asked for it: {error}; its servers stay where they were"),
            ),
            (
                None
                | Some(HostStatus {
                    resolved: false, ..
                }),
                Err(error),
            ) => (true, error.clone()),
            _ => {
                well += 1;
                continue;
            }
        };
        let what = format!("the name {host} cannot be looked up");
        let finding = match severe {
            true => Finding::problem(CHECK, what),
            false => Finding::warning(CHECK, what),
        };
        findings.push(
            finding
                .place(host.clone())
                .why(why)
                .remedy("correct the name, or have the DNS servers know it")
                .command(format!("getent ahosts {host}")),
        );
    }
    if well > 0 && findings.is_empty() {
        let what = match well {
            1 => "the only name of a server leads somewhere".to_owned(),
            many => format!("the {many} names of servers lead somewhere"),
        };
        findings.push(Finding::fine(CHECK, what));
    }
    findings
}

/// Of the system's list of DNS servers (resolv.conf(5)), where lbd is not given its own.
fn system(text: Result<String, String>) -> Option<Finding> {
    let unusable = |why: String| {
        let what = format!("{RESOLV_CONF} names no DNS server, and servers have host names");
        Finding::warning(CHECK, what)
            .place(RESOLV_CONF)
            .why(why)
            .remedy("name one there, or in `resolvers` of [global]; names of /etc/hosts need none")
    };
    match text {
        Err(why) => Some(unusable(why)),
        Ok(text) => {
            let names_one = |line: &str| {
                let mut words = line.split_whitespace();
                let server = words.next() == Some("nameserver");
                // A link-local address has its interface behind a percent sign.
                let ip = words.next().and_then(|ip| ip.split('%').next());
                server && ip.is_some_and(|ip| ip.parse::<IpAddr>().is_ok())
            };
            let none = !text.lines().any(names_one);
            none.then(|| unusable("no line of it is `nameserver ADDRESS`".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    fn host(resolved: bool, error: Option<&str>) -> HostStatus {
        HostStatus {
            name: "app.test".to_owned(),
            resolved,
            error: error.map(str::to_owned),
            failing_s: None,
        }
    }

    #[test]
    fn the_daemons_word_goes_before_ours() {
        let ours = |found: Result<IpAddr, String>| Resolved::from([("app.test".to_owned(), found)]);
        let here = Ok([10, 0, 0, 1].into());
        let gone = || Err("no such name".to_owned());
        let severity = |found, said: Option<&HostStatus>| {
            let daemons = said.map(|said| ("app.test", said)).into_iter().collect();
            judge(&ours(found), &daemons)[0].severity
        };
        let never = host(false, Some("no such name"));
        let once = host(true, Some("no answer"));
        let well = host(true, None);
        assert_eq!(severity(here.clone(), Some(&never)), Severity::Problem);
        assert_eq!(severity(here.clone(), Some(&once)), Severity::Warning);
        assert_eq!(severity(gone(), Some(&well)), Severity::Fine);
        assert_eq!(severity(gone(), None), Severity::Problem);
        assert_eq!(
            severity(gone(), Some(&host(false, None))),
            Severity::Problem
        );
        assert_eq!(severity(here, None), Severity::Fine);
    }

    #[test]
    fn a_list_without_servers_is_told() {
        let of = |text: &str| system(Ok(text.to_owned())).is_some();
        assert!(!of("# a\nnameserver 127.0.0.53\noptions edns0\n"));
        assert!(!of("nameserver fe80::1%eth0\n"));
        assert!(of("") && of("search test\n") && of("nameserver resolver.test\n"));
        assert!(system(Err("no such file or directory".to_owned())).is_some());
    }

    #[test]
    fn names_of_this_machine_are_found_and_others_are_not() {
        let many: Vec<String> = (0..100).map(|n| format!("127.0.0.{n}")).collect();
        let names = ["localhost", "no-such-name.invalid"].into_iter();
        let found = resolve(names.chain(many.iter().map(String::as_str)));
        assert!(many.iter().all(|ip| found[ip] == Ok(ip.parse().unwrap())));
        assert!(
            found["localhost"].as_ref().is_ok_and(IpAddr::is_loopback),
            "{found:?}"
        );
        assert!(found["no-such-name.invalid"].is_err(), "{found:?}");
    }
}
