//! The PROXY protocol, versions 1 and 2, as HAProxy's `proxy-protocol.txt` has it: what a header
//! says, how it is read, and how it is written. Pure.

mod parse;
#[cfg(test)]
mod tests;
mod write;

use std::net::SocketAddr;

use crc::{CRC_32_ISCSI, Crc};

pub(crate) use self::parse::{Malformed, parse};
pub(crate) use self::write::write;

/// What a version 2 header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of a version 2 header before its addresses.
const HEAD: usize = 16;

/// The whole of a header may be as large as HAProxy's buffer: room for a client's certificate.
const MOST: usize = 16 * 1024;

/// The longest line of version 1, its end included.
const MOST_LINE: usize = 107;

/// The type of the TLV with the header's checksum.
const CRC32C: u8 = 0x03;

/// The type of the TLV about the client's TLS, and the bit of its first byte that says there is any.
const SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

static CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// What a header says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// `None`: about nobody in particular; the connection's own addresses are the ones.
    pub(crate) addresses: Option<Addresses>,
    pub(crate) tlvs: Tlvs,
}

/// Whose connection it is, and where it led: canonical, not IPv4 in IPv6's clothes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// What else a header of version 2 tells, in its order and to be passed on as it is. Without the
/// checksum, which is made anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tlvs(Box<[u8]>);

impl Tlvs {
    /// Whether the client came by TLS.
    pub(crate) fn say_tls(&self) -> bool {
        let mut rest = &*self.0;
        while let [kind, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some((value, next)) = after.split_at_checked(length) else {
                return false;
            };
            if *kind == SSL && value.first().is_some_and(|bits| bits & CLIENT_SSL != 0) {
                return true;
            }
            rest = next;
        }
        false
    }
}

/// The checksum of a header whose own four bytes begin at `at`: they count as zero.
fn checksum(header: &[u8], at: usize) -> u32 {
    let mut digest = CHECKSUM.digest();
    digest.update(&header[..at]);
    digest.update(&[0; 4]);
    digest.update(&header[at + 4..]);
    digest.finalize()
}
