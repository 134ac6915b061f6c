//! PROXY headers: whatever comes is read to its end or refused, however it is cut, and what is
//! written is read again.
//!
//! A `1` or `2` in front of the input stands for the beginning of a header of that version.

#![no_main]

use lb_proto::config::ProxyVersion;
use libfuzzer_sys::fuzz_target;

#[path = "../../lbd/src/proxy_protocol/mod.rs"]
mod proxy_protocol;

use proxy_protocol::{Header, Malformed, parse, write};

fuzz_target!(|input: &[u8]| {
    let bytes = match input {
        [b'1', rest @ ..] => [b"PROXY ", rest].concat(),
        [b'2', rest @ ..] => [b"\r\n\r\n\0\r\nQUIT\n", rest].concat(),
        _ => input.to_vec(),
    };
    let read = parse(&bytes);
    let Ok(Some((header, length))) = read else {
        // It was not taken for a header before, nor refused while it may become one.
        let before = parse(&bytes[..bytes.len() / 2]);
        match read {
            Ok(_) => assert_eq!(before, Ok(None)),
            Err(_) => assert!(!matches!(before, Ok(Some(_)))),
        }
        return;
    };
    assert!(length <= bytes.len());
    assert_eq!(parse(&bytes[..length]), Ok(Some((header.clone(), length))));
    for end in [0, length / 2, length - 1] {
        assert_eq!(parse(&bytes[..end]), Ok(None));
    }
    header.tlvs.say_tls();
    let Some(addresses) = header.addresses else {
        return;
    };
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut written = write(version, addresses, &header.tlvs);
        let (again, end) = parse(&written)
            .expect("what is written is good")
            .expect("it is whole");
        assert_eq!((again.addresses, end), (Some(addresses), written.len()));
        match version {
            ProxyVersion::V1 => {
                assert!(written.len() <= 107);
                assert_eq!(again.tlvs, Default::default());
            }
            ProxyVersion::V2 => {
                assert_eq!(again.tlvs, header.tlvs);
                written[16] ^= 1;
                assert_eq!(parse(&written), Err(Malformed::Checksum));
            }
        }
        let nobody = version.about_nobody();
        assert_eq!(parse(nobody), Ok(Some((Header::default(), nobody.len()))));
    }
});
