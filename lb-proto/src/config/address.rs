//! Addresses as operators write them: where a frontend listens, where a server is, who is trusted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

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

/// One IP and a port that something can listen on.
pub(super) fn server(text: &str) -> Result<SocketAddr, Fault> {
    const HOW: &str = "write the server's IP address and port, as in \"10.0.0.11:8080\" or \"[2001:db8::1]:8080\"";
    let address: SocketAddr = match text.parse() {
        Ok(address) => address,
        Err(_) => match split(text, HOW)? {
            ("localhost", port) => {
                return Err(Fault::new(
                    "host names are not supported yet",
                    format!("write \"127.0.0.1:{port}\" or \"[::1]:{port}\""),
                ));
            }
            (host, port) if looks_like_a_name(host) => {
                return Err(Fault::new(
                    "host names are not supported yet",
                    format!("write the IP address of `{host}`, as in \"10.0.0.11:{port}\""),
                ));
            }
            (host, _) => return Err(Fault::new(format!("`{host}` is not an IP address"), HOW)),
        },
    };
    if address.port() == 0 {
        return Err(Fault::new("a server cannot have port 0", HOW));
    }
    if address.ip().is_unspecified() {
        return Err(Fault::new(
            format!("`{}` is not the address of a server", address.ip()),
            "write \"127.0.0.1\" or \"[::1]\" for this machine",
        ));
    }
    Ok(address)
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

/// Something a resolver could be asked for, as opposed to a mistyped IP address.
fn looks_like_a_name(host: &str) -> bool {
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    host.bytes().all(in_name) && host.bytes().any(|b| b.is_ascii_alphabetic())
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
        let said = |text| server(text).unwrap_err().message;
        assert_eq!(said("db.internal:80"), "host names are not supported yet");
        assert_eq!(said("localhost:80"), "host names are not supported yet");
        assert_eq!(said("10.0.0.256:80"), "`10.0.0.256` is not an IP address");
        assert_eq!(said("10.0.0.1"), "`10.0.0.1` has no port");
        assert_eq!(said("10.0.0.1:0"), "a server cannot have port 0");
        assert!(said("0.0.0.0:80").contains("not the address of a server"));
        assert!(said("*:80").contains("not an IP address"));
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
