//! `[frontend.NAME]`: where clients connect.

use ipnet::IpNet;

use super::table::{Shape, Table, Value, name};
use super::{mode, timeouts, tls};
use super::{rate_limit, route};
use crate::config::check::Facts;
use crate::config::problem::Fault;
use crate::config::{Bind, ClientTimeouts, Frontend, Mode, address};

const FRONTEND: Shape = Shape {
    what: "a frontend",
    example: "a section: [frontend.web]",
    keys: &[
        "mode",
        "bind",
        "trusted_proxies",
        "https_redirect",
        "allow",
        "deny",
        "rate_limit",
        "max_connections",
        "default_backend",
        "routes",
        "timeouts",
    ],
    later: &[],
};

const BIND: Shape = Shape {
    what: "a bind",
    example: "{ address = \"*:80\" }",
    keys: &["address", "proxy_protocol", "tls", "h2c"],
    later: &[],
};

pub(super) fn read<'a>(
    value: Value<'a>,
    defaults: ClientTimeouts,
    facts: &mut Facts<'a>,
) -> Option<Frontend> {
    let table = value.table(&FRONTEND)?;
    let name = value.parse_key(name);
    let mode = mode::read(
        table,
        "frontend",
        &["routes", "trusted_proxies", "https_redirect"],
    );
    let binds = binds(table, mode, facts);
    let default_backend = table.get("default_backend");
    let routes = table.get("routes");
    let routes = routes.map_or_else(|| Some(Vec::new()), |value| value.list());
    if default_backend.is_none() && routes.as_ref().is_some_and(Vec::is_empty) {
        table.absent(Fault::new(
            format!("frontend `{}` leads nowhere", value.key),
            match mode {
                Mode::Http => {
                    "add `default_backend = \"app\"` with the name of a backend, or routes"
                }
                Mode::Tcp => "add `default_backend = \"db\"` with the name of a backend",
            },
        ));
    }
    let limit = table.get("max_connections");
    let frontend = Frontend {
        mode,
        binds,
        timeouts: timeouts::of_frontend(table, defaults),
        trusted_proxies: networks(table, "trusted_proxies").unwrap_or_default(),
        https_redirect: table.get("https_redirect").and_then(https_redirect),
        allow: some_networks(
            table,
            "allow",
            "list networks, as in allow = [\"10.0.0.0/8\"], or remove the key to let everybody in",
        ),
        deny: networks(table, "deny").unwrap_or_default(),
        rate_limit: table.get("rate_limit").and_then(rate_limit::read),
        max_connections: limit.and_then(|value| value.number(1, u32::MAX)),
        default_backend: default_backend.and_then(|value| route::backend(value, mode, facts)),
        routes: routes
            .into_iter()
            .flatten()
            .filter_map(|value| route::read(value, mode, facts))
            .collect(),
        // Last, so that a bad name does not keep the rest from being read.
        name: name?,
    };
    Some(frontend)
}

fn binds<'a>(table: Table<'a>, mode: Mode, facts: &mut Facts<'a>) -> Vec<Bind> {
    let Some(value) = table.require("bind", "`bind = \"*:80\"`") else {
        return Vec::new();
    };
    let given = if value.is_list() {
        value.list().unwrap_or_default()
    } else {
        vec![value]
    };
    if given.is_empty() {
        value.wrong(Fault::new(
            "this frontend listens nowhere",
            "write an address, as in bind = [\"*:80\"]",
        ));
    }
    given
        .into_iter()
        .filter_map(|value| bind(value, mode, facts))
        .collect()
}

fn bind<'a>(value: Value<'a>, mode: Mode, facts: &mut Facts<'a>) -> Option<Bind> {
    let (value, proxy_protocol, tls, h2c) = if value.is_table() {
        let table = value.table(&BIND)?;
        let proxy_protocol = some_networks(
            table,
            "proxy_protocol",
            "list those that send PROXY headers, as in proxy_protocol = [\"10.0.0.0/8\"], or remove the key to let everybody in without one",
        );
        let tls = table.get("tls").and_then(|value| tls::of_bind(value, mode));
        let address = table.require("address", "`address = \"*:80\"`")?;
        (address, proxy_protocol, tls, h2c(table, mode))
    } else {
        (value, None, None, false)
    };
    let address = value.parse(address::bind)?;
    facts.bind(address, value.text()?, value.at);
    Some(Bind {
        address,
        proxy_protocol,
        tls,
        h2c,
    })
}

/// Under TLS, ALPN says what is spoken; in mode tcp nobody asks.
fn h2c(table: Table<'_>, mode: Mode) -> bool {
    let Some(value) = table.get("h2c") else {
        return false;
    };
    let wanted = value.flag() == Some(true);
    if wanted && mode == Mode::Tcp {
        value.wrong_key(Fault::new(
            "`h2c` is for frontends of mode http",
            "remove it: in mode tcp any protocol passes",
        ));
    } else if wanted && table.get("tls").is_some() {
        value.wrong_key(Fault::new(
            "`h2c` is HTTP/2 without TLS",
            "remove it: under TLS, `alpn` offers HTTP/2 by default",
        ));
    }
    wanted
}

/// A status, or whether to redirect at all. 308 keeps the method, so that no form is lost.
fn https_redirect(value: Value<'_>) -> Option<u16> {
    const STATUSES: [u16; 4] = [301, 302, 307, 308];
    if let Some(wanted) = value.as_flag() {
        return wanted.then_some(308);
    }
    let status = value.number(301, 308).and_then(|n| u16::try_from(n).ok())?;
    if !STATUSES.contains(&status) {
        value.wrong(Fault::new(
            format!("{status} is no redirect that can be used here"),
            "write true, or one of 301, 302, 307 and 308",
        ));
    }
    Some(status)
}

/// An empty list would let nobody in, which is hardly ever meant.
fn some_networks(table: Table<'_>, key: &str, remedy: &str) -> Option<Vec<IpNet>> {
    let value = table.get(key)?;
    if value.is_list() && value.list().is_some_and(|list| list.is_empty()) {
        let message = format!("an empty `{key}` lets nobody in");
        value.wrong(Fault::new(message, remedy));
    }
    networks(table, key)
}

fn networks(table: Table<'_>, key: &str) -> Option<Vec<IpNet>> {
    let given = table.get(key)?.list()?;
    let networks = given
        .iter()
        .filter_map(|value| value.parse(address::network));
    Some(networks.collect())
}
