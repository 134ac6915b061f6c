//! PROXY headers that lbd receives: who may send one, and what follows from it.

use lb_tests::access_log::{Line, wait_for_lines};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::port::Port;
use lb_tests::proxy_header::{CUSTOM, SIGNATURE, V1, v2};
use lb_tests::wire::{End, request};
use lb_tests::{Lbd, Origin, Setup, Wire, eventually, is};

/// Lets `sources` send PROXY headers.
pub(crate) fn listening(config: &str, sources: &str) -> String {
    let bind = format!("bind = [{{ address = \"127.0.0.1:0\", proxy_protocol = [{sources}] }}]\n");
    let config = config.replace("bind = [\"127.0.0.1:0\"]\n", &bind);
    assert!(config.contains("proxy_protocol"));
    config
}

fn http(origin: &Origin) -> String {
    listening(&app(NO_CHECK, [origin]), "\"127.0.0.0/8\"")
}

#[track_caller]
pub(crate) fn nothing_is_left(lbd: &Lbd) {
    eventually("every count is zero", || {
        let status = lbd.status();
        let frontend = &status.frontends[0];
        let servers = status.backends[0].servers.iter().map(|s| s.sessions);
        is(
            (frontend.connections, frontend.sessions, servers.sum()),
            (0, 0, 0),
        )
    });
}

#[track_caller]
fn is_closed(wire: &mut Wire) {
    let (bytes, end) = wire.rest();
    assert!(bytes.is_empty(), "{bytes:x?}");
    assert!(matches!(end, End::Eof | End::Reset), "{end:?}");
}

fn header<'s>(seen: &'s serde_json::Value, name: &str) -> &'s str {
    let headers = seen["headers"].as_array().expect("echo lists the headers");
    let found = headers.iter().find(|header| header[0] == name);
    found
        .and_then(|header| header[1].as_str())
        .unwrap_or("none")
}

#[test]
fn the_address_it_gives_is_the_clients() {
    let origin = Origin::start("a");
    let setup = Setup::new(http(&origin));
    let log = setup.folder().join("access.log");
    let lbd = setup
        .global(&format!("threads = 2\naccess_log = {{ path = {log:?} }}"))
        .start();
    let mut lines = 0;
    for first in [V1.to_vec(), v2(CUSTOM)] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send([&first, request("GET", "/echo").as_bytes()].concat());
        // The second request of the connection is the same client's.
        for _ in 0..2 {
            let seen = wire.response().json();
            assert_eq!(header(&seen, "x-forwarded-for"), "192.0.2.7");
            assert_eq!(header(&seen, "x-forwarded-port"), "8443");
            assert_eq!(header(&seen, "x-forwarded-proto"), "http");
            lines += 1;
            let line = Line::parse(&wait_for_lines(&log, lines)[lines - 1]);
            assert_eq!(line.client, "192.0.2.7:4711");
            wire.send(request("GET", "/echo"));
        }
        wire.response();
        lines += 1;
        wait_for_lines(&log, lines);
    }
    nothing_is_left(&lbd);
}

#[test]
fn a_client_that_came_by_tls_is_said_to_have() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(http(&origin));
    let mut wire = Wire::connect(lbd.addr());
    wire.send(v2(b"\x20\x00\x05\x01\0\0\0\0"));
    let seen = wire.send(request("GET", "/echo")).response().json();
    assert_eq!(header(&seen, "x-forwarded-proto"), "https");
}

#[test]
fn it_may_come_byte_by_byte() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(http(&origin));
    for first in [V1.to_vec(), v2(CUSTOM)] {
        let mut wire = Wire::connect(lbd.addr());
        for byte in [&first, request("GET", "/echo").as_bytes()].concat() {
            wire.send([byte]);
            std::thread::yield_now();
        }
        let seen = wire.response().json();
        assert_eq!(header(&seen, "x-forwarded-for"), "192.0.2.7");
    }
}

#[test]
fn large_headers_are_read_to_their_end() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(http(&origin));
    let value = vec![b'x'; 12_000];
    let tlv = [&b"\xea\x2e\xe0"[..], &value].concat();
    let mut wire = Wire::connect(lbd.addr());
    wire.send([&v2(&tlv), request("GET", "/echo").as_bytes()].concat());
    let seen = wire.response().json();
    assert_eq!(header(&seen, "x-forwarded-for"), "192.0.2.7");
    let mut wire = Wire::connect(lbd.addr());
    wire.send([SIGNATURE, b"\x21\x11\xff\xff"].concat());
    is_closed(&mut wire);
}

#[test]
fn others_are_refused_whatever_they_send() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(listening(&app(NO_CHECK, [&origin]), "\"192.0.2.0/24\""));
    for first in [&b""[..], V1] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send([first, request("GET", "/").as_bytes()].concat());
        is_closed(&mut wire);
    }
    nothing_is_left(&lbd);
    assert_eq!(origin.requests(), 0);
    eventually("the log says so", || {
        let log = lbd.log();
        match log.contains("connection refused") && log.contains("not of the bind's") {
            true => Ok(()),
            false => Err(log),
        }
    });
}

#[test]
fn a_source_that_sends_none_or_a_bad_one_is_refused() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(http(&origin));
    let mut wrong_sum = v2(CUSTOM);
    wrong_sum[16] ^= 1;
    for bytes in [
        request("GET", "/").as_bytes(),
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n",
        &[b'P'; 200],
        &[SIGNATURE, b"\x31\x11\0\0"].concat(),
        &wrong_sum,
    ] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send([bytes, request("GET", "/").as_bytes()].concat());
        is_closed(&mut wire);
    }
    let mut half = Wire::connect(lbd.addr());
    half.send(&V1[..20]).finish();
    is_closed(&mut half);
    nothing_is_left(&lbd);
    assert_eq!(origin.requests(), 0);
}

#[test]
fn a_header_about_nobody_leaves_the_peers_address() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(http(&origin));
    let local = [SIGNATURE, b"\x20\0\0\0"].concat();
    let unspecified = [SIGNATURE, b"\x21\0\0\0"].concat();
    let unix = [SIGNATURE, b"\x21\x31\0\xd8", &[0; 216]].concat();
    for first in [b"PROXY UNKNOWN\r\n".to_vec(), local, unspecified, unix] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send([&first, request("GET", "/echo").as_bytes()].concat());
        let seen = wire.response().json();
        assert_eq!(header(&seen, "x-forwarded-for"), "127.0.0.1");
        let port = lbd.addr().port().to_string();
        assert_eq!(header(&seen, "x-forwarded-port"), port);
    }
}

#[test]
fn a_header_that_does_not_come_in_time_is_not_waited_for() {
    let origin = Origin::start("a");
    let config = http(&origin).replace(
        "default_backend",
        "timeouts = { request = \"200ms\" }\ndefault_backend",
    );
    let lbd = Lbd::start(config);
    for part in [&b""[..], &V1[..20]] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(part);
        is_closed(&mut wire);
    }
    nothing_is_left(&lbd);
}

#[test]
fn a_stop_does_not_wait_for_headers() {
    let origin = Origin::start("a");
    let mut lbd = Lbd::start(http(&origin));
    let mut wire = Wire::connect(lbd.addr());
    wire.send(&V1[..20]);
    eventually("it is seen", || {
        is(lbd.status().frontends[0].connections, 1)
    });
    assert_eq!(lbd.stop(), Some(0));
    is_closed(&mut wire);
}

#[test]
fn a_reload_changes_who_may_send_them() {
    let origin = Origin::start("a");
    let port = Port::new();
    let at = port.addr().to_string();
    let open = app(NO_CHECK, [&origin]);
    let fixed = |config: &str| config.replace("127.0.0.1:0", &at);
    let mut lbd = Lbd::start(fixed(&open));
    let ask = |first: &[u8]| {
        let mut wire = Wire::connect(port.addr());
        wire.send([first, request("GET", "/").as_bytes()].concat());
        wire.try_response("GET")
            .map(|response| response.status)
            .ok()
    };
    assert_eq!((ask(b""), ask(V1)), (Some(200), Some(400)));
    lbd.rewrite(fixed(&listening(&open, "\"127.0.0.1\"")));
    lbd.reload().exits(0);
    eventually("headers are wanted", || {
        is((ask(b""), ask(V1)), (None, Some(200)))
    });
}

#[test]
fn who_is_served_goes_by_the_address_it_gives() {
    let origin = Origin::start("a");
    let gate =
        "allow = [\"192.0.2.0/24\"]\nrate_limit = { requests = 2, per = \"24d\" }\ndefault_backend";
    let config = http(&origin).replace("default_backend", gate);
    let lbd = Lbd::start(config);
    let status = |client: &str| {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(format!("PROXY TCP4 {client} 198.51.100.1 4711 80\r\n"));
        wire.send(request("GET", "/")).response().status
    };
    assert_eq!(status("203.0.113.1"), 403);
    assert_eq!(status("192.0.2.7"), 200);
    assert_eq!(status("192.0.2.7"), 200);
    assert_eq!(status("192.0.2.7"), 429);
    assert_eq!(status("192.0.2.8"), 200);
}
