//! `[[frontend.NAME.routes]]`: which requests go where.

use std::collections::BTreeMap;

use super::table::{Shape, Table, Value, name};
use crate::config::check::Facts;
use crate::config::problem::Fault;
use crate::config::{Action, Mode, PathPattern, Piece, Route, http};
use crate::name::BackendName;

const ROUTE: Shape = Shape {
    what: "a route",
    example: "{ path = \"/v1/\", backend = \"app\" }",
    keys: &[
        "host",
        "path",
        "path_exact",
        "methods",
        "headers",
        "plain",
        "backend",
        "redirect",
        "respond",
    ],
    later: &[],
};

const REDIRECT: Shape = Shape {
    what: "a redirect",
    example: "{ to = \"https://new.example{path}{query}\" }",
    keys: &["to", "status"],
    later: &[],
};

const RESPOND: Shape = Shape {
    what: "a response",
    example: "{ status = 403 }",
    keys: &["status"],
    later: &[],
};

/// The statuses that send a client elsewhere (RFC 9110, 15.4).
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

const DEFAULT_REDIRECT: u16 = 302;

pub(super) fn read<'a>(value: Value<'a>, mode: Mode, facts: &mut Facts<'a>) -> Option<Route> {
    let table = value.table(&ROUTE)?;
    let route = Route {
        host: table.parse("host", http::host_pattern),
        path: path(table),
        methods: methods(table),
        headers: headers(table),
        plain: table.get("plain").and_then(|value| value.flag()) == Some(true),
        action: action(table, mode, facts)?,
    };
    Some(route)
}

fn path(table: Table<'_>) -> Option<PathPattern> {
    let prefix = table.get("path");
    let exact = table.get("path_exact");
    if let (Some(_), Some(exact)) = (prefix, exact) {
        exact.wrong_key(Fault::new(
            "a route has `path` or `path_exact`, not both",
            "keep `path` for every path that begins so, `path_exact` for that path alone",
        ));
    }
    let exact = exact.and_then(|value| value.parse(http::path));
    let prefix = prefix.and_then(|value| value.parse(http::path));
    exact
        .map(PathPattern::Exact)
        .or(prefix.map(PathPattern::Prefix))
}

fn methods(table: Table<'_>) -> Vec<String> {
    let Some(value) = table.get("methods") else {
        return Vec::new();
    };
    let given = value.list();
    if given.as_ref().is_some_and(Vec::is_empty) {
        value.wrong(Fault::new(
            "an empty list of methods",
            "name at least one, or remove `methods` to match every method",
        ));
    }
    let given = given.unwrap_or_default();
    given
        .iter()
        .filter_map(|value| value.parse(http::method))
        .collect()
}

fn headers(table: Table<'_>) -> Vec<(String, String)> {
    let given = table.get("headers").and_then(|value| value.entries());
    let mut seen = BTreeMap::new();
    let mut headers = Vec::new();
    for value in given.unwrap_or_default() {
        let name = value.parse_key(http::header_name);
        let text = value.parse(http::header_value);
        let (Some(name), Some(text)) = (name, text) else {
            continue;
        };
        if let Some(first) = seen.insert(name.clone(), value.key) {
            value.wrong_key(Fault::new(
                format!("`{first}` and `{}` are the same header", value.key),
                "keep one of the two: case does not matter in header names",
            ));
        }
        headers.push((name, text));
    }
    headers
}

/// Exactly one of `backend`, `redirect` and `respond`.
fn action<'a>(table: Table<'a>, mode: Mode, facts: &mut Facts<'a>) -> Option<Action> {
    const CHOICE: &str =
        "`backend = \"app\"`, `redirect = { to = \"…\" }` or `respond = { status = 403 }`";
    let mut given: Vec<_> = ["backend", "redirect", "respond"]
        .into_iter()
        .filter_map(|key| table.get(key))
        .collect();
    given.sort_by_key(|value| value.key_at);
    if given.is_empty() {
        table.absent(Fault::new(
            "this route leads nowhere",
            format!("add {CHOICE}"),
        ));
    }
    for extra in given.iter().skip(1) {
        extra.wrong_key(Fault::new(
            format!("this route already has `{}`", given[0].key),
            format!("keep one of {CHOICE}"),
        ));
    }
    let actions = given.into_iter().map(|value| match value.key {
        "backend" => backend(value, mode, facts).map(Action::Backend),
        "redirect" => redirect(value),
        _ => respond(value),
    });
    // Each is read, the surplus ones too, so that all their problems are told.
    actions.collect::<Vec<_>>().into_iter().next()?
}

/// A backend by its name; whether there is one is judged when the whole file has been read.
pub(super) fn backend<'a>(
    value: Value<'a>,
    mode: Mode,
    facts: &mut Facts<'a>,
) -> Option<BackendName> {
    let backend = value.parse(name)?;
    facts.reference(value.text()?, mode, value.at);
    Some(backend)
}

fn redirect(value: Value<'_>) -> Option<Action> {
    let table = value.table(&REDIRECT)?;
    let to: Option<Vec<Piece>> = table
        .require("to", "`to = \"https://new.example{path}{query}\"`")
        .and_then(|value| value.parse(http::redirect_target));
    let status = match table.get("status") {
        Some(value) => redirect_status(value),
        None => Some(DEFAULT_REDIRECT),
    };
    Some(Action::Redirect {
        to: to?,
        status: status?,
    })
}

fn redirect_status(value: Value<'_>) -> Option<u16> {
    let number = value.number(0, u32::MAX)?;
    let status = REDIRECTS
        .into_iter()
        .find(|status| u32::from(*status) == number);
    if status.is_none() {
        value.wrong(Fault::new(
            format!("{number} is not a redirect"),
            "write 301 or 308 for a move that clients may remember, 302, 303 or 307 for one they may not",
        ));
    }
    status
}

fn respond(value: Value<'_>) -> Option<Action> {
    let table = value.table(&RESPOND)?;
    let status = table.require("status", "`status = 403`")?;
    let status = status.number(200, 599)?;
    let status = status.try_into().ok()?;
    Some(Action::Respond { status })
}
