//! PROXY headers that lbd sends: to servers, about clients and about itself.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use lb_proto::status::CheckResult;
use lb_tests::daemon::NO_CHECK;
use lb_tests::proxy_header::{AUTHORITY, CUSTOM, Seen, V1, read_v2, v2};
use lb_tests::raw_origin::Peer;
use lb_tests::wire::request;
use lb_tests::{Lbd, RawOrigin, Wire, eventually, is};

use crate::proxy_protocol::{listening, nothing_is_left};

/// A server of mode `mode` that is sent PROXY headers of this version.
fn sending(mode: &str, version: &str, origin: SocketAddr) -> String {
    format!(
        "[frontend.web]\nmode = \"{mode}\"\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\n\
         [backend.app]\nmode = \"{mode}\"\n{NO_CHECK}\n\
         servers = [{{ name = \"a\", address = \"{origin}\", send_proxy = \"{version}\" }}]\n"
    )
}

/// Answers requests with the PROXY line that the connection began with.
fn tell_line(peer: &mut Peer) {
    let line = peer.until(b"\r\n");
    while !peer.head().is_empty() {
        let length = line.len();
        peer.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
        ));
        peer.send(&line);
    }
}

/// What servers see: of each connection the header, and what came behind it.
fn recording() -> (RawOrigin, Receiver<(Seen, Vec<u8>)>) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let origin = RawOrigin::start(move |peer| {
        let seen = read_v2(peer);
        let rest = peer.until(b"END");
        peer.send("ok");
        let tell = tell.lock().expect("nobody panics with it");
        let _ = tell.send((seen, rest));
    });
    (origin, told)
}

#[test]
fn in_mode_tcp_it_is_passed_on_with_all_that_it_said() {
    let (origin, told) = recording();
    let config = sending("tcp", "v2", origin.addr());
    let lbd = Lbd::start(listening(&config, "\"127.0.0.1\""));
    let tlvs = [CUSTOM, AUTHORITY].concat();
    let expected = |tlvs: &[u8]| Seen {
        command: 0x21,
        source: "192.0.2.7:4711".into(),
        destination: "198.51.100.1:8443".into(),
        tlvs: tlvs.to_vec(),
    };
    for (first, tlvs) in [(V1.to_vec(), &[][..]), (v2(&tlvs), &tlvs)] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send([&first, &b"PROXY is not lost END"[..]].concat());
        let (seen, rest) = told.recv().expect("it connects");
        assert_eq!(seen, expected(tlvs));
        assert_eq!(rest, b"PROXY is not lost END");
        assert_eq!(wire.bytes(2), Ok(b"ok".to_vec()));
    }
    nothing_is_left(&lbd);
}

#[test]
fn a_server_hears_of_the_clients_own_addresses_before_the_client_speaks() {
    let origin = RawOrigin::start(|peer| {
        let line = peer.until(b"\r\n");
        peer.send(line);
    });
    let config = sending("tcp", "v1", origin.addr()).replace("127.0.0.1:0", "*:0");
    let lbd = Lbd::start(config);
    let at = SocketAddr::from(([127, 0, 0, 1], lbd.addr().port()));
    let mut wire = Wire::connect(at);
    let (from, to) = (wire.local_addr().port(), at.port());
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n");
    let line = wire.bytes(expected.len());
    assert_eq!(String::from_utf8(line.unwrap_or_default()), Ok(expected));
}

#[test]
fn no_client_uses_the_connection_of_another() {
    let origin = RawOrigin::start(tell_line);
    let config = sending("http", "v1", origin.addr()).replace("127.0.0.1:0", "*:0");
    let lbd = Lbd::start(config);
    let at = SocketAddr::from(([127, 0, 0, 1], lbd.addr().port()));
    let mut clients = [(); 4].map(|()| Wire::connect(at));
    for _ in 0..3 {
        for wire in &mut clients {
            let (from, to) = (wire.local_addr().port(), at.port());
            let told = wire.send(request("GET", "/")).response().text();
            assert_eq!(
                told,
                format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n")
            );
        }
    }
    // One each, unless a pause between two requests was long.
    assert!(matches!(origin.connections(), 4..=12));
    drop(clients);
    let mut another = Wire::connect(at);
    let from = another.local_addr().port();
    let told = another.send(request("GET", "/")).response().text();
    assert!(told.contains(&format!(" {from} ")), "{told}");
    drop(another);
    nothing_is_left(&lbd);
}

#[test]
fn a_client_that_goes_on_asking_keeps_its_connection() {
    let origin = RawOrigin::start(tell_line);
    let lbd = Lbd::start(sending("http", "v1", origin.addr()));
    // Together they are one write; nothing pauses between them.
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/").repeat(10));
    for _ in 0..10 {
        assert_eq!(wire.response().status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn checks_speak_for_themselves() {
    for (version, kind, expected) in [
        ("v1", "tcp", &b"PROXY UNKNOWN\r\n"[..]),
        ("v2", "tcp", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        ("v1", "http", b"PROXY UNKNOWN\r\n"),
        ("v2", "http", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
    ] {
        let seen = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&seen);
        let origin = RawOrigin::start(move |peer| {
            let header = peer.bytes(expected.len());
            let head = peer.head();
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            let mut kept = kept.lock().expect("nobody panics with it");
            kept.get_or_insert((header, head));
        });
        let check =
            format!("health = {{ type = \"{kind}\", interval = \"50ms\", timeout = \"60s\" }}");
        let config = sending("http", version, origin.addr()).replace(NO_CHECK, &check);
        let lbd = Lbd::start(config);
        let result = match kind {
            "tcp" => CheckResult::L4OK,
            _ => CheckResult::L7OK,
        };
        eventually("a check has spoken", || {
            is(
                lbd.server("app/a").last_check.map(|check| check.result),
                Some(result),
            )
        });
        let (header, head) = eventually("the server has heard it", || {
            seen.lock()
                .expect("nobody panics with it")
                .clone()
                .ok_or("nothing")
        });
        assert_eq!(header, expected);
        assert_eq!(
            head.starts_with("GET / HTTP/1.1\r\n"),
            kind == "http",
            "{head}"
        );
    }
}
