//! A status as people read it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use lb_proto::status::{BackendStatus, FrontendStatus, Override, ServerStatus, Status};

use super::grid::{self, Column, Field, Layout, Worth};
use super::words::seconds;
use super::{Canvas, daemon, expiry, words};
use crate::args::status::Only;
use crate::arrange::is_wanted;

/// In the order shown; what goes first on a narrow terminal is what matters least at 3 a.m.
const FRONTEND: [Column; 8] = [
    Column::text("FRONTEND", Worth::Name),
    Column::text("MODE", Worth::Drop(1)),
    Column::text("BINDS", Worth::Shrink(20)),
    Column::number("CONNS", Worth::Drop(5)),
    Column::number("SESSIONS", Worth::Always),
    Column::number("REQUESTS", Worth::Drop(4)),
    Column::number("IN", Worth::Drop(2)),
    Column::number("OUT", Worth::Drop(3)),
];

const SERVER: [Column; 14] = [
    Column::text("SERVER", Worth::Name),
    Column::text("STATE", Worth::Always),
    Column::text("FOR", Worth::Drop(9)),
    Column::text("WHY", Worth::Shrink(30)),
    Column::number("CHECK", Worth::Drop(4)),
    Column::number("SESSIONS", Worth::Always),
    Column::number(STICKY, Worth::Drop(8)),
    Column::number("MAX", Worth::Drop(5)),
    Column::number("TOTAL", Worth::Drop(6)),
    Column::number("ERRORS", Worth::Drop(8)),
    Column::number("IN", Worth::Drop(2)),
    Column::number("OUT", Worth::Drop(3)),
    Column::number("WEIGHT", Worth::Drop(7)),
    Column::text("ADDRESS", Worth::Drop(1)),
];

/// Shown where a backend is sticky.
const STICKY: &str = "STICKY";

/// Daemon, frontends, certificates where there are any, backends.
pub(crate) fn everything(status: &Status, canvas: &Canvas) -> String {
    let parts = [
        daemon::lines(&status.daemon),
        frontends(&status.frontends, canvas),
        expiry::table(status, canvas),
        backends(status, &[], canvas),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// A table for each backend that has such servers, their columns in line.
pub(crate) fn backends(status: &Status, only: &[Only], canvas: &Canvas) -> String {
    let is_sticky = |backend: &BackendStatus| {
        let mut servers = backend.servers.iter();
        servers.any(|server| server.sticky_clients.is_some())
    };
    let sticky = status.backends.iter().any(is_sticky);
    let columns: Vec<Column> = SERVER
        .into_iter()
        .filter(|column| sticky || column.title != STICKY)
        .collect();
    let tables: Vec<Vec<Vec<Field>>> = status
        .backends
        .iter()
        .map(|backend| {
            let servers = backend.servers.iter().filter(|s| is_wanted(s, only));
            servers.map(|s| row(s, sticky)).collect()
        })
        .collect();
    let layout = Layout::new(&columns, tables.iter().flatten(), canvas);
    let each: Vec<String> = status
        .backends
        .iter()
        .zip(&tables)
        .filter(|(backend, rows)| !rows.is_empty() || backend.servers.is_empty())
        .map(|(backend, rows)| heading(backend, canvas) + &layout.render(rows))
        .collect();
    each.join("\n")
}

/// The server of a status that was asked for one: everything known, one fact a line.
pub(crate) fn server(status: &Status, canvas: &Canvas) -> String {
    let mut text = String::new();
    for backend in &status.backends {
        for server in &backend.servers {
            text.push_str(&details(backend, server, canvas));
        }
    }
    text
}

fn frontends(frontends: &[FrontendStatus], canvas: &Canvas) -> String {
    let rows: Vec<Vec<Field>> = frontends
        .iter()
        .map(|frontend| {
            vec![
                frontend.name.as_str().into(),
                frontend.mode.as_str().into(),
                frontend.binds.join(" ").into(),
                frontend.connections.into(),
                frontend.sessions.into(),
                frontend.requests_total.into(),
                words::bytes(frontend.bytes_in).into(),
                words::bytes(frontend.bytes_out).into(),
            ]
        })
        .collect();
    grid::render(&FRONTEND, &rows, canvas)
}

fn heading(backend: &BackendStatus, canvas: &Canvas) -> String {
    let bold = if canvas.color {
        Style::new().bold()
    } else {
        Style::new()
    };
    let up = backend
        .servers
        .iter()
        .filter(|server| server.state.takes_new_sessions())
        .count();
    let mut text = format!(
        "{bold}backend {}{bold:#}: {}, {up} of {} up",
        backend.name,
        backend.balance,
        match backend.servers.len() {
            1 => "1 server".to_owned(),
            many => format!("{many} servers"),
        }
    );
    let ejected = backend.servers.iter().filter(|s| s.ejected.is_some());
    match ejected.count() {
        0 => {}
        count => _ = write!(text, ", {count} of them ejected"),
    }
    if backend.queued > 0 {
        let _ = write!(text, ", {} requests queued", backend.queued);
    }
    text.push('\n');
    if let Some(rolling) = &backend.rolling {
        let _ = writeln!(text, "{}", words::rolling(&backend.name, rolling));
    }
    text
}

fn row(server: &ServerStatus, sticky: bool) -> Vec<Field> {
    let clients = server.sticky_clients;
    let clients = clients.map_or_else(|| "-".to_owned(), |clients| clients.to_string());
    let before = [
        server.name.as_str().into(),
        state(server),
        words::since(server).into(),
        words::why(server).into(),
        latency(server).into(),
        server.sessions.into(),
    ];
    let after = [
        server.sessions_max.into(),
        server.sessions_total.into(),
        errors(server),
        words::bytes(server.bytes_in).into(),
        words::bytes(server.bytes_out).into(),
        weight(server),
        words::address(server).into(),
    ];
    let clients = sticky.then(|| clients.into());
    before.into_iter().chain(clients).chain(after).collect()
}

fn state(server: &ServerStatus) -> Field {
    Field {
        text: words::state(server),
        color: Some(words::color(server)),
    }
}

fn weight(server: &ServerStatus) -> Field {
    let set = server.overrides.weight.is_some();
    Field {
        text: words::weight(server),
        color: set.then_some(AnsiColor::Yellow),
    }
}

fn errors(server: &ServerStatus) -> Field {
    let count = server.errors.connect + server.errors.response;
    Field {
        text: count.to_string(),
        color: (count > 0).then_some(AnsiColor::Red),
    }
}

fn latency(server: &ServerStatus) -> String {
    server
        .last_check
        .as_ref()
        .map_or_else(|| "-".to_owned(), |check| words::latency(check.latency_ms))
}

fn details(backend: &BackendStatus, server: &ServerStatus, canvas: &Canvas) -> String {
    let style = match canvas.color {
        true => words::color(server).on_default(),
        false => Style::new(),
    };
    let state = words::state(server);
    let mut text = String::new();
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    fact("server", format!("{}/{}", backend.name, server.name));
    fact("address", server.address.clone());
    if let Some(host) = &server.host {
        let failing = host.error.as_ref().map(|error| {
            let since = seconds(host.failing_s.unwrap_or_default());
            format!(", look-up has failed for {since}: {error}")
        });
        let failing = failing.unwrap_or_default();
        fact("name", format!("{}{failing}", host.name));
    }
    fact(
        "state",
        format!("{style}{state}{style:#} for {}", words::since(server)),
    );
    if let Some(ejected) = &server.ejected {
        fact(
            "ejected",
            format!(
                "{}, no new sessions for {}",
                ejected.reason,
                seconds(ejected.left_s)
            ),
        );
    }
    fact(
        "admin",
        with(&server.admin, server.overrides.admin.as_ref()),
    );
    fact("health", health(server));
    if let Some(check) = &server.last_check {
        fact("last check", words::check(check));
        fact(
            "checked at",
            format!(
                "{}, took {}",
                words::time(&check.at),
                words::latency(check.latency_ms)
            ),
        );
    }
    fact(
        "sessions",
        format!(
            "{} now, {} at most, {} in total",
            server.sessions, server.sessions_max, server.sessions_total
        ),
    );
    fact(
        "errors",
        format!(
            "{} connecting, {} responding",
            server.errors.connect, server.errors.response
        ),
    );
    fact(
        "bytes",
        format!(
            "{} in, {} out",
            words::bytes(server.bytes_in),
            words::bytes(server.bytes_out)
        ),
    );
    let weight = with(&server.weight, server.overrides.weight.as_ref());
    fact(
        "weight",
        match server.overrides.weight {
            Some(_) => format!("{weight}; {} is configured", server.weight_configured),
            None => weight,
        },
    );
    if let Some(clients) = server.sticky_clients {
        fact("sticky", sticky(server, clients));
    }
    text
}

/// What is, and who set it.
fn with(what: &impl ToString, set: Option<&Override>) -> String {
    let set = set.map(|set| format!(", {}", words::set_in_full(set)));
    format!("{}{}", what.to_string(), set.unwrap_or_default())
}

fn sticky(server: &ServerStatus, clients: u64) -> String {
    let clients = match clients {
        1 => "1 client in the last minute".to_owned(),
        _ => format!("{clients} clients in the last minute"),
    };
    match server.move_sticky {
        true => format!("{clients}; sent elsewhere until the server is ready"),
        false => clients,
    }
}

fn health(server: &ServerStatus) -> String {
    match server.check {
        true => server.health.to_string(),
        false => format!("{}: no health checks are configured", server.health),
    }
}

#[cfg(test)]
mod tests {
    use lb_proto::status::{AccessLogStatus, KeptStatus};

    use super::*;
    use crate::ui::sample;

    fn plain(width: usize) -> Canvas {
        Canvas {
            width: Some(width),
            color: false,
        }
    }

    #[test]
    fn lost_lines_of_the_access_log_are_told() {
        let mut status = sample::status();
        let mut log = AccessLogStatus {
            path: "/var/log/lbd/access.log".to_owned(),
            lost: 0,
        };
        status.daemon.access_log = Some(log.clone());
        assert!(!everything(&status, &plain(80)).contains("access log"));
        log.lost = 12;
        status.daemon.access_log = Some(log);
        let text = everything(&status, &plain(80));
        assert!(
            text.contains("\naccess log /var/log/lbd/access.log: 12 lines lost\n"),
            "{text}"
        );
    }

    #[test]
    fn of_the_servers_of_a_backend_only_some_are_shown_and_all_are_counted() {
        let text = backends(&sample::status(), &[Only::Down], &plain(80));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[0], "backend app: roundrobin, 2 of 3 servers up");
        assert!(lines[2].starts_with("web02   down"), "{text}");
        assert_eq!(backends(&sample::status(), &[Only::Maint], &plain(80)), "");
    }

    #[test]
    fn what_a_restart_would_forget_is_told() {
        let mut status = sample::status();
        status.daemon.kept = KeptStatus {
            path: "/var/lib/lbd/state.json".to_owned(),
            error: Some("cannot write /var/lib/lbd/state.json: no space left on device".to_owned()),
            config_error: Some("the configuration is not kept: it is full".to_owned()),
            audit_error: Some("cannot write audit.jsonl: it is full".to_owned()),
            set_aside: None,
            unknown: vec!["app/gone".parse().unwrap()],
        };
        let text = everything(&status, &plain(80));
        assert!(
            text.contains(
                "\na restart would forget what was set by hand: \
                 cannot write /var/lib/lbd/state.json: no space left on device\n\
                 the configuration is not kept: it is full; tried again\n\
                 changes are not in the audit file: cannot write audit.jsonl: it is full\n\
                 something was set on servers that the configuration does not have: app/gone\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn connections_of_frontends_that_were_removed_are_told() {
        let mut status = sample::status();
        assert!(!everything(&status, &plain(80)).contains("removed"));
        status.daemon.connections_removed = 7;
        let text = everything(&status, &plain(80));
        assert!(
            text.contains("\n7 of the connections are of frontends that were removed\n"),
            "{text}"
        );
    }

    #[test]
    fn handshakes_that_wait_are_told() {
        let mut status = sample::status();
        assert!(!everything(&status, &plain(80)).contains("handshakes"));
        status.daemon.handshakes = 1000;
        status.daemon.handshakes_waiting = 17;
        let text = everything(&status, &plain(80));
        assert!(
            text.contains("\n1000 of 1000 TLS handshakes, 17 more wait\n"),
            "{text}"
        );
    }

    #[test]
    fn the_longest_names_leave_room_for_the_rest() {
        let mut status = sample::status();
        status.frontends[0].name = "f".repeat(64).parse().unwrap();
        status.backends[0].servers[1].name = "s".repeat(64).parse().unwrap();
        let text = frontends(&status.frontends, &plain(80)) + &backends(&status, &[], &plain(80));
        let narrow = text.lines().all(|line| line.chars().count() <= 80);
        assert!(narrow && text.contains("s…s"), "{text}");
        assert!(text.contains("L4CON: connection refused"), "{text}");
        let whole = Canvas {
            width: None,
            color: false,
        };
        assert!(backends(&status, &[], &whole).contains(&"s".repeat(64)));
    }

    #[test]
    fn eighty_columns_hold_what_matters() {
        let text = everything(&sample::status(), &plain(80));
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert_eq!(
            text,
            "\
lbd 0.1.0, pid 4242, up 3h12m, 12 of 20000 connections
/etc/lbd/lbd.toml, generation 3, loaded 2026-11-23 20:31:11 UTC

FRONTEND  MODE  BINDS                 CONNS  SESSIONS  REQUESTS       IN     OUT
web       http  0.0.0.0:80 0.0.0.0:…     12         3   1234567  300 MiB  50 GiB

backend app: roundrobin, 2 of 3 servers up
SERVER  STATE  FOR    WHY                               SESSIONS  ERRORS  WEIGHT
web01   up     3m12s  L7OK 200                                 3       3       1
web02   down   2h05m  L4CON: connection refused by 10…         0       3       1
spare   up     3m12s  no checks                                0       3       1

backend api: roundrobin, 0 of 1 server up, 2 requests queued
SERVER  STATE  FOR    WHY                               SESSIONS  ERRORS  WEIGHT
one     drain  3m12s  L7OK 200                                 3       3       1
"
        );
    }

    #[test]
    fn no_window_no_limit() {
        let canvas = Canvas {
            width: None,
            color: false,
        };
        assert_eq!(backends(&sample::status(), &[], &canvas), "\
backend app: roundrobin, 2 of 3 servers up
SERVER  STATE  FOR    WHY                                          CHECK  SESSIONS  MAX   TOTAL  ERRORS       IN      OUT  WEIGHT  ADDRESS
web01   up     3m12s  L7OK 200                                     1.2ms         3   40  123456       3  100 MiB  5.0 GiB       1  10.0.0.11:8080
web02   down   2h05m  L4CON: connection refused by 10.0.0.12:8080  0.3ms         0   40  123456       3  100 MiB  5.0 GiB       1  10.0.0.12:8080
spare   up     3m12s  no checks                                        -         0   40  123456       3  100 MiB  5.0 GiB       1  10.0.0.11:8080

backend api: roundrobin, 0 of 1 server up, 2 requests queued
SERVER  STATE  FOR    WHY                                          CHECK  SESSIONS  MAX   TOTAL  ERRORS       IN      OUT  WEIGHT  ADDRESS
one     drain  3m12s  L7OK 200                                     1.2ms         3   40  123456       3  100 MiB  5.0 GiB       1  10.0.0.11:8080
"
        );
    }

    #[test]
    fn one_server_is_told_line_by_line() {
        let mut status = sample::status();
        status.backends.truncate(1);
        status.backends[0].servers = vec![sample::down("web02")];
        assert_eq!(
            server(&status, &plain(80)),
            "\
server      app/web02
address     10.0.0.12:8080
state       down for 2h05m
admin       ready
health      down
last check  L4CON: connection refused by 10.0.0.12:8080
checked at  2026-11-23 20:31:11 UTC, took 0.3ms
sessions    0 now, 40 at most, 123456 in total
errors      1 connecting, 2 responding
bytes       100 MiB in, 5.0 GiB out
weight      1
"
        );
    }

    #[test]
    fn sticky_clients_have_a_column_where_a_backend_is_sticky() {
        let mut status = sample::status();
        let moving = &mut status.backends[1].servers[0];
        moving.sticky_clients = Some(41);
        moving.move_sticky = true;
        let canvas = Canvas {
            width: None,
            color: false,
        };
        let text = backends(&status, &[], &canvas);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("SESSIONS  STICKY  MAX"), "{text}");
        assert!(lines[2].contains("       3       -   40"), "{text}");
        assert!(lines[8].contains("drain, moving"), "{text}");
        assert!(lines[8].contains("       3      41   40"), "{text}");
        status.backends.remove(0);
        let told = server(&status, &canvas);
        let last = told.lines().last();
        assert_eq!(
            last,
            Some(
                "sticky      41 clients in the last minute; sent elsewhere until the server is ready"
            )
        );
    }

    #[test]
    fn colour_only_adds_to_the_words() {
        let mut status = sample::status();
        status.backends.truncate(1);
        let canvas = Canvas {
            width: Some(80),
            color: true,
        };
        let text = backends(&status, &[], &canvas);
        assert!(text.contains("\x1b[1mbackend app\x1b[0m"), "{text:?}");
        assert!(text.contains("down"), "{text:?}");
    }
}
