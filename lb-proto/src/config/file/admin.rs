//! `[admin]`: where the daemon tells programs and people how it is, by HTTP.

use std::time::Duration;

use super::table::{Shape, Table, Value};
use crate::config::check::Facts;
use crate::config::problem::Fault;
use crate::config::{Admin, address, units};

/// How often a browser without JavaScript asks for the page again.
const REFRESH: Duration = Duration::from_secs(5);

/// Browsers count whole seconds.
const SHORTEST: Duration = Duration::from_secs(1);

const ADMIN: Shape = Shape {
    what: "[admin]",
    example: "a section: [admin]",
    keys: &["bind", "refresh", "allowed_hosts", "actions"],
    later: &[
        ("users", "nobody is asked who they are in this version"),
        (
            "tls",
            "it is reached from this machine alone in this version",
        ),
    ],
};

pub(super) fn read<'a>(value: Value<'a>, facts: &mut Facts<'a>) -> Option<Admin> {
    let table = value.table(&ADMIN)?;
    let refresh = table.parse("refresh", refresh).unwrap_or(REFRESH);
    let allowed_hosts = allowed_hosts(table);
    let value = table.require("bind", "`bind = \"127.0.0.1:8404\"`")?;
    let bind = value.parse(address::bind)?;
    if !bind.ip().is_loopback() {
        let port = bind.port();
        let remedy = format!(
            "write \"127.0.0.1:{port}\", and come through a tunnel: ssh -L {port}:127.0.0.1:{port} HOST"
        );
        let message =
            "an address that others can reach needs [[admin.users]], which are not supported yet";
        value.wrong(Fault::new(message, remedy));
    }
    facts.bind(bind, value.text()?, value.at);
    Some(Admin {
        bind,
        refresh,
        allowed_hosts,
        actions: table.get("actions").and_then(|value| value.flag()) == Some(true),
    })
}

fn refresh(text: &str) -> Result<Duration, Fault> {
    let refresh = units::timeout(text)?;
    if refresh < SHORTEST {
        return Err(Fault::new(
            format!("`{text}` is less than a page can be looked at"),
            "the shortest is \"1s\"",
        ));
    }
    Ok(refresh)
}

fn allowed_hosts(table: Table<'_>) -> Vec<String> {
    let given = table.get("allowed_hosts").and_then(|value| value.list());
    let given = given.unwrap_or_default();
    let hosts = given.iter().filter_map(|value| value.parse(address::host));
    hosts.collect()
}
