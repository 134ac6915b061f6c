//! Sending clients that came without TLS to where there is TLS. Pure.

use std::net::IpAddr;

use http::{HeaderMap, Uri};
use ipnet::IpNet;

use super::headers::host_of;
use super::own_fields::FORWARDED_PROTO;

/// Where TLS is spoken unless a port is named.
const HTTPS: u16 = 443;

/// Whether a proxy that may be believed says that its client came by TLS.
pub(super) fn vouched_for(peer: IpAddr, trusted: &[IpNet], headers: &HeaderMap) -> bool {
    let is_trusted = trusted.iter().any(|net| net.contains(&peer));
    let protocol = headers.get(FORWARDED_PROTO).map(|value| value.as_bytes());
    is_trusted && protocol.is_some_and(|said| said.eq_ignore_ascii_case(b"https"))
}

/// The same target by TLS. `authority` is the request's, with or without a port.
pub(super) fn location(authority: &str, port: u16, uri: &Uri) -> String {
    let host = host_of(authority);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    // `OPTIONS *` is about the whole server.
    let target = target.strip_prefix('*').unwrap_or(target);
    match port {
        HTTPS => format!("https://{host}{target}"),
        _ => format!("https://{host}:{port}{target}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_tls_and_the_rest_stays() {
        let uri: Uri = "/a%20b?c=d&e".parse().unwrap();
        for (authority, port, expected) in [
            ("a.test", 443, "https://a.test/a%20b?c=d&e"),
            ("a.test:80", 443, "https://a.test/a%20b?c=d&e"),
            ("a.test:8080", 8443, "https://a.test:8443/a%20b?c=d&e"),
            ("[::1]:8080", 8443, "https://[::1]:8443/a%20b?c=d&e"),
            ("[::1]", 443, "https://[::1]/a%20b?c=d&e"),
        ] {
            assert_eq!(location(authority, port, &uri), expected);
        }
        let whole: Uri = "http://b.test/x".parse().unwrap();
        assert_eq!(location("a.test", 443, &whole), "https://a.test/x");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        let said =
            |headers: &HeaderMap, peer: &str| vouched_for(peer.parse().unwrap(), &trusted, headers);
        assert!(!said(&headers, "10.1.2.3"));
        headers.insert(FORWARDED_PROTO, "HTTPS".parse().unwrap());
        assert!(said(&headers, "10.1.2.3"));
        assert!(!said(&headers, "192.0.2.1"));
        headers.insert(FORWARDED_PROTO, "http".parse().unwrap());
        assert!(!said(&headers, "10.1.2.3"));
    }
}
