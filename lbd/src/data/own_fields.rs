//! What lbd says itself in a request for a server: for whom it is (`Host`), and from whom it comes
//! (`X-Forwarded-*`). Pure.

use std::net::IpAddr;
use std::rc::Rc;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Whom the requests of a connection come from.
#[derive(Debug)]
pub(super) struct Origin {
    ip: IpAddr,
    /// `http` or `https`: by which they come.
    pub(super) scheme: &'static str,
    /// The port that was connected to.
    port: u16,
    /// What a server is told of that, as it stands in a head.
    lines: String,
}

impl Origin {
    pub(super) fn new(peer: IpAddr, scheme: &'static str, port: u16) -> Rc<Self> {
        let ip = peer.to_canonical();
        let lines = [
            "x-forwarded-for: ",
            &ip.to_string(),
            "\r\nx-forwarded-proto: ",
            scheme,
            "\r\nx-forwarded-port: ",
            itoa::Buffer::new().format(port),
            "\r\n",
        ]
        .concat();
        Rc::new(Self {
            ip,
            scheme,
            port,
            lines,
        })
    }

    fn address(&self) -> HeaderValue {
        let address = HeaderValue::try_from(self.ip.to_string());
        address.unwrap_or(HeaderValue::from_static(""))
    }

    fn scheme(&self) -> HeaderValue {
        HeaderValue::from_static(self.scheme)
    }
}

/// The head of a request for a server.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) parts: Parts,
    pub(super) own: OwnFields,
}

/// The fields that lbd adds to a client's. They stand apart, as the map of the client's would have to
/// grow for them.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnFields {
    /// `None`: all of them stand among the client's.
    host: Option<HeaderValue>,
    origin: Option<Rc<Origin>>,
}

impl OwnFields {
    /// Those of a request, and `headers` freed of their names.
    ///
    /// What a trusted peer says of where a request comes from is kept, and ours joins it.
    pub(super) fn new(
        headers: &mut HeaderMap,
        host: HeaderValue,
        origin: &Rc<Origin>,
        trusted: &[IpNet],
    ) -> Self {
        if trusted.iter().any(|net| net.contains(&origin.ip)) {
            join_trusted(headers, host, origin);
            return Self::default();
        }
        // Rather than to look up each: there are few fields, and none or one of these.
        while let Some(name) = headers.keys().find(|name| is_own(name)).cloned() {
            headers.remove(name);
        }
        Self {
            host: Some(host),
            origin: Some(origin.clone()),
        }
    }

    /// Adds them to a head.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let Some(host) = &self.host else {
            return;
        };
        line(out, b"host: ", host);
        if let Some(origin) = &self.origin {
            out.extend_from_slice(origin.lines.as_bytes());
            line(out, b"x-forwarded-host: ", host);
        }
    }

    /// Puts them among the client's.
    pub(super) fn join(&mut self, headers: &mut HeaderMap) {
        let Some(host) = self.host.take() else {
            return;
        };
        if let Some(origin) = self.origin.take() {
            headers.insert(FORWARDED_FOR, origin.address());
            headers.insert(FORWARDED_PROTO, origin.scheme());
            headers.insert(FORWARDED_HOST, host.clone());
            headers.insert(FORWARDED_PORT, origin.port.into());
        }
        headers.insert(HOST, host);
    }
}

/// Puts them among those of a trusted peer, after what it said of the way before it.
fn join_trusted(headers: &mut HeaderMap, host: HeaderValue, origin: &Origin) {
    let before = headers.get_all(FORWARDED_FOR).iter();
    let before: Vec<&[u8]> = before.map(HeaderValue::as_bytes).collect();
    let mut chain = before.join(b", ".as_slice());
    if !chain.is_empty() {
        chain.extend_from_slice(b", ");
    }
    let address = origin.address();
    chain.extend_from_slice(address.as_bytes());
    let chain = HeaderValue::from_bytes(&chain).unwrap_or(address);
    headers.insert(FORWARDED_FOR, chain);
    keep_or(headers, FORWARDED_PROTO, || origin.scheme());
    keep_or(headers, FORWARDED_HOST, || host.clone());
    keep_or(headers, FORWARDED_PORT, || origin.port.into());
    headers.insert(HOST, host);
}

fn keep_or(headers: &mut HeaderMap, name: HeaderName, value: impl FnOnce() -> HeaderValue) {
    if !headers.contains_key(&name) {
        headers.insert(name, value());
    }
}

fn is_own(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "host" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port"
    )
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &HeaderValue) {
    out.extend_from_slice(name);
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTED: HeaderValue = HeaderValue::from_static("a.example:8080");

    fn said() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "198.51.100.1"),
            ("host", "b.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("accept", "*/*"),
            ("x-forwarded-proto", "https"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    /// What a server gets, each field on its line, in order of their names.
    fn sent(headers: &HeaderMap, own: &OwnFields) -> Vec<String> {
        let mut text = Vec::new();
        own.write(&mut text);
        for (name, value) in headers {
            line(&mut text, format!("{name}: ").as_bytes(), value);
        }
        let text = String::from_utf8(text).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    fn origin() -> Rc<Origin> {
        Origin::new("::ffff:192.0.2.7".parse().unwrap(), "http", 80)
    }

    #[test]
    fn they_replace_what_nobody_trusted_said_apart_and_among_the_others() {
        let mut headers = said();
        let stranger = ["198.51.100.0/24".parse().unwrap()];
        let mut own = OwnFields::new(&mut headers, HOSTED, &origin(), &stranger);
        let expected = [
            "accept: */*",
            "host: a.example:8080",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: a.example:8080",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
        ];
        assert_eq!(sent(&headers, &own), expected);
        assert_eq!(headers.len(), 1);
        own.join(&mut headers);
        assert_eq!(sent(&headers, &own), expected);
        assert_eq!(headers.len(), 6);
    }

    #[test]
    fn they_join_what_a_trusted_peer_said() {
        let mut headers = said();
        let trusted = ["192.0.2.0/24".parse().unwrap()];
        let own = OwnFields::new(&mut headers, HOSTED, &origin(), &trusted);
        let expected = [
            "accept: */*",
            "host: a.example:8080",
            "x-forwarded-for: 198.51.100.1, 10.0.0.1, 192.0.2.7",
            "x-forwarded-host: a.example:8080",
            "x-forwarded-port: 80",
            "x-forwarded-proto: https",
        ];
        assert_eq!(sent(&headers, &own), expected);
    }
}
