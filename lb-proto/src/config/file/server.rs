//! One of a backend's `servers`.

use super::table::{Shape, Value, name};
use crate::config::{Server, address, units};

const SERVER: Shape = Shape {
    what: "a server",
    example: "{ name = \"web01\", address = \"10.0.0.11:8080\" }",
    keys: &["name", "address", "weight", "check", "backup", "slow_start"],
    later: &[
        (
            "max_connections",
            "sessions of a server are not limited in this version",
        ),
        ("cookie", "clients are not tied to a server in this version"),
        ("send_proxy", "PROXY headers are not sent in this version"),
        ("tls", "servers are not spoken to by TLS in this version"),
    ],
};

/// HAProxy's bound too (configuration manual, 5.2).
const MAX_WEIGHT: u32 = 256;

/// The name and its place, which count for the rest of the list even where the server is not whole.
pub(super) fn read<'a>(value: Value<'a>) -> Option<((&'a str, usize), Option<Server>)> {
    let table = value.table(&SERVER)?;
    let address = table
        .require("address", "`address = \"10.0.0.11:8080\"`")
        .and_then(|value| value.parse(address::server));
    let weight = table.get("weight").and_then(|v| v.number(0, MAX_WEIGHT));
    let check = table.get("check").and_then(|v| v.flag());
    let backup = table.get("backup").and_then(|v| v.flag());
    let slow_start = table.parse("slow_start", units::timeout);
    let named = table.require("name", "`name = \"web01\"`")?;
    let name = named.parse(name)?;
    let server = address.map(|address| Server {
        name,
        address,
        weight: weight
            .and_then(|weight| weight.try_into().ok())
            .unwrap_or(1),
        check: check.unwrap_or(true),
        backup: backup.unwrap_or(false),
        slow_start,
    });
    Some(((named.text()?, named.at), server))
}
