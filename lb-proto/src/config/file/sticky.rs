//! A backend's `sticky`: the cookie that leads a client back to its server.

use super::table::{Shape, Table, Value};
use crate::config::problem::Fault;
use crate::config::{SameSite, Sticky, cookie, units};

const STICKY: Shape = Shape {
    what: "stickiness",
    example: "{ cookie = \"SRVID\" }",
    keys: &[
        "cookie",
        "secure",
        "same_site",
        "http_only",
        "max_age",
        "path",
        "domain",
    ],
    later: &[],
};

const SAME_SITES: [(&str, SameSite); 3] = [
    ("strict", SameSite::Strict),
    ("lax", SameSite::Lax),
    ("none", SameSite::None),
];

pub(super) fn read(value: Value<'_>) -> Option<Sticky> {
    if !value.is_table() {
        value.mistyped(
            "a table or false",
            "write { cookie = \"SRVID\" }, or false where any server knows the clients of the others",
        );
        return None;
    }
    let table = value.table(&STICKY)?;
    let secure = table.get("secure").and_then(|value| value.flag());
    let same_site = table
        .get("same_site")
        .and_then(|value| value.choice(&SAME_SITES, |_| false));
    let http_only = table.get("http_only").and_then(|value| value.flag());
    let cookie = table.require("cookie", "`cookie = \"SRVID\"`");
    let sticky = Sticky {
        secure: secure.unwrap_or(false),
        same_site,
        http_only: http_only.unwrap_or(true),
        max_age: table.parse("max_age", units::max_age),
        path: table
            .parse("path", cookie::path)
            .unwrap_or_else(|| "/".to_owned()),
        domain: table.parse("domain", cookie::domain),
        cookie: cookie?.parse(cookie::name)?,
    };
    browsers_take_it(table, &sticky);
    Some(sticky)
}

/// What browsers refuse without a word (RFC 6265bis, 4.1.3 and 5.6) is told here.
fn browsers_take_it(table: Table<'_>, sticky: &Sticky) {
    if sticky.same_site == Some(SameSite::None)
        && !sticky.secure
        && let Some(value) = table.get("same_site")
    {
        value.wrong(Fault::new(
            "browsers refuse a cookie with `same_site = \"none\"` that is not secure",
            "add `secure = true`, or write \"lax\"",
        ));
    }
    let Some(value) = table.get("cookie") else {
        return;
    };
    let begins = |prefix: &str| {
        let start = sticky.cookie.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if begins("__Host-") && (!sticky.secure || sticky.path != "/" || sticky.domain.is_some()) {
        value.wrong(Fault::new(
            "browsers refuse a cookie named `__Host-…` unless it is secure, for the path \"/\" and without domain",
            "add `secure = true` and remove `path` and `domain`, or choose another name",
        ));
    } else if begins("__Secure-") && !sticky.secure {
        value.wrong(Fault::new(
            "browsers refuse a cookie named `__Secure-…` that is not secure",
            "add `secure = true`, or choose another name",
        ));
    }
}
