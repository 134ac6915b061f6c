//! Connections that are refused or hang, and addresses that cannot be bound: who listens where.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use lb_proto::config::{Config, Mode};
use lb_proto::os_error::in_words;
use lb_proto::pem;
use lb_proto::sockets::{self, Owner, Socket, nearest};
use lb_proto::status::{Daemon, Status};

use super::finding::Finding;
use super::scene::{Scene, is_root};
use crate::there;

const CHECK: &str = "ports";

/// The kernel takes a connection at once, unless the queue is full.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let all = sockets::all();
    if all.is_empty() {
        let why = "the kernel's tables of sockets cannot be read";
        return vec![Finding::not_looked_at(CHECK, "who listens where", why)];
    }
    let listened: Vec<SocketAddr> = binds_of_daemon(scene);
    if scene.status().is_none() && scene.config().is_none() {
        let why = "which addresses there are is in the configuration file";
        return vec![Finding::not_looked_at(CHECK, "who listens where", why)];
    }
    let mut findings = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let bare = bare_binds(scene);
    for bind in &listened {
        // Behind one of mode tcp a connection would reach a server.
        let outcome = match bare.contains(bind) {
            true => is_listened_on(*bind, &all),
            false => connect(*bind),
        };
        match outcome {
            Ok(()) => open.push(bind.to_string()),
            Err(error) => findings.push(no_connection(*bind, &error, scene.status())),
        }
    }
    if !open.is_empty() {
        let what = format!("lbd takes connections at {}", pem::in_short(&open));
        findings.push(Finding::fine(CHECK, what));
    }
    let configured = scene.config().map(binds_of_file).unwrap_or_default();
    let new = configured
        .into_iter()
        .filter(|(bind, _)| bind.port() != 0 && !listened.contains(bind));
    for (bind, whose) in new {
        let held = held_by(bind, &all);
        let cannot = cannot_have(bind);
        let runs = scene.status().is_some();
        findings.push(to_be_bound(&whose, bind, held, cannot, runs));
    }
    findings
}

/// Each with whose it is.
pub(super) fn binds_of_file(config: &Config) -> Vec<(SocketAddr, String)> {
    let binds = config.frontends.iter().flat_map(|frontend| {
        let whose = format!("frontend {}", frontend.name);
        let binds = frontend.binds.iter();
        binds.map(move |bind| (bind.address, whose.clone()))
    });
    let admin = config.admin.iter();
    let admin = admin.map(|admin| (admin.bind, "[admin]".to_owned()));
    binds.chain(admin).collect()
}

/// Where the daemon says that it listens.
pub(super) fn binds_of_daemon(scene: &Scene) -> Vec<SocketAddr> {
    let frontends = scene.status().into_iter().flat_map(|s| &s.frontends);
    let binds = frontends.flat_map(|frontend| &frontend.binds);
    let admin = scene.status().and_then(|s| s.daemon.admin.as_ref());
    let all = binds.chain(admin.map(|admin| &admin.bind));
    all.filter_map(|bind| bind.parse().ok()).collect()
}

/// Those of them where connections are passed on as they are.
fn bare_binds(scene: &Scene) -> Vec<SocketAddr> {
    let frontends = scene.status().into_iter().flat_map(|s| &s.frontends);
    let bare = frontends.filter(|frontend| frontend.mode == Mode::Tcp.as_str());
    let binds = bare.flat_map(|frontend| &frontend.binds);
    binds.filter_map(|bind| bind.parse().ok()).collect()
}

fn is_listened_on(bind: SocketAddr, all: &[Socket]) -> io::Result<()> {
    let listens = all.iter().any(|socket| socket.stands_in_the_way_of(bind));
    listens
        .then_some(())
        .ok_or_else(|| ErrorKind::ConnectionRefused.into())
}

fn connect(bind: SocketAddr) -> io::Result<()> {
    let address = SocketAddr::new(nearest(bind.ip()), bind.port());
    TcpStream::connect_timeout(&address, PATIENCE).map(drop)
}

/// What listens there, and whose it is if that can be seen.
fn held_by(bind: SocketAddr, all: &[Socket]) -> Option<Option<Owner>> {
    let held = all.iter().filter(|s| s.stands_in_the_way_of(bind)).copied();
    let held: Vec<Socket> = held.collect();
    (!held.is_empty()).then(|| sockets::owner(&held))
}

/// Why no program of this machine could listen there.
fn cannot_have(bind: SocketAddr) -> Option<io::Error> {
    let bound = UdpSocket::bind(SocketAddr::new(bind.ip(), 0));
    let error = bound.err();
    error.filter(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

/// Of an address at which the daemon says that it listens.
fn no_connection(bind: SocketAddr, error: &io::Error, status: Option<&Status>) -> Finding {
    let daemon = status.map(|status| &status.daemon);
    let full = daemon.filter(|d| d.connections >= d.connections_limit);
    let why = in_words(error);
    let finding = Finding::problem(
        CHECK,
        match error.kind() {
            ErrorKind::TimedOut => format!("connections to {bind} hang"),
            _ => format!("connections to {bind} are refused, though lbd listens there"),
        },
    )
    .place(bind.to_string())
    .why(why);
    match full {
        Some(Daemon {
            connections,
            connections_limit,
            ..
        }) => finding
            .why(format!(
                "{connections} of {connections_limit} connections are open: others wait"
            ))
            .remedy("raise max_connections in [global], and with it LimitNOFILE of the unit"),
        None => finding
            .remedy("look at the firewall of this machine, and at the log of lbd")
            .command("journalctl -u lbd -n 50"),
    }
}

/// Of an address of the file at which the daemon does not listen.
fn to_be_bound(
    whose: &str,
    bind: SocketAddr,
    held: Option<Option<Owner>>,
    cannot: Option<io::Error>,
    runs: bool,
) -> Finding {
    let port = bind.port();
    let place = format!("{bind}, {whose}");
    let fails = match runs {
        true => "a reload fails",
        false => "lbd does not start",
    };
    match (held, cannot) {
        (Some(Some(Owner { name, pid })), _) if name == "lbd" && !runs => {
            let what = format!("{bind} is held by an lbd (pid {pid}) that does not answer us");
            Finding::problem(CHECK, what)
                .place(place)
                .remedy("ask it at its own socket with --socket, or stop it")
                .command(format!(
                    "sudo ls -l /proc/{pid}/cwd; tr '\\0' ' ' < /proc/{pid}/cmdline"
                ))
        }
        (Some(Some(Owner { name, pid })), _) => {
            let what = format!("{bind} is held by {name} (pid {pid}): {fails}");
            Finding::problem(CHECK, what)
                .place(place)
                .why("only one program can listen at an address")
                .remedy(format!("stop {name}, or give one of the two another port"))
                .command(format!(
                    "sudo systemctl disable --now {name} || sudo kill {pid}"
                ))
        }
        (Some(None), _) => {
            let what = format!("{bind} is held by another program: {fails}");
            Finding::problem(CHECK, what)
                .place(place)
                .why(match is_root() {
                    true => "its process is gone, or in a container of its own",
                    false => "which one may not be seen without root",
                })
                .remedy("find out which, and stop it")
                .command(format!("sudo ss -ltnp 'sport = :{port}'"))
        }
        (None, Some(error)) => {
            let what = format!("{bind} cannot be listened on: no interface has this address");
            Finding::problem(CHECK, format!("{what}, and {fails}"))
                .place(place)
                .why(in_words(&error))
                .remedy("use an address of this machine, or \"*\" for all")
                .command("ip address")
        }
        (None, None) if runs => Finding::warning(
            CHECK,
            format!("lbd does not listen on {bind}, which the file has"),
        )
        .place(place)
        .remedy("reload; the address is free")
        .command(there::as_root("reload")),
        (None, None) => Finding::problem(
            CHECK,
            format!("nobody listens on {bind}: clients are refused"),
        )
        .place(place)
        .why("the address is free")
        .remedy("start lbd")
        .command("sudo systemctl start lbd"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn who_holds_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bind = listener.local_addr().unwrap();
        let held = held_by(bind, &sockets::all());
        let finding = to_be_bound("frontend web", bind, held, None, false);
        let me = format!("(pid {}): lbd does not start", std::process::id());
        assert!(finding.what.ends_with(&me), "{finding:?}");
        assert_eq!(finding.severity, Severity::Problem);
        let finding = to_be_bound("frontend web", bind, Some(None), None, true);
        assert!(finding.what.ends_with("another program: a reload fails"));
        assert_eq!(held_by(bind, &[]), None);
        let free = to_be_bound("frontend web", bind, None, None, false);
        assert!(free.what.ends_with("clients are refused"), "{free:?}");
    }

    #[test]
    fn connections_that_hang_are_told_from_refused_ones() {
        let bind = "0.0.0.0:80".parse().unwrap();
        let mut status = crate::ui::sample::status();
        let late = io::Error::from(ErrorKind::TimedOut);
        let hangs = no_connection(bind, &late, Some(&status));
        assert_eq!(hangs.what, "connections to 0.0.0.0:80 hang");
        status.daemon.connections = status.daemon.connections_limit;
        let full = no_connection(bind, &late, Some(&status));
        assert!(
            full.why[1].contains("20000 of 20000 connections"),
            "{full:?}"
        );
        let refused = io::Error::from(ErrorKind::ConnectionRefused);
        let refused = no_connection(bind, &refused, Some(&status));
        assert!(refused.what.contains("are refused"), "{refused:?}");
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        let elsewhere = "192.0.2.1:80".parse().unwrap();
        let error = cannot_have(elsewhere).unwrap();
        let finding = to_be_bound("frontend web", elsewhere, None, Some(error), false);
        assert!(finding.what.contains("no interface has this address"));
        assert!(cannot_have("0.0.0.0:80".parse().unwrap()).is_none());
        assert!(cannot_have("127.0.0.1:80".parse().unwrap()).is_none());
    }
}
