//! `[admin]`: where the daemon tells programs and people how it is, by HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use super::table::{Shape, Table, Value};
use super::tls;
use crate::config::admin::{Role, User};
use crate::config::check::{Facts, unique_users};
use crate::config::problem::Fault;
use crate::config::tls::Place;
use crate::config::{Admin, BindTls, address, units};
use crate::password::{Hash, NoHash};
use crate::reason::steers;

/// How often a browser without JavaScript asks for the page again.
const REFRESH: Duration = Duration::from_secs(5);

/// Browsers count whole seconds.
const SHORTEST: Duration = Duration::from_secs(1);

const ADMIN: Shape = Shape {
    what: "[admin]",
    example: "a section: [admin]",
    keys: &["bind", "refresh", "allowed_hosts", "actions", "users"],
    later: &[],
};

const BIND: Shape = Shape {
    what: "the bind of [admin]",
    example: "{ address = \"127.0.0.1:8404\" }",
    keys: &["address", "tls"],
    later: &[
        (
            "proxy_protocol",
            "whoever connects is taken for the one who asks",
        ),
        ("h2c", "HTTP/1.1 is spoken here"),
    ],
};

const USER: Shape = Shape {
    what: "a user",
    example: "a section: [[admin.users]]",
    keys: &["name", "password_hash", "role"],
    later: &[],
};

/// Of a user's name, in bytes: as of other names.
const MAX_NAME: usize = 127;

pub(super) fn read<'a>(value: Value<'a>, facts: &mut Facts<'a>) -> Option<Admin> {
    let table = value.table(&ADMIN)?;
    let refresh = table.parse("refresh", refresh).unwrap_or(REFRESH);
    let allowed_hosts = allowed_hosts(table);
    let actions = table.get("actions").and_then(|value| value.flag()) == Some(true);
    let given = table.get("users");
    let users = given.map(users).unwrap_or_default();
    let value = table.require("bind", "`bind = \"127.0.0.1:8404\"`")?;
    let place = Place(value.at);
    let (bind, tls) = self::bind(value, given.is_some(), facts)?;
    Some(Admin {
        bind,
        tls,
        refresh,
        allowed_hosts,
        actions,
        users,
        place,
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

fn bind<'a>(
    value: Value<'a>,
    has_users: bool,
    facts: &mut Facts<'a>,
) -> Option<(SocketAddr, Option<BindTls>)> {
    let (value, tls) = if value.is_table() {
        let table = value.table(&BIND)?;
        let tls = table.get("tls").and_then(tls::of_admin);
        let address = table.require("address", "`address = \"127.0.0.1:8404\"`")?;
        (address, tls)
    } else {
        (value, None)
    };
    let bind = value.parse(address::bind)?;
    if !bind.ip().is_loopback() && !has_users {
        let port = bind.port();
        let remedy = format!(
            "write \"127.0.0.1:{port}\", and come through a tunnel: ssh -L {port}:127.0.0.1:{port} HOST; or \
             add users, with password hashes of `lbctl hash-password`"
        );
        let message = "an address that others can reach needs [[admin.users]]";
        value.wrong(Fault::new(message, remedy));
    }
    facts.bind(bind, value.text()?, value.at);
    Some((bind, tls))
}

fn allowed_hosts(table: Table<'_>) -> Vec<String> {
    let given = table.get("allowed_hosts").and_then(|value| value.list());
    let given = given.unwrap_or_default();
    let hosts = given.iter().filter_map(|value| value.parse(address::host));
    hosts.collect()
}

fn users(value: Value<'_>) -> Vec<User> {
    let Some(given) = value.list() else {
        return Vec::new();
    };
    if given.is_empty() {
        value.wrong(Fault::new(
            "an empty `users` lets nobody in",
            "add [[admin.users]] with a name, a password_hash and a role, or remove the key",
        ));
    }
    let tables: Vec<_> = given.iter().filter_map(|v| v.table(&USER)).collect();
    let mut names = Vec::new();
    let users = tables.iter().filter_map(|table| user(*table, &mut names));
    let users = users.collect();
    if let Some(table) = tables.first() {
        unique_users(names.into_iter(), table.report());
    }
    users
}

/// Its name, with its place, joins `names`.
fn user<'a>(table: Table<'a>, names: &mut Vec<(&'a str, usize)>) -> Option<User> {
    let given = table.require("name", "`name = \"ops\"`");
    let name = given.and_then(|value| value.parse(user_name));
    if let (Some(given), Some(_)) = (given, &name) {
        names.extend(given.text().map(|text| (text, given.at)));
    }
    let hash = table.require(
        "password_hash",
        "`password_hash = \"$argon2id$…\"`, as lbctl hash-password prints it",
    );
    let hash = hash.and_then(|value| value.parse(password_hash));
    let roles = [("viewer", Role::Viewer), ("operator", Role::Operator)];
    let role = table.require("role", "`role = \"viewer\"`, or \"operator\"");
    let role = role.and_then(|value| value.choice(&roles, |_| false));
    Some(User {
        name: name?,
        password_hash: hash?,
        role: role?,
    })
}

/// Whatever Basic authentication can carry (RFC 7617, 2), in one line that no terminal obeys.
fn user_name(text: &str) -> Result<String, Fault> {
    let bad = text.chars().find(|c| *c == ':' || steers(*c));
    let fault = match bad {
        Some(bad) => format!("{bad:?} cannot stand in a user's name"),
        None if text.is_empty() => "a user's name cannot be empty".to_owned(),
        None if text.len() > MAX_NAME => format!("a user's name has at most {MAX_NAME} bytes"),
        None => return Ok(text.to_owned()),
    };
    Err(Fault::new(fault, "write one such as \"ops\""))
}

fn password_hash(text: &str) -> Result<Hash, Fault> {
    text.parse().map_err(|error: NoHash| {
        Fault::new(
            error.to_string(),
            "write what `lbctl hash-password` prints, as in \"$argon2id$v=19$m=19456,t=2,p=1$…\"",
        )
    })
}
