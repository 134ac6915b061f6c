//! Bytes to a header.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Addresses, CRC32C, HEAD, Header, MOST, MOST_LINE, SIGNATURE, Tlvs, checksum};

const LINE: &[u8] = b"PROXY ";

/// Bytes of the addresses of version 2, by family.
const UNIX_ADDRESSES: usize = 216;

/// Why bytes are no header to go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("what came is no PROXY header")]
    NoHeader,
    #[error("its PROXY header is too long")]
    TooLong,
    #[error("its PROXY header cannot be read")]
    Unreadable,
    #[error("its PROXY header is of an unknown version, command or family")]
    Unknown,
    #[error("the checksum of its PROXY header is wrong")]
    Checksum,
}

/// The header that `bytes` begin with, and how long it is. `None`: there is more to come of it, and
/// all of `bytes` is part of it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    if begins(bytes, &SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, LINE) {
        line(bytes)
    } else {
        Err(Malformed::NoHeader)
    }
}

/// Whether they do, as far as they go.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(byte, mark)| byte == mark)
}

/// Version 1.
fn line(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let first = &bytes[..bytes.len().min(MOST_LINE)];
    let Some(end) = first.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() {
            MOST_LINE.. => Err(Malformed::TooLong),
            _ => Ok(None),
        };
    };
    let said = first[..end]
        .strip_prefix(LINE)
        .and_then(|said| said.strip_suffix(b"\r"))
        .ok_or(Malformed::Unreadable)?;
    let unknown = said
        .strip_prefix(b"UNKNOWN")
        .is_some_and(|rest| matches!(rest, [] | [b' ', ..]));
    let addresses = match unknown {
        true => None,
        false => Some(said_addresses(said).ok_or(Malformed::Unreadable)?),
    };
    let tlvs = Tlvs::default();
    Ok(Some((Header { addresses, tlvs }, end + 1)))
}

/// `TCP4 192.0.2.7 192.0.2.1 4711 80`, one blank between two.
fn said_addresses(said: &[u8]) -> Option<Addresses> {
    let mut fields = std::str::from_utf8(said).ok()?.split(' ');
    let family = fields.next()?;
    let mut ip = || match family {
        "TCP4" => Ipv4Addr::from_str(fields.next()?).map(IpAddr::V4).ok(),
        "TCP6" => Ipv6Addr::from_str(fields.next()?).map(IpAddr::V6).ok(),
        _ => None,
    };
    let (source, destination) = (ip()?, ip()?);
    let mut port = || {
        let digits = fields.next()?;
        let plain = digits == "0" || digits.starts_with(|c: char| matches!(c, '1'..='9'));
        digits.parse::<u16>().ok().filter(|_| plain)
    };
    let (from, to) = (port()?, port()?);
    fields.next().is_none().then(|| Addresses {
        source: address(source, from),
        destination: address(destination, to),
    })
}

fn address(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into().to_canonical(), port)
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let Some(head) = bytes.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *head;
    let length = HEAD + usize::from(u16::from_be_bytes([high, low]));
    let known = matches!(command, 0x20 | 0x21);
    if !known {
        return Err(Malformed::Unknown);
    }
    if length > MOST {
        return Err(Malformed::TooLong);
    }
    let Some(whole) = bytes.get(..length) else {
        return Ok(None);
    };
    let header = match command {
        // LOCAL: whoever sends this speaks for itself, and whatever follows is to be passed over.
        0x20 => Header::default(),
        _ => proxied(whole, family)?,
    };
    Ok(Some((header, length)))
}

fn proxied(whole: &[u8], family: u8) -> Result<Header, Malformed> {
    let said = &whole[HEAD..];
    let (addresses, length) = match family {
        0x00 => (None, 0),
        0x11 => (Some(v4(said)?), 12),
        0x21 => (Some(v6(said)?), 36),
        // A Unix socket's peer has no address that would mean anything here.
        0x31 => (None, UNIX_ADDRESSES),
        _ => return Err(Malformed::Unknown),
    };
    Ok(Header {
        addresses,
        tlvs: tlvs(whole, HEAD + length)?,
    })
}

fn v4(said: &[u8]) -> Result<Addresses, Malformed> {
    let [a, b, c, d, e, f, g, h, ports @ ..] =
        *said.first_chunk::<12>().ok_or(Malformed::Unreadable)?;
    let (from, to) = two_ports(ports);
    Ok(Addresses {
        source: address([a, b, c, d], from),
        destination: address([e, f, g, h], to),
    })
}

fn v6(said: &[u8]) -> Result<Addresses, Malformed> {
    let ip = |at: usize| said.get(at..)?.first_chunk::<16>();
    let ports = said.get(32..).and_then(|ports| ports.first_chunk());
    let (Some(source), Some(destination), Some(ports)) = (ip(0), ip(16), ports) else {
        return Err(Malformed::Unreadable);
    };
    let (from, to) = two_ports(*ports);
    Ok(Addresses {
        source: address(*source, from),
        destination: address(*destination, to),
    })
}

fn two_ports([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// The TLVs, which begin at `at` and fill the rest; checks the checksum, if there is one.
fn tlvs(whole: &[u8], at: usize) -> Result<Tlvs, Malformed> {
    let mut rest = whole.get(at..).ok_or(Malformed::Unreadable)?;
    let mut kept = Vec::new();
    let mut checked = false;
    while !rest.is_empty() {
        let [kind, high, low, ..] = *rest else {
            return Err(Malformed::Unreadable);
        };
        let length = 3 + usize::from(u16::from_be_bytes([high, low]));
        let (tlv, next) = rest.split_at_checked(length).ok_or(Malformed::Unreadable)?;
        if kind == CRC32C {
            let said = tlv[3..].try_into().map_err(|_| Malformed::Unreadable)?;
            let at = whole.len() - next.len() - 4;
            if std::mem::replace(&mut checked, true) {
                return Err(Malformed::Unreadable);
            }
            if checksum(whole, at) != u32::from_be_bytes(said) {
                return Err(Malformed::Checksum);
            }
        } else {
            kept.extend_from_slice(tlv);
        }
        rest = next;
    }
    Ok(Tlvs(kept.into()))
}
