//! `[backend.NAME]`: a pool of servers and how one is picked.

use std::collections::BTreeSet;

use super::header_rules::Of;
use super::server_tls::{self, Of as Spoken};
use super::table::{Shape, Table, Value, name};
use super::{header_rules, health, mode, outlier, server, sticky, timeouts};
use crate::config::check::{self, Facts};
use crate::config::problem::Fault;
use crate::config::{Backend, Balance, Mode, Protocol, Server, ServerTimeouts, http};

const BACKEND: Shape = Shape {
    what: "a backend",
    example: "a section: [backend.app]",
    keys: &[
        "mode",
        "balance",
        "protocol",
        "tls",
        "health",
        "retries",
        "redispatch",
        "queue",
        "outlier",
        "sticky",
        "request_headers",
        "response_headers",
        "timeouts",
        "servers",
    ],
    later: &[],
};

const QUEUE: Shape = Shape {
    what: "a queue",
    example: "{ max = 1000 }",
    keys: &["max"],
    later: &[],
};

/// Keys that mean something to requests alone.
const OF_HTTP: [&str; 4] = ["protocol", "sticky", "request_headers", "response_headers"];

const DEFAULT_RETRIES: u32 = 3;
const DEFAULT_QUEUE: u32 = 1000;

pub(super) fn read<'a>(
    value: Value<'a>,
    defaults: ServerTimeouts,
    facts: &mut Facts<'a>,
) -> Option<Backend> {
    let Some(table) = value.table(&BACKEND) else {
        facts.backend(value.key, None);
        return None;
    };
    let name = value.parse_key(name);
    let mode = mode::read(table, "backend", &OF_HTTP);
    facts.backend(value.key, Some(mode));
    let protocol = table.get("protocol").and_then(|value| {
        let protocols = [("http1", Protocol::Http1), ("h2", Protocol::Http2)];
        value.choice(&protocols, |_| false)
    });
    let spoken = Spoken {
        mode,
        protocol: protocol.unwrap_or(Protocol::Http1),
    };
    let retries = table.get("retries").and_then(|v| v.number(0, u32::MAX));
    let redispatch = table.get("redispatch").and_then(|v| v.flag());
    let queue = table.get("queue").and_then(|v| v.table(&QUEUE));
    let queue_max = queue.and_then(|queue| queue.get("max")?.number(0, u32::MAX));
    let sticky = table.get("sticky");
    let shares_sessions = sticky.is_some_and(|value| value.as_flag() == Some(false));
    let sticky = sticky.filter(|_| !shares_sessions);
    let backend = Backend {
        mode,
        protocol: spoken.protocol,
        balance: balance(table, mode).unwrap_or(Balance::RoundRobin),
        health: health::read(table.get("health")),
        retries: retries.unwrap_or(DEFAULT_RETRIES),
        redispatch: redispatch.unwrap_or(true),
        queue_max: queue_max.unwrap_or(DEFAULT_QUEUE),
        outlier: table.get("outlier").and_then(outlier::read),
        timeouts: timeouts::of_backend(table, defaults),
        request_headers: header_rules::read(table.get("request_headers"), Of::Request),
        response_headers: header_rules::read(table.get("response_headers"), Of::Response),
        servers: servers(value.key, table, spoken, sticky.is_some()),
        sticky: sticky.and_then(sticky::read),
        shares_sessions,
        // Last, so that a bad name does not keep the rest from being read.
        name: name?,
    };
    Some(backend)
}

fn balance(table: Table<'_>, mode: Mode) -> Option<Balance> {
    let value = table.get("balance")?;
    let of_requests = value.text()? == "uri" || value.text()?.starts_with("header:");
    if mode == Mode::Tcp && of_requests {
        value.wrong(Fault::new(
            "there are no requests to balance by: this backend has mode tcp",
            "write one of \"roundrobin\", \"leastconn\", \"source\", \"random\"",
        ));
        return None;
    }
    if let Some(name) = value.text()?.strip_prefix("header:") {
        return value.parse(|_| http::header_name(name).map(Balance::Header));
    }
    let known = [
        ("roundrobin", Balance::RoundRobin),
        ("leastconn", Balance::LeastConn),
        ("source", Balance::Source),
        ("random", Balance::Random),
        ("uri", Balance::Uri),
        // Read above; here it only is one of those that a remedy names.
        ("header:NAME", Balance::RoundRobin),
    ];
    value.choice(&known, |_| false)
}

fn servers(backend: &str, table: Table<'_>, spoken: Spoken, sticky: bool) -> Vec<Server> {
    let given = table.get("servers");
    let found = given.map(|value| value.list());
    if found
        .as_ref()
        .is_none_or(|list| list.as_ref().is_some_and(Vec::is_empty))
    {
        table.absent(Fault::new(
            format!("backend `{backend}` has no servers"),
            "add `servers = [{ name = \"web01\", address = \"10.0.0.11:8080\" }]`",
        ));
    }
    let found = found.flatten().unwrap_or_default();
    let tls = table.get("tls");
    let tls = tls.and_then(|value| server_tls::read(value, spoken));
    let read = |value| server::read(value, spoken, tls.as_ref());
    let found: Vec<_> = found.into_iter().filter_map(read).collect();
    let names = found.iter().map(|found| found.name);
    check::unique_servers(names, table.report());
    if sticky {
        // Where two servers share a name, that is told and not that they share its cookie, too.
        let mut names = BTreeSet::new();
        let cookies = found.iter().filter_map(|found| {
            let again = !names.insert(found.name.0) && found.cookie == Some(found.name);
            found.cookie.filter(|_| !again)
        });
        check::unique_cookies(cookies, table.report());
    }
    found.into_iter().filter_map(|found| found.server).collect()
}
