use std::net::IpAddr;

use lb_proto::config::ProxyVersion;
use proptest::prelude::*;

use super::*;

fn addresses(source: &str, destination: &str) -> Addresses {
    Addresses {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn both(source: &str, destination: &str) -> Option<Addresses> {
    Some(addresses(source, destination))
}

/// A header of version 2, without a checksum.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

const V4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];

#[test]
fn lines_are_read_as_the_specification_has_them() {
    let table = [
        (
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
            both("192.0.2.7:4711", "198.51.100.1:443"),
        ),
        (
            "PROXY TCP6 2001:db8::7 ::1 65535 0\r\n",
            both("[2001:db8::7]:65535", "[::1]:0"),
        ),
        // The longest there is, but for UNKNOWN.
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            both(
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            ),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 1 2\r\n",
            both("192.0.2.7:1", "198.51.100.1:2"),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ff::ff whatever it is\r\n", None),
    ];
    for (line, expected) in table {
        let (header, length) = parse(line.as_bytes()).unwrap().unwrap();
        assert_eq!((header.addresses, length), (expected, line.len()), "{line}");
    }
}

#[test]
fn lines_that_are_nearly_right_are_wrong() {
    use Malformed::{NoHeader, TooLong, Unreadable};
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let table = [
        ("GET / HTTP/1.1\r\n", NoHeader),
        ("PROXZ TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", NoHeader),
        ("proxy TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", NoHeader),
        ("PROXY\r\n", NoHeader),
        ("PROXY \r\n", Unreadable),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\n", Unreadable),
        ("PROXY UNKNOWN\n", Unreadable),
        ("PROXY UNKNOWNS\r\n", Unreadable),
        ("PROXY UDP4 192.0.2.7 198.51.100.1 4711 443\r\n", Unreadable),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n", Unreadable),
        (
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 \r\n",
            Unreadable,
        ),
        (
            "PROXY TCP4  192.0.2.7 198.51.100.1 4711 443\r\n",
            Unreadable,
        ),
        (
            "PROXY TCP4 192.0.2.07 198.51.100.1 4711 443\r\n",
            Unreadable,
        ),
        ("PROXY TCP4 192.0.2 198.51.100.1 4711 443\r\n", Unreadable),
        (
            "PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n",
            Unreadable,
        ),
        (
            "PROXY TCP4 192.0.2.7 198.51.100.1 +4711 443\r\n",
            Unreadable,
        ),
        (
            "PROXY TCP4 192.0.2.7 198.51.100.1 4711 65536\r\n",
            Unreadable,
        ),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Unreadable),
        ("PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n", Unreadable),
        (&long, TooLong),
    ];
    for (line, expected) in table {
        assert_eq!(parse(line.as_bytes()), Err(expected), "{line:?}");
    }
    assert_eq!(parse(&long.as_bytes()[..106]), Ok(None), "it may end yet");
}

#[test]
fn the_binary_form_tells_whose_connection_it_is() {
    let header = |bytes: &[u8]| parse(bytes).map(|read| read.map(|(header, _)| header));
    let read = header(&v2(0x21, 0x11, &V4)).unwrap().unwrap();
    assert_eq!(read.addresses, both("192.0.2.7:4711", "198.51.100.1:443"));
    // LOCAL, whatever it is about; no address; a Unix socket's.
    let tlv = [0xea, 0, 1, b'x'];
    let local = header(&v2(0x20, 0x77, b"any\x00\x01 thing")).unwrap();
    assert_eq!(local, Some(Header::default()));
    for (family, length) in [(0x00, 0), (0x31, 216)] {
        let rest = [&vec![0; length][..], &tlv].concat();
        let read = header(&v2(0x21, family, &rest)).unwrap().unwrap();
        assert_eq!((read.addresses, &*read.tlvs.0), (None, &tlv[..]));
    }
    use Malformed::{TooLong, Unknown, Unreadable};
    let wrong = [
        (v2(0x11, 0x11, &V4), Unknown),
        (v2(0x22, 0x11, &V4), Unknown),
        (v2(0x21, 0x12, &V4), Unknown),
        (v2(0x21, 0x41, &V4), Unknown),
        (v2(0x21, 0x11, &V4[..11]), Unreadable),
        (v2(0x21, 0x21, &[0; 35]), Unreadable),
        (v2(0x21, 0x31, &[0; 215]), Unreadable),
        (v2(0x21, 0x00, &[0xea, 0, 2, 0]), Unreadable),
        (v2(0x21, 0x00, &[0xea, 0]), Unreadable),
        (v2(0x21, 0x00, &[CRC32C, 0, 3, 0, 0, 0]), Unreadable),
        (v2(0x21, 0x00, &[0; 16 * 1024 - 15]), TooLong),
        (
            v2(0x21, 0x00, &[CRC32C, 0, 4, 0, 0, 0, 0]),
            Malformed::Checksum,
        ),
    ];
    for (bytes, expected) in wrong {
        assert_eq!(header(&bytes), Err(expected), "{bytes:x?}");
    }
    assert!(header(&v2(0x21, 0x00, &vec![0; 16 * 1024 - 19])).is_ok());
}

#[test]
fn a_checksum_made_elsewhere_is_right() {
    // The check value of CRC-32C (RFC 3720, appendix B.4 has others).
    assert_eq!(CHECKSUM.checksum(b"123456789"), 0xe306_9283);
}

#[test]
fn tls_of_the_client_is_said_by_a_bit() {
    let tlvs = |bytes: &[u8]| Tlvs(bytes.into());
    assert!(!tlvs(&[]).say_tls());
    assert!(tlvs(&[0xea, 0, 0, SSL, 0, 5, 0x01, 0, 0, 0, 0]).say_tls());
    assert!(!tlvs(&[SSL, 0, 5, 0x02, 0, 0, 0, 0]).say_tls());
    assert!(!tlvs(&[SSL, 0, 0]).say_tls());
}

#[test]
fn a_header_about_nobody_is_read_as_one() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let bytes = version.about_nobody();
        let read = parse(bytes);
        assert_eq!(read, Ok(Some((Header::default(), bytes.len()))));
    }
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

fn any_addresses() -> impl Strategy<Value = Addresses> {
    (any_address(), any_address()).prop_map(|(source, destination)| Addresses {
        source,
        destination,
    })
}

fn any_tlvs() -> impl Strategy<Value = Tlvs> {
    let kind = any::<u8>().prop_filter("the checksum is written anew", |kind| *kind != CRC32C);
    let one = (kind, prop::collection::vec(any::<u8>(), 0..40));
    prop::collection::vec(one, 0..6).prop_map(|all| {
        let bytes = all.iter().flat_map(|(kind, value)| {
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            [&[*kind][..], &length, value].concat()
        });
        Tlvs(bytes.collect())
    })
}

fn any_version() -> impl Strategy<Value = ProxyVersion> {
    prop_oneof![Just(ProxyVersion::V1), Just(ProxyVersion::V2)]
}

proptest! {
    #[test]
    fn what_is_written_is_read_whatever_follows_and_however_it_comes(
        version in any_version(),
        addresses in any_addresses(),
        tlvs in any_tlvs(),
        after in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let written = write(version, addresses, &tlvs);
        let tlvs = match version {
            ProxyVersion::V1 => Tlvs::default(),
            ProxyVersion::V2 => tlvs,
        };
        let expected = Header { addresses: Some(addresses), tlvs };
        for part in 0..written.len() {
            prop_assert_eq!(parse(&written[..part]), Ok(None), "{} bytes", part);
        }
        let bytes = [&written[..], &after].concat();
        for end in written.len()..=bytes.len() {
            let read = parse(&bytes[..end]);
            prop_assert_eq!(read, Ok(Some((expected.clone(), written.len()))));
        }
    }

    #[test]
    fn a_bit_that_fell_over_is_noticed(
        addresses in any_addresses(),
        tlvs in any_tlvs(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let mut written = write(ProxyVersion::V2, addresses, &tlvs);
        let families = written[13];
        let end = HEAD + if families == 0x11 { 12 } else { 36 };
        // The addresses and the checksum itself, which stands behind its type and length.
        let places: Vec<usize> = (HEAD..end).chain(end + 3..end + 7).collect();
        written[*at.get(&places)] ^= 1 << bit;
        prop_assert_eq!(parse(&written), Err(Malformed::Checksum));
    }

    #[test]
    fn nothing_that_comes_is_taken_for_more_than_there_is(
        begin in prop::sample::select(vec![&b""[..], &SIGNATURE[..], b"PROXY ", b"PROXY TCP4 1.2.3.4 "]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [begin, &bytes].concat();
        if let Ok(Some((header, length))) = parse(&bytes) {
            prop_assert!(length <= bytes.len());
            header.tlvs.say_tls();
        }
    }

    #[test]
    fn binary_noise_is_read_or_refused(
        command in 0x1f..0x23u8,
        family in prop::sample::select(vec![0u8, 0x11, 0x12, 0x21, 0x31, 0xff]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = v2(command, family, &rest);
        if let Ok(read) = parse(&bytes) {
            let (header, length) = read.expect("it is whole");
            prop_assert_eq!(length, bytes.len());
            prop_assert!(header.tlvs.0.len() <= rest.len());
        }
    }
}
