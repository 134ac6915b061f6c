//! How to come, from this machine, to what listens at an address of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use lb_proto::sockets::{self, Socket, nearest};

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
    let theirs = (ours.peer_addr()?, ours.local_addr()?);
    let all = sockets::all();
    // Who may not look has to believe it.
    Ok(all.is_empty() || has_connection(&all, theirs))
}

/// Whether one of these is the end of a connection from and to these.
fn has_connection(sockets: &[Socket], ends: (SocketAddr, SocketAddr)) -> bool {
    let mut all = sockets.iter();
    all.any(|socket| (socket.local, socket.remote) == ends)
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
        let all = sockets::all();
        assert!(has_connection(&all, ends), "{all:?}");
        let other = "127.0.0.1:1".parse().unwrap();
        assert!(!has_connection(&all, (ends.0, other)));
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
