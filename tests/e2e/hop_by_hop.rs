//! Headers that are between two neighbours go no further (RFC 9110, 7.6.1).

use std::sync::mpsc;
use std::time::Duration;

use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::wire::{ask, get, request};
use lb_tests::{Lbd, Origin, RawOrigin, Wire};

/// What one request becomes on its way to the server, byte for byte.
fn forwarded(bytes: &str) -> String {
    let (seen, heads) = mpsc::channel();
    let seen = std::sync::Mutex::new(seen);
    let origin = RawOrigin::start(move |peer| {
        let head = peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let _ = seen.lock().expect("one at a time").send(head);
        peer.closed();
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    assert_eq!(ask(lbd.addr(), bytes).status, 200);
    heads
        .recv_timeout(Duration::from_secs(60))
        .expect("the origin saw the request")
        .to_ascii_lowercase()
}

#[test]
fn a_requests_own_and_those_that_connection_names_are_dropped() {
    let head = forwarded(
        "GET / HTTP/1.1\r\nhost: t\r\nconnection: keep-alive, X-Mine,x-other\r\n\
         Connection: x-third\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\n\
         te: gzip\r\nx-mine: 1\r\nx-other: 2\r\nx-third: 3\r\nx-stays: 4\r\n\r\n",
    );
    for gone in [
        "keep-alive:",
        "proxy-connection:",
        "x-mine:",
        "x-other:",
        "x-third:",
        "te: gzip",
    ] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    assert!(head.contains("x-stays: 4\r\n"), "{head}");
    assert!(
        !head.contains("connection: close"),
        "the server's is not kept: {head}"
    );
}

#[test]
fn an_upgrade_that_is_not_carried_out_is_not_asked_for() {
    let head = forwarded(
        "GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    for gone in ["upgrade", "h2c", "http2-settings"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
}

#[test]
fn connection_close_of_a_client_closes_its_connection_and_not_the_servers() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(
        app(NO_CHECK, [&origin]).replace("[frontend.web]", "[frontend.web]\n# one pool"),
    );
    for _ in 0..20 {
        let mut wire = Wire::connect(lbd.addr());
        wire.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
        let response = wire.response();
        assert_eq!(response.status, 200);
        assert!(!response.keeps_alive());
        assert_eq!(wire.rest().1, lb_tests::wire::End::Eof);
    }
    // One pooled connection per data thread.
    assert!(
        origin.connections() <= 2,
        "{} connections",
        origin.connections()
    );
}

#[test]
fn a_responses_own_and_those_that_connection_names_are_dropped() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send(
            "HTTP/1.1 200 OK\r\nconnection: keep-alive, X-Secret\r\nkeep-alive: timeout=5\r\n\
             proxy-connection: keep-alive\r\nx-secret: 1\r\nx-stays: 2\r\nset-cookie: a=1\r\n\
             set-cookie: b=2\r\ncontent-length: 2\r\n\r\nok",
        );
        peer.closed();
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let response = get(lbd.addr(), "/");
    assert_eq!(response.text(), "ok");
    for gone in ["keep-alive", "proxy-connection", "x-secret"] {
        assert_eq!(response.header(gone), None, "{gone} in {response:?}");
    }
    assert!(!response.has("connection", "x-secret"), "{response:?}");
    assert_eq!(response.header("x-stays"), Some("2"));
    let cookies: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[test]
fn a_server_that_closes_after_its_response_closes_no_client() {
    let origin =
        RawOrigin::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..5 {
        let response = wire.send(request("GET", "/")).response();
        assert_eq!(response.text(), "ok");
        assert!(response.keeps_alive(), "{response:?}");
    }
    assert_eq!(origin.connections(), 5);
}
