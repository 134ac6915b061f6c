//! `tls` of a bind.

use super::table::{Shape, Table, Value};
use crate::config::Mode;
use crate::config::problem::Fault;
use crate::config::tls::{BindTls, ClientAuth, Located, TlsVersion};

const TLS: Shape = Shape {
    what: "the TLS of a bind",
    example: "{ certs = [\"/etc/lbd/certs\"] }",
    keys: &[
        "certs",
        "alpn",
        "min_version",
        "strict_sni",
        "client_ca",
        "client_auth",
    ],
    later: &[],
};

const ADMIN_TLS: Shape = Shape {
    what: "the TLS of [admin]",
    example: TLS.example,
    keys: &[
        "certs",
        "min_version",
        "strict_sni",
        "client_ca",
        "client_auth",
    ],
    later: &[("alpn", "HTTP/1.1 is spoken here, and offered")],
};

pub(super) fn of_bind(value: Value<'_>, mode: Mode) -> Option<BindTls> {
    let table = value.table(&TLS)?;
    Some(read(table, alpn(table, mode)))
}

/// What browsers and Prometheus are served there.
pub(super) fn of_admin(value: Value<'_>) -> Option<BindTls> {
    let table = value.table(&ADMIN_TLS)?;
    Some(read(table, vec!["http/1.1".to_owned()]))
}

fn read(table: Table<'_>, alpn: Vec<String>) -> BindTls {
    let client_ca = table.get("client_ca").and_then(|value| located(&value));
    let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    let min_version = table.get("min_version");
    let min_version = min_version.and_then(|value| value.choice(&versions, |_| false));
    BindTls {
        certs: certs(table),
        alpn,
        min_version: min_version.unwrap_or(TlsVersion::Tls12),
        strict_sni: table.get("strict_sni").and_then(|v| v.flag()) == Some(true),
        client_auth: client_auth(table),
        client_ca,
    }
}

/// A path, or a list of them.
fn certs(table: Table<'_>) -> Vec<Located> {
    let Some(value) = table.require("certs", "`certs = [\"/etc/lbd/certs\"]`") else {
        return Vec::new();
    };
    let given = match value.is_list() {
        true => value.list().unwrap_or_default(),
        false => vec![value],
    };
    if given.is_empty() {
        value.wrong(Fault::new(
            "there is no certificate to serve",
            "name a PEM file, or a folder of them: certs = [\"/etc/lbd/certs\"]",
        ));
    }
    given.iter().filter_map(located).collect()
}

pub(super) fn located(value: &Value<'_>) -> Option<Located> {
    Some(Located {
        path: value.words()?.into(),
        at: value.at,
    })
}

/// In mode tcp what is spoken is for the two sides to say, and is offered only where it is listed.
fn alpn(table: Table<'_>, mode: Mode) -> Vec<String> {
    let known = [("h2", "h2"), ("http/1.1", "http/1.1")];
    let Some(value) = table.get("alpn") else {
        return match mode {
            Mode::Http => known.map(|(_, protocol)| protocol.to_owned()).into(),
            Mode::Tcp => Vec::new(),
        };
    };
    let given = value.list().unwrap_or_default();
    let protocol = |value: &Value<'_>| match mode {
        Mode::Http => value.choice(&known, |_| false).map(str::to_owned),
        Mode::Tcp => value.parse(protocol),
    };
    given.iter().filter_map(protocol).collect()
}

pub(super) fn protocol(text: &str) -> Result<String, Fault> {
    match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err(Fault::new(
            "a protocol's name has 1 to 255 bytes",
            "write one such as \"h2\"",
        )),
    }
}

fn client_auth(table: Table<'_>) -> ClientAuth {
    let choices = [
        ("none", ClientAuth::None),
        ("optional", ClientAuth::Optional),
        ("required", ClientAuth::Required),
    ];
    let given = table.get("client_auth");
    let auth = given.and_then(|value| value.choice(&choices, |_| false));
    let has_ca = table.get("client_ca").is_some();
    if let (Some(value), Some(ClientAuth::Optional | ClientAuth::Required), false) =
        (given, auth, has_ca)
    {
        value.wrong_key(Fault::new(
            "nobody is named who issues clients' certificates",
            "add `client_ca = \"/etc/lbd/clients.pem\"`",
        ));
    }
    auth.unwrap_or(match has_ca {
        true => ClientAuth::Required,
        false => ClientAuth::None,
    })
}
