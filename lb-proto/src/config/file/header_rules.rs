//! A backend's `request_headers` and `response_headers`.

use std::collections::BTreeMap;

use super::table::{Shape, Table, Value};
use crate::config::problem::Fault;
use crate::config::{HeaderRules, http};

const RULES: Shape = Shape {
    what: "header rules",
    example: "{ set = { x-env = \"prod\" }, remove = [\"server\"] }",
    keys: &["remove", "set", "add"],
    later: &[],
};

/// Whose headers a rule changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Request,
    Response,
}

/// Of one connection (RFC 9110, 7.6.1), or what says where a body ends: lbd's own business.
const OURS: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn read(value: Option<Value<'_>>, of: Of) -> HeaderRules {
    let Some(table) = value.and_then(|value| value.table(&RULES)) else {
        return HeaderRules::default();
    };
    let remove = remove(table, of);
    let set = set(table, of);
    for (name, value) in &set {
        if remove.contains(name) {
            value.wrong_key(Fault::new(
                format!("`{name}` is both removed and set"),
                "keep it in `set` alone: `set` replaces every one that was there",
            ));
        }
    }
    HeaderRules {
        set: set
            .into_iter()
            .filter_map(|(name, value)| Some((name.clone(), text(&name, value)?)))
            .collect(),
        add: add(table, of),
        remove,
    }
}

fn remove(table: Table<'_>, of: Of) -> Vec<String> {
    let given = table.get("remove").and_then(|value| value.list());
    let given = given.unwrap_or_default();
    let name = |value: &Value<'_>| {
        value.parse(|text| match http::header_name(text)? {
            name if name == "host" && of == Of::Request => Err(Fault::new(
                "a request always has a Host",
                "remove this; to send another, write set = { host = \"app.local\" }",
            )),
            name => allowed(name, of),
        })
    };
    given.iter().filter_map(name).collect()
}

fn set(table: Table<'_>, of: Of) -> Vec<(String, Value<'_>)> {
    names(table.get("set"), |text| {
        http::header_name(text).and_then(|name| allowed(name, of))
    })
}

/// One name may be added several times: its value is a text or a list of them.
fn add(table: Table<'_>, of: Of) -> Vec<(String, String)> {
    let given = names(table.get("add"), |text| match http::header_name(text)? {
        name if name == "host" && of == Of::Request => Err(Fault::new(
            "a request has one Host and no more",
            "write it under `set`",
        )),
        name => allowed(name, of),
    });
    let mut added = Vec::new();
    for (name, value) in given {
        let values = match value.is_list() {
            true => value.list().unwrap_or_default(),
            false => vec![value],
        };
        let texts = values.into_iter().filter_map(|value| text(&name, value));
        added.extend(texts.map(|text| (name.clone(), text)));
    }
    added
}

/// The entries of a table whose keys are header names, no name twice.
fn names<'a>(
    value: Option<Value<'a>>,
    parser: impl Fn(&str) -> Result<String, Fault>,
) -> Vec<(String, Value<'a>)> {
    let given = value.and_then(|value| value.entries()).unwrap_or_default();
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for value in given {
        let Some(name) = value.parse_key(&parser) else {
            continue;
        };
        if let Some(first) = seen.insert(name.clone(), value.key) {
            value.wrong_key(Fault::new(
                format!("`{first}` and `{}` are the same header", value.key),
                "keep one of the two: case does not matter in header names",
            ));
        }
        found.push((name, value));
    }
    found
}

fn text(name: &str, value: Value<'_>) -> Option<String> {
    match name {
        "host" => value.parse(http::host_value),
        _ => value.parse(http::header_value),
    }
}

fn allowed(name: String, of: Of) -> Result<String, Fault> {
    if OURS.contains(&name.as_str()) {
        return Err(Fault::new(
            format!(
                "`{name}` is not for rules: it belongs to a connection or to the framing of a body"
            ),
            "remove it; lbd writes it as each side needs it",
        ));
    }
    if name == "expect" && of == Of::Request {
        return Err(Fault::new(
            "`expect` is not for rules: lbd and the server settle with it when a body is sent",
            "remove it",
        ));
    }
    Ok(name)
}
