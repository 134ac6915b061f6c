//! Whether a request was meant for us: a page of another site that has its name lead to this machine (DNS
//! rebinding) is known by the name that its browser sends. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Version;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;

/// What a port stands for that is not written.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// What is listened on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) address: SocketAddr,
    /// By TLS.
    pub(super) secure: bool,
}

/// What a request was sent to: empty where an HTTP/1.0 request does not say. `None`: it is not for us to choose one.
/// The target's own counts, where it has one (RFC 9112, 3.2.2).
pub(super) fn of(head: &Parts) -> Option<&str> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?,
        (None, _) if head.version < Version::HTTP_11 => "",
        _ => return None,
    };
    Some(head.uri.authority().map_or(host, Authority::as_str))
}

/// The address that is listened on, a loopback name at any port (an SSH tunnel brings its own), or a name that
/// the configuration allows. `host` is what the client sent.
pub(super) fn is_ours(host: &str, bound: Bound, allowed: &[String]) -> bool {
    let Bound {
        address: bound,
        secure,
    } = bound;
    let unwritten = if secure { HTTPS } else { HTTP };
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let Some((name, port)) = split(authority.as_str()) else {
        return false;
    };
    match name.parse::<IpAddr>() {
        Ok(ip) if ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST => true,
        Ok(ip) => {
            // Of a machine with many addresses each is its own: what is rebound is a name.
            let own = ip == bound.ip() || bound.ip().is_unspecified();
            let at_port = port.unwrap_or(unwritten) == bound.port();
            (own && at_port) || allowed.contains(&ip.to_string())
        }
        Err(_) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || allowed.contains(&name)
        }
    }
}

/// The name, or the address without its brackets, and the port, if one is written. `None`: it is neither.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(literal) => literal
            .split_once(']')
            .filter(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok())?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if rest.is_empty() {
        return Some((name, None));
    }
    let port = rest.strip_prefix(':')?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits)?;
    Some((name, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(host: &str) -> bool {
        let allowed = ["lb1.example.com".to_owned(), "2001:db8::1".to_owned()];
        is_ours(host, bound("127.0.0.2:8404"), &allowed)
    }

    fn bound(address: &str) -> Bound {
        Bound {
            address: address.parse().unwrap(),
            secure: false,
        }
    }

    #[test]
    fn loopback_is_ours_at_any_port_the_bind_at_its_own() {
        for host in [
            "localhost",
            "LOCALHOST:9999",
            "localhost.:1",
            "127.0.0.1:18404",
            "[::1]:8404",
            "[::1]",
            "127.0.0.2:8404",
        ] {
            assert!(ours(host), "{host}");
        }
        assert!(!ours("127.0.0.2") && !ours("127.0.0.2:80") && !ours("127.0.0.3:8404"));
        let (http, https) = (bound("127.0.0.2:80"), bound("127.0.0.2:443"));
        let secure = |bound: Bound| Bound {
            secure: true,
            ..bound
        };
        assert!(is_ours("127.0.0.2", http, &[]) && is_ours("127.0.0.2", secure(https), &[]));
        assert!(!is_ours("127.0.0.2", secure(http), &[]) && !is_ours("127.0.0.2", https, &[]));
    }

    #[test]
    fn where_every_address_is_bound_each_is_ours_at_that_port() {
        let ours = |host: &str| is_ours(host, bound("0.0.0.0:8404"), &[]);
        assert!(ours("192.0.2.7:8404") && ours("localhost:1"));
        for host in ["192.0.2.7", "192.0.2.7:80", "evil.example:8404"] {
            assert!(!ours(host), "{host}");
        }
    }

    #[test]
    fn what_is_allowed_is_ours_and_nothing_that_looks_like_it() {
        for host in ["lb1.example.com", "LB1.example.com.:444", "[2001:db8::1]:1"] {
            assert!(ours(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "lb1.example.com.evil.example",
            "x.lb1.example.com",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil@localhost",
            "[::1]evil.example",
            "[::1]evil.example:8404",
            "[2001:db8::1].evil.example",
            "[localhost]",
            "localhost:",
            "localhost:abc",
            "localhost:+80",
            "localhost:99999",
            "127.0.0.1:1:1",
            "localhost/",
            "local host",
        ] {
            assert!(!ours(host), "{host}");
        }
    }
}
