//! A backend's `health`: how its servers are asked whether they are up.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::table::{Shape, Table, Value};
use crate::config::problem::Fault;
use crate::config::{Check, CheckKind, http, units};

const HEALTH: Shape = Shape {
    what: "a health check",
    example: "{ type = \"http\", path = \"/healthz\" }",
    keys: &[
        "type", "method", "path", "host", "expect", "interval", "timeout", "rise", "fall",
    ],
    later: &[],
};

const OF_HTTP_ALONE: [&str; 4] = ["method", "path", "host", "expect"];

/// Every answer that is no error, as in HAProxy.
const DEFAULT_EXPECT: RangeInclusive<u16> = 200..=399;

fn built_in() -> Check {
    Check {
        kind: CheckKind::Tcp,
        interval: Duration::from_secs(2),
        timeout: Duration::from_secs(2),
        rise: 2,
        fall: 3,
    }
}

/// Checks are on unless turned off; `None` if they are.
pub(super) fn read(value: Option<Value<'_>>) -> Option<Check> {
    let Some(value) = value else {
        return Some(built_in());
    };
    if let Some(on) = value.as_flag() {
        return on.then(built_in);
    }
    if !value.is_table() {
        value.mistyped(
            "a table or false",
            "write { type = \"http\", path = \"/healthz\" }, { type = \"tcp\" }, or false to turn checks off",
        );
        return None;
    }
    value.table(&HEALTH).map(given)
}

fn given(table: Table<'_>) -> Check {
    let defaults = built_in();
    let duration = |key, default| table.parse(key, units::timeout).unwrap_or(default);
    let times = |key, default| {
        let number = table.get(key).and_then(|value| value.number(1, u32::MAX));
        number.unwrap_or(default)
    };
    Check {
        kind: kind(table),
        interval: duration("interval", defaults.interval),
        timeout: duration("timeout", defaults.timeout),
        rise: times("rise", defaults.rise),
        fall: times("fall", defaults.fall),
    }
}

fn kind(table: Table<'_>) -> CheckKind {
    let given = table.get("type");
    let is_http = given.map(|value| value.choice(&[("http", true), ("tcp", false)], |_| false));
    let http = CheckKind::Http {
        method: table
            .parse("method", http::method)
            .unwrap_or_else(|| "GET".to_owned()),
        path: table
            .parse("path", http::target)
            .unwrap_or_else(|| "/".to_owned()),
        host: table.parse("host", http::host_value),
        expect: table
            .parse("expect", http::expected)
            .unwrap_or_else(|| vec![DEFAULT_EXPECT]),
    };
    // An unknown type has been told; what its other keys would have meant, nobody knows.
    if is_http != Some(None) && is_http != Some(Some(true)) {
        for value in OF_HTTP_ALONE.into_iter().filter_map(|key| table.get(key)) {
            value.wrong_key(Fault::new(
                format!(
                    "`{}` is for HTTP checks, and this is a TCP check",
                    value.key
                ),
                "set `type = \"http\"`, or remove the key: a TCP check only opens a connection",
            ));
        }
        return CheckKind::Tcp;
    }
    http
}
