//! `tls` of a server, and of a backend for all of its servers.

use rustls_pki_types::ServerName;

use super::table::{Shape, Table, Value};
use super::tls::{located, protocol};
use crate::config::problem::Fault;
use crate::config::tls::{Located, Place, ServerTls};
use crate::config::{Mode, Protocol};

const TLS: Shape = Shape {
    what: "the TLS of a server",
    example: "{ ca = \"/etc/lbd/ca.pem\" }",
    keys: &["verify", "ca", "sni", "cert", "alpn"],
    later: &[],
};

/// How the servers of a backend are spoken to.
#[derive(Clone, Copy)]
pub(super) struct Of {
    pub(super) mode: Mode,
    pub(super) protocol: Protocol,
}

/// What one `tls` says.
#[derive(Debug, Clone)]
pub(super) struct Given {
    on: bool,
    verify: Option<bool>,
    ca: Option<Located>,
    sni: Option<String>,
    cert: Option<Located>,
    alpn: Option<Vec<String>>,
    at: usize,
}

pub(super) fn read(value: Value<'_>, of: Of) -> Option<Given> {
    let plain = |on| Given {
        on,
        verify: None,
        ca: None,
        sni: None,
        cert: None,
        alpn: None,
        at: value.at,
    };
    if let Some(on) = value.as_flag() {
        return Some(plain(on));
    }
    if !value.is_table() {
        value.mistyped(
            "a table, true or false",
            "write { ca = \"/etc/lbd/ca.pem\" }, true for whom the system trusts, or false for no TLS",
        );
        return None;
    }
    let table = value.table(&TLS)?;
    let path = |key| table.get(key).and_then(|value| located(&value));
    let verify = table.get("verify");
    let given = Given {
        verify: verify.and_then(|value| value.flag()),
        ca: path("ca"),
        sni: table.parse("sni", name),
        cert: path("cert"),
        alpn: alpn(table, of.mode),
        at: verify.map_or(value.at, |verify| verify.at),
        ..plain(true)
    };
    if given.verify == Some(false)
        && let Some(ca) = table.get("ca")
    {
        ca.wrong_key(Fault::new(
            "`ca` says who is trusted, and `verify = false` trusts everybody",
            "remove one of the two",
        ));
    }
    Some(given)
}

impl Given {
    /// What holds for a server: its own keys go before the backend's.
    pub(super) fn of_server(
        own: Option<Self>,
        backend: Option<&Self>,
        of: Of,
    ) -> Option<ServerTls> {
        let (given, beneath) = match (own, backend) {
            (Some(own), beneath) => (own, beneath.cloned()),
            (None, beneath) => (beneath.cloned()?, None),
        };
        if !given.on {
            return None;
        }
        let beneath = beneath.filter(|beneath| beneath.on);
        let place = match (&beneath, given.verify) {
            (Some(beneath), None) => beneath.at,
            _ => given.at,
        };
        let below = beneath.as_ref();
        let alpn = given.alpn.or_else(|| below?.alpn.clone());
        Some(ServerTls {
            verify: given.verify.or_else(|| below?.verify).unwrap_or(true),
            ca: given.ca.or_else(|| below?.ca.clone()),
            sni: given.sni.or_else(|| below?.sni.clone()),
            cert: given.cert.or_else(|| below?.cert.clone()),
            alpn: alpn.unwrap_or_else(|| match (of.mode, of.protocol) {
                (Mode::Http, Protocol::Http1) => vec!["http/1.1".to_owned()],
                (Mode::Http, Protocol::Http2) => vec!["h2".to_owned()],
                (Mode::Tcp, _) => Vec::new(),
            }),
            place: Place(place),
        })
    }
}

fn name(text: &str) -> Result<String, Fault> {
    let name = ServerName::try_from(text).map_err(|_| {
        Fault::new(
            format!("`{text}` is not a name that a server can have"),
            "write a host name or an IP address, without a port, as in \"app.internal\"",
        )
    })?;
    Ok(name.to_str().to_ascii_lowercase())
}

/// In mode tcp what is spoken is for the two sides to say.
fn alpn(table: Table<'_>, mode: Mode) -> Option<Vec<String>> {
    let value = table.get("alpn")?;
    if mode == Mode::Http {
        value.wrong_key(Fault::new(
            "`alpn` is for mode tcp: here the backend's `protocol` says what is spoken",
            "remove it",
        ));
        return None;
    }
    let given = value.list()?;
    Some(given.iter().filter_map(|one| one.parse(protocol)).collect())
}
