//! `[admin]`: where the daemon tells programs and people how it is, by HTTP.

use super::table::{Shape, Table, Value};
use crate::config::check::Facts;
use crate::config::problem::Fault;
use crate::config::{Admin, address};

const ADMIN: Shape = Shape {
    what: "[admin]",
    example: "a section: [admin]",
    keys: &["bind", "allowed_hosts", "actions"],
    later: &[
        ("refresh", "no dashboard is served in this version"),
        ("users", "nobody is asked who they are in this version"),
        (
            "tls",
            "it is reached from this machine alone in this version",
        ),
    ],
};

pub(super) fn read<'a>(value: Value<'a>, facts: &mut Facts<'a>) -> Option<Admin> {
    let table = value.table(&ADMIN)?;
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
        allowed_hosts,
        actions: table.get("actions").and_then(|value| value.flag()) == Some(true),
    })
}

fn allowed_hosts(table: Table<'_>) -> Vec<String> {
    let given = table.get("allowed_hosts").and_then(|value| value.list());
    let given = given.unwrap_or_default();
    let hosts = given.iter().filter_map(|value| value.parse(address::host));
    hosts.collect()
}
