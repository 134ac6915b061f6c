//! How to come, from this machine, to what listens at an address of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::handshake::Target;

/// `networks`: those that must send a PROXY header and alone may connect; empty: everybody may.
/// `None`: no address of this machine may.
pub(super) fn target(bind: SocketAddr, networks: &[IpNet]) -> Option<Target> {
    let at = |ip| SocketAddr::new(ip, bind.port());
    if networks.is_empty() {
        return Some(Target {
            address: at(nearest(bind.ip())),
            introduced: false,
        });
    }
    let own = networks
        .iter()
        .filter_map(|network| source_towards(first(network)));
    let everywhere = own.filter(|ip| bind.ip().is_unspecified() && ip.is_ipv4() == bind.is_ipv4());
    let mut ways = std::iter::once(nearest(bind.ip())).chain(everywhere);
    let way = ways.find(|ip| {
        let source = source_towards(*ip);
        source.is_some_and(|source| networks.iter().any(|network| network.contains(&source)))
    })?;
    Some(Target {
        address: at(way),
        introduced: true,
    })
}

/// Whether the address is this machine's now. One that moves between machines may be bound to before it
/// comes, and leads to the other until then.
///
/// # Errors
/// Where nobody takes a connection there before `deadline`.
pub(super) fn leads_here(address: SocketAddr, deadline: Instant) -> io::Result<bool> {
    if address.ip().is_loopback() {
        return Ok(true);
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let ours = TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1)))?;
    let table = match address {
        SocketAddr::V4(_) => "/proc/net/tcp",
        SocketAddr::V6(_) => "/proc/net/tcp6",
    };
    // Who may not look has to believe it.
    let table = std::fs::read_to_string(table).ok();
    let theirs = (ours.peer_addr()?, ours.local_addr()?);
    Ok(table.is_none_or(|table| has_connection(&table, theirs)))
}

/// Whether the kernel's table of connections (proc(5), `/proc/net/tcp`) has one from and to these.
fn has_connection(table: &str, (from, to): (SocketAddr, SocketAddr)) -> bool {
    let wanted = [in_table(from), in_table(to)];
    table.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        wanted.iter().all(|end| columns.next() == Some(end))
    })
}

/// An address as that table has it: words in the order of bytes in memory.
fn in_table(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|word| {
        let word = word.try_into().map_or(0, u32::from_ne_bytes);
        format!("{word:08X}")
    });
    let words: String = words.collect();
    format!("{words}:{:04X}", address.port())
}

/// Every address is this machine's own as well.
fn nearest(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// An address that a machine of the network may have.
fn first(network: &IpNet) -> IpAddr {
    network.hosts().next().unwrap_or(network.network())
}

/// The address that connections to `ip` come from. The system says so without a packet being sent.
fn source_towards(ip: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    /// UDP's discard service: some port has to be named.
    const DISCARD: u16 = 9;
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((ip, DISCARD)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_reached_by_the_nearest() {
        for (bind, address) in [
            ("0.0.0.0:443", "127.0.0.1:443"),
            ("[::]:443", "[::1]:443"),
            ("127.0.0.2:443", "127.0.0.2:443"),
        ] {
            let reached = target(bind.parse().unwrap(), &[]).unwrap();
            assert_eq!(reached.address, address.parse().unwrap());
            assert!(!reached.introduced);
        }
    }

    #[test]
    fn a_connection_of_this_machine_has_both_its_ends_in_the_table() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = (ours.peer_addr().unwrap(), ours.local_addr().unwrap());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        assert!(has_connection(&table, ends), "{table}");
        let other = "127.0.0.1:1".parse().unwrap();
        assert!(!has_connection(&table, (ends.0, other)));
        let v6 = in_table("[2001:db8::1]:443".parse().unwrap());
        let little = "B80D0120000000000000000001000000:01BB";
        assert_eq!(v6 == little, cfg!(target_endian = "little"));
    }

    #[test]
    fn who_may_connect_is_asked_first() {
        let bind = "0.0.0.0:443".parse().unwrap();
        let nets = |nets: &[&str]| {
            nets.iter()
                .map(|net| net.parse().unwrap())
                .collect::<Vec<_>>()
        };
        let reached = target(bind, &nets(&["240.0.0.0/8", "127.0.0.0/8"])).unwrap();
        assert_eq!(reached.address, "127.0.0.1:443".parse().unwrap());
        assert!(reached.introduced);
        assert_eq!(target(bind, &nets(&["240.0.0.0/8"])), None);
        let bound = "127.0.0.1:443".parse().unwrap();
        assert_eq!(target(bound, &nets(&["10.0.0.0/8"])), None);
    }
}
