//! PROXY headers, made and read without lbd's own code.

use std::net::SocketAddr;

use crate::raw_origin::Peer;

/// 192.0.2.7:4711 to 198.51.100.1:8443.
pub const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\r\n";

/// What version 2 begins with.
pub const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The addresses of [`V1`], in binary.
const ADDRESSES: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x20, 0xfb];

/// A TLV that a load balancer may say of its own.
pub const CUSTOM: &[u8] = b"\xea\x00\x05vpce1";

/// A TLV with the client's name for the server.
pub const AUTHORITY: &[u8] = b"\x02\x00\x0ashop.local";

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| match sum & 1 {
            1 => (sum >> 1) ^ 0x82f6_3b78,
            _ => sum >> 1,
        })
    });
    !sum
}

/// [`V1`] as version 2, with a checksum behind the addresses and these TLVs behind that.
///
/// # Panics
/// Where the TLVs are longer than a header can be.
pub fn v2(tlvs: &[u8]) -> Vec<u8> {
    let checksum_tlv = [3, 0, 4, 0, 0, 0, 0];
    let rest = [&ADDRESSES, &checksum_tlv[..], tlvs].concat();
    let length = u16::try_from(rest.len()).expect("it is short");
    let mut header = [SIGNATURE, &[0x21, 0x11], &length.to_be_bytes(), &rest].concat();
    let sum = crc32c(&header);
    header[31..35].copy_from_slice(&sum.to_be_bytes());
    header
}

/// What a server was sent in a header of version 2.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub command: u8,
    pub source: String,
    pub destination: String,
    /// Without the checksum, which was right.
    pub tlvs: Vec<u8>,
}

/// Reads a header of version 2, of IPv4.
///
/// # Panics
/// Where it is none, or its checksum is wrong or missing.
pub fn read_v2(peer: &mut Peer) -> Seen {
    let mut header = peer.bytes(16);
    assert!(header.starts_with(SIGNATURE), "{header:x?}");
    let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
    header.extend(peer.bytes(length));
    let command = header[12];
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *header[16..].first_chunk().expect("addresses");
    let mut sum = None;
    let mut tlvs = Vec::new();
    let mut at = 28;
    while at < header.len() {
        let end = at + 3 + usize::from(u16::from_be_bytes([header[at + 1], header[at + 2]]));
        match header[at] {
            3 => sum = Some(at + 3),
            _ => tlvs.extend_from_slice(&header[at..end]),
        }
        at = end;
    }
    let sum = sum.expect("there is a checksum");
    let said: Vec<u8> = header[sum..sum + 4].to_vec();
    header[sum..sum + 4].fill(0);
    assert_eq!(said, crc32c(&header).to_be_bytes());
    Seen {
        command,
        source: SocketAddr::from(([a, b, c, d], u16::from_be_bytes([i, j]))).to_string(),
        destination: SocketAddr::from(([e, f, g, h], u16::from_be_bytes([k, l]))).to_string(),
        tlvs,
    }
}
