//! Addresses as operators write them: where a frontend listens, where a server is, who is trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use super::Address;
use super::problem::Fault;

/// `*:80` or `:80` for every IPv4 address, `[::]:80` for every IPv6 one, or one IP and a port.
pub(super) fn bind(text: &str) -> Result<SocketAddr, Fault> {
    const HOW: &str = "write an IP address and a port, as in \"*:80\", \"127.0.0.1:80\", \"[::1]:80\" or \"[::]:80\"";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(port) = text.parse::<u16>() {
        return Err(Fault::new(
            format!("`{text}` is a port without an address"),
            format!("write \"*:{port}\" to listen on every IPv4 address"),
        ));
    }
    match split(text, HOW)? {
        ("" | "*", port) => Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        (host, _) => Err(Fault::new(format!("`{host}` is not an IP address"), HOW)),
    }
}

/// One IP or host name, and a port that something can listen on.
pub(super) fn server(text: &str) -> Result<Address, Fault> {
    const HOW: &str = "write the server's address and port, as in \"10.0.0.11:8080\", \"[2001:db8::1]:8080\" or \"app.internal:8080\"";
    let address = match text.parse() {
        Ok(address) => Address::Ip(address),
        Err(_) => {
            let (host, port) = split(text, HOW)?;
            let host = host_name(host).ok_or_else(|| {
                Fault::new(
                    format!("`{host}` is neither an IP address nor a host name"),
                    HOW,
                )
            })?;
            Address::Name { host, port }
        }
    };
    if address.port() == 0 {
        return Err(Fault::new("a server cannot have port 0", HOW));
    }
    if let Address::Ip(address) = address
        && address.ip().is_unspecified()
    {
        return Err(Fault::new(
            format!("`{}` is not the address of a server", address.ip()),
            "write \"127.0.0.1\" or \"[::1]\" for this machine",
        ));
    }
    Ok(address)
}

/// A DNS server: an IP, and a port where that is not 53.
pub(super) fn resolver(text: &str) -> Result<SocketAddr, Fault> {
    const PORT: u16 = 53;
    let address = match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(ip), _) => Some(SocketAddr::new(ip, PORT)),
        (_, Ok(address)) => Some(address),
        _ => None,
    };
    let usable = |a: &SocketAddr| a.port() != 0 && !a.ip().is_unspecified();
    address.filter(usable).ok_or_else(|| {
        Fault::new(
            format!("`{text}` is not the address of a DNS server"),
            "write its IP address, with a port unless that is 53, as in \"10.0.0.2\" or \"127.0.0.1:5353\"",
        )
    })
}

/// `10.0.0.0/8`, or one address; bits beyond the prefix are dropped, as HAProxy does. IPv4 in IPv6's
/// clothes (`::ffff:10.0.0.0/104`) is IPv4, as clients' addresses are.
pub(super) fn network(text: &str) -> Result<IpNet, Fault> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    text.parse::<IpNet>().map(canonical).map_err(|_| {
        Fault::new(
            format!("`{text}` is not a network"),
            "write an address and a prefix length, as in \"10.0.0.0/8\" or \"2001:db8::/32\", or one address",
        )
    })
}

fn canonical(net: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match (net.addr().to_canonical(), net.prefix_len()) {
        (IpAddr::V4(address), prefix) if net.addr().is_ipv6() && prefix >= MAPPED => {
            Ipv4Net::new(address, prefix - MAPPED).map_or(net.trunc(), |net| net.trunc().into())
        }
        _ => net.trunc(),
    }
}

/// The name of a machine as browsers send it, without a port: it is good at any.
pub(super) fn host(text: &str) -> Result<String, Fault> {
    let ip = text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let name = ip.map(|ip| ip.to_string()).or_else(|| host_name(text));
    name.map(|name| name.trim_end_matches('.').to_owned())
        .ok_or_else(|| {
            Fault::new(
                format!("`{text}` is not the name of a host"),
                "write it without scheme and port, as in \"lb1.example.com\"",
            )
        })
}

/// What stands before the last colon, and the port after it.
fn split<'a>(text: &'a str, how: &str) -> Result<(&'a str, u16), Fault> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(Fault::new(
            format!("`{text}` has no port"),
            format!("write an IPv6 address in brackets, as in \"[{text}]:80\""),
        ));
    }
    let port_missing = || {
        let is_address = text.ends_with(']') || text == "*" || text.parse::<Ipv4Addr>().is_ok();
        let remedy = match is_address {
            true => format!("add the port, as in \"{text}:80\""),
            false => how.to_owned(),
        };
        Fault::new(format!("`{text}` has no port"), remedy)
    };
    if text.ends_with(']') {
        return Err(port_missing());
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(port_missing)?;
    if port.is_empty() {
        return Err(port_missing());
    }
    match port.parse() {
        Ok(number) if port.bytes().all(|b| b.is_ascii_digit()) => Ok((host, number)),
        _ => Err(Fault::new(
            format!("`{port}` is not a port"),
            "a port is a number from 1 to 65535",
        )),
    }
}

/// A name that a resolver can be asked for, in lower case (RFC 1123, 2.1; underscores are common).
/// One that ends in a number is a mistyped IP address.
fn host_name(host: &str) -> Option<String> {
    let in_label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(in_label)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next()?;
    let is_number = last.bytes().all(|b| b.is_ascii_digit());
    let fits = name.len() <= 253 && name.split('.').all(is_label) && !is_number;
    fits.then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_is_every_address_or_one() {
        let parsed = |text| bind(text).map(|address| address.to_string());
        assert_eq!(parsed("*:80").as_deref(), Ok("0.0.0.0:80"));
        assert_eq!(parsed(":80").as_deref(), Ok("0.0.0.0:80"));
        assert_eq!(parsed("127.0.0.1:0").as_deref(), Ok("127.0.0.1:0"));
        assert_eq!(parsed("[::1]:80").as_deref(), Ok("[::1]:80"));
        assert_eq!(parsed("[::]:80").as_deref(), Ok("[::]:80"));
    }

    #[test]
    fn a_bind_without_a_port_is_told_so() {
        let said = |text| bind(text).unwrap_err();
        assert_eq!(said("127.0.0.1").message, "`127.0.0.1` has no port");
        assert!(said("::1").remedy.contains("\"[::1]:80\""));
        assert!(said("[::1]").message.contains("no port"));
        assert!(said("*").remedy.contains("\"*:80\""));
        assert!(said("80").remedy.contains("\"*:80\""));
        assert!(said("").message.contains("no port"));
        assert!(said("*:").message.contains("no port"));
        for text in ["*:70000", "*:http", "*:-1", "*:+80", "*:8 0"] {
            assert!(said(text).message.contains("is not a port"), "{text}");
        }
        assert!(said("localhost:80").message.contains("not an IP address"));
    }

    #[test]
    fn a_server_is_one_address_with_a_port() {
        assert!(server("10.0.0.11:8080").is_ok() && server("[2001:db8::1]:80").is_ok());
        let named = |text| server(text).map(|address| address.to_string());
        for (text, means) in [
            ("db.internal:80", "db.internal:80"),
            ("LOCALHOST:80", "localhost:80"),
            ("web_1:8080", "web_1:8080"),
            ("app.internal.:80", "app.internal.:80"),
            ("10.0.0.1.nip.io:80", "10.0.0.1.nip.io:80"),
        ] {
            assert_eq!(named(text).as_deref(), Ok(means));
        }
        let said = |text: &str| server(text).unwrap_err().message;
        for text in [
            "10.0.0.256:80",
            "a..b:80",
            "-a:80",
            "a b:80",
            ":80",
            "*:80",
            ".:80",
        ] {
            assert!(said(text).contains("neither an IP address nor"), "{text}");
        }
        assert!(said(&format!("{}:80", "a".repeat(64))).contains("neither"));
        assert_eq!(said("10.0.0.1"), "`10.0.0.1` has no port");
        assert_eq!(said("app.internal"), "`app.internal` has no port");
        assert_eq!(said("10.0.0.1:0"), "a server cannot have port 0");
        assert_eq!(said("app:0"), "a server cannot have port 0");
        assert!(said("0.0.0.0:80").contains("not the address of a server"));
    }

    #[test]
    fn a_resolver_is_an_address_and_its_port_is_53() {
        let parsed = |text| resolver(text).map(|address| address.to_string());
        assert_eq!(parsed("10.0.0.2").as_deref(), Ok("10.0.0.2:53"));
        assert_eq!(parsed("127.0.0.1:5353").as_deref(), Ok("127.0.0.1:5353"));
        assert_eq!(parsed("::1").as_deref(), Ok("[::1]:53"));
        assert_eq!(parsed("[::1]:5353").as_deref(), Ok("[::1]:5353"));
        for text in ["dns.internal", "127.0.0.1:0", "0.0.0.0", ""] {
            assert!(resolver(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        let parsed = |text| host(text);
        assert_eq!(parsed("LB1.example.com.").as_deref(), Ok("lb1.example.com"));
        assert_eq!(parsed("10.0.0.2").as_deref(), Ok("10.0.0.2"));
        assert_eq!(parsed("[2001:DB8::1]").as_deref(), Ok("2001:db8::1"));
        for text in ["", "lb1:8404", "http://lb1", "*.example.com", "a b", "lb1/"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_has_a_prefix_length_or_is_one_address() {
        let parsed = |text| network(text).map(|net| net.to_string());
        assert_eq!(parsed("10.1.2.3/8").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(parsed("10.1.2.3").as_deref(), Ok("10.1.2.3/32"));
        assert_eq!(parsed("::1").as_deref(), Ok("::1/128"));
        assert_eq!(parsed("::ffff:10.0.0.1").as_deref(), Ok("10.0.0.1/32"));
        assert_eq!(parsed("::ffff:10.0.0.0/104").as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(parsed("::/0").as_deref(), Ok("::/0"));
        assert!(network("10.0.0.0/33").is_err() && network("office").is_err());
    }
}
