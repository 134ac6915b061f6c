//! A header to bytes.

use std::net::{IpAddr, SocketAddr};

use lb_proto::config::ProxyVersion;

use super::{Addresses, CRC32C, HEAD, SIGNATURE, Tlvs, checksum};

/// The header of a connection that is made on somebody's behalf. Version 1 has no room for TLVs;
/// version 2 has a checksum.
pub(crate) fn write(version: ProxyVersion, addresses: Addresses, tlvs: &Tlvs) -> Vec<u8> {
    let Addresses {
        source,
        destination,
    } = addresses;
    let ips = of_one_family(source.ip(), destination.ip());
    match version {
        ProxyVersion::V1 => line(ips, source, destination),
        ProxyVersion::V2 => binary(ips, source, destination, tlvs),
    }
}

/// A header has room for two addresses of one family.
fn of_one_family(source: IpAddr, destination: IpAddr) -> (IpAddr, IpAddr) {
    let in_v6 = |ip| match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        IpAddr::V6(_) => ip,
    };
    match (source.to_canonical(), destination.to_canonical()) {
        (a @ IpAddr::V4(_), b @ IpAddr::V4(_)) => (a, b),
        (a, b) => (in_v6(a), in_v6(b)),
    }
}

fn line((from, to): (IpAddr, IpAddr), source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from_port, to_port) = (source.port(), destination.port());
    format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
}

fn binary(
    (from, to): (IpAddr, IpAddr),
    source: SocketAddr,
    destination: SocketAddr,
    tlvs: &Tlvs,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + 36 + 7 + tlvs.0.len());
    out.extend_from_slice(&SIGNATURE);
    out.extend_from_slice(&[0x21, if from.is_ipv4() { 0x11 } else { 0x21 }, 0, 0]);
    for ip in [from, to] {
        match ip {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
    out.extend_from_slice(&[CRC32C, 0, 4]);
    let sum_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&tlvs.0);
    // What was received fits, and so does a checksum more (`MOST`).
    let length = u16::try_from(out.len() - HEAD).unwrap_or(u16::MAX);
    out[HEAD - 2..HEAD].copy_from_slice(&length.to_be_bytes());
    let sum = checksum(&out, sum_at);
    out[sum_at..sum_at + 4].copy_from_slice(&sum.to_be_bytes());
    out
}
