//! One of a backend's `servers`.

use super::server_tls::{self, Given, Of as Spoken};
use super::table::{Shape, Value, name};
use crate::config::{ProxyVersion, Server, address, cookie, units};
use crate::name::ServerName;
use crate::request::MAX_WEIGHT;

const SERVER: Shape = Shape {
    what: "a server",
    example: "{ name = \"web01\", address = \"10.0.0.11:8080\" }",
    keys: &[
        "name",
        "address",
        "weight",
        "check",
        "backup",
        "slow_start",
        "max_connections",
        "cookie",
        "send_proxy",
        "tls",
    ],
    later: &[],
};

/// What counts for the rest of the list even where the server is not whole: texts with their places.
pub(super) struct Found<'a> {
    pub(super) name: (&'a str, usize),
    /// The name where no cookie is given.
    pub(super) cookie: Option<(&'a str, usize)>,
    pub(super) server: Option<Server>,
}

/// `beneath` is the backend's `tls`.
pub(super) fn read<'a>(
    value: Value<'a>,
    spoken: Spoken,
    beneath: Option<&Given>,
) -> Option<Found<'a>> {
    let table = value.table(&SERVER)?;
    let address = table
        .require("address", "`address = \"10.0.0.11:8080\"`")
        .and_then(|value| value.parse(address::server));
    let weight = table.get("weight").and_then(|v| v.number(0, MAX_WEIGHT));
    let check = table.get("check").and_then(|v| v.flag());
    let backup = table.get("backup").and_then(|v| v.flag());
    let slow_start = table.parse("slow_start", units::timeout);
    let max_connections = table.get("max_connections");
    let max_connections = max_connections.and_then(|v| v.number(1, u32::MAX));
    let marked = table.get("cookie");
    let cookie = marked.and_then(|value| value.parse(cookie::value));
    let send_proxy = table.get("send_proxy").and_then(|value| {
        let versions = [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];
        value.choice(&versions, |_| false)
    });
    let tls = table.get("tls");
    let tls = tls.and_then(|value| server_tls::read(value, spoken));
    let tls = Given::of_server(tls, beneath, spoken);
    let named = table.require("name", "`name = \"web01\"`")?;
    let name: ServerName = named.parse(name)?;
    let place = |value: Value<'a>| value.text().map(|text| (text, value.at));
    Some(Found {
        name: place(named)?,
        cookie: match marked {
            Some(marked) => cookie.is_some().then(|| place(marked)).flatten(),
            None => place(named),
        },
        server: address.map(|address| Server {
            address,
            weight: weight
                .and_then(|weight| weight.try_into().ok())
                .unwrap_or(1),
            check: check.unwrap_or(true),
            backup: backup.unwrap_or(false),
            slow_start,
            max_connections,
            cookie: cookie.unwrap_or_else(|| name.to_string()),
            send_proxy,
            tls,
            name,
        }),
    })
}
