//! OCSP responses (RFC 6960, 4.2.1) about certificates. Nobody signed them: whether somebody did is for
//! clients to see.

use std::time::{SystemTime, UNIX_EPOCH};

use lb_proto::pem;

use crate::authority::Issued;

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 4;
/// Each is a choice of `certStatus`.
const GOOD: &[u8] = &[0x80, 0];

/// That the certificate is good, from one time to another.
pub fn good(about: &Issued, from: SystemTime, until: SystemTime) -> Vec<u8> {
    let name = der(OCTETS, &[&[1; 20]]);
    let key = der(OCTETS, &[&[2; 20]]);
    let id = der(SEQUENCE, &[&SHA1, &name, &key, &serial(about)]);
    let until = der(0xa0, &[&time(until)]);
    let single = der(SEQUENCE, &[&id, GOOD, &time(from), &until]);
    let responder = der(0xa2, &[&key]);
    let singles = der(SEQUENCE, &[&single]);
    let data = der(SEQUENCE, &[&responder, &time(from), &singles]);
    let basic = der(SEQUENCE, &[&data, &ECDSA_SHA256, &[3, 2, 0, 0]]);
    let basic = der(OCTETS, &[&basic]);
    let bytes = der(SEQUENCE, &[&BASIC, &basic]);
    der(SEQUENCE, &[&[0x0a, 1, 0], &der(0xa0, &[&bytes])])
}

const SHA1: [u8; 9] = [SEQUENCE, 7, 6, 5, 0x2b, 14, 3, 2, 26];
const ECDSA_SHA256: [u8; 12] = [SEQUENCE, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const BASIC: [u8; 11] = [6, 9, 0x2b, 6, 1, 5, 5, 7, 48, 1, 1];

fn serial(of: &Issued) -> Vec<u8> {
    let leaf = &of.chain()[0];
    // A certificate begins with its version (RFC 5280, 4.1), the serial number follows.
    const VERSION: [u8; 5] = [0xa0, 3, 2, 1, 2];
    let at = leaf.windows(5).position(|window| window == VERSION);
    let serial = &leaf[at.expect("it has a version") + 5..];
    serial[..2 + usize::from(serial[1])].to_vec()
}

fn time(time: SystemTime) -> Vec<u8> {
    const GENERALIZED_TIME: u8 = 0x18;
    let since = time.duration_since(UNIX_EPOCH).expect("it is after 1970");
    let seconds = i64::try_from(since.as_secs()).expect("it is not far from now");
    let text = pem::moment(seconds).replace(|c: char| !c.is_ascii_digit(), "") + "Z";
    der(GENERALIZED_TIME, &[text.as_bytes()])
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let length = contents.len();
    let head = match u8::try_from(length) {
        Ok(short @ ..0x80) => vec![tag, short],
        Ok(length) => vec![tag, 0x81, length],
        Err(_) => {
            let length = u16::try_from(length).expect("it is short").to_be_bytes();
            vec![tag, 0x82, length[0], length[1]]
        }
    };
    [head, contents].concat()
}
