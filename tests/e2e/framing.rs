//! Bodies that break on their way, and what is odd but clear: nothing goes on ambiguous (RFC 9112).

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::{End, request};
use lb_tests::{Lbd, Origin, Wire, eventually, is};

/// These are seen only when the head has gone to the origin already, which must not take what came
/// for the whole.
#[test]
fn a_broken_chunk_is_400_and_never_a_whole_body() {
    let head = "POST /upload HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n";
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    for (what, body) in [
        (
            "a size past 64 bits",
            "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
        ("a size that is none", "zz\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a size in C's hex", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("a chunk longer than its size", "3\r\nhello\r\n0\r\n\r\n"),
        ("a bare CR in a size line", "5;a\rb\nhello\r\n0\r\n\r\n"),
    ] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(head).send(body).send(request("GET", "/smuggled"));
        let response = wire
            .try_response("POST")
            .unwrap_or_else(|e| panic!("{what}: no response: {e}"));
        assert_eq!(response.status, 400, "{what}: {response:?}");
        assert!(!response.keeps_alive(), "{what}: no `connection: close`");
        assert_ne!(wire.rest().1, End::Silence, "{what}: the connection stays");
    }
    assert_eq!(origin.requests_of("GET", "/smuggled"), 0);
    eventually("every session is over", || {
        is(lbd.server("app/a").sessions, 0)
    });
    eventually("the origin holds none of it", || is(origin.in_flight(), 0));
    let errors = lbd.server("app/a").errors;
    assert_eq!(
        (errors.connect, errors.response),
        (0, 0),
        "the server is blamed"
    );
}

/// What the RFC lets a server accept may be accepted, but goes on in one way only.
#[test]
fn what_is_odd_but_clear_goes_on_normalised() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let odd = [
        ("bare LF", "GET /echo HTTP/1.1\nhost: t\nx-a: 1\n\n", ""),
        (
            "equal lengths",
            "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
            "hello",
        ),
        (
            "equal lengths in one",
            "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 5, 5\r\n\r\nhello",
            "hello",
        ),
        (
            "a long row of zeros",
            "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 000000000000000000005\r\n\r\nhello",
            "hello",
        ),
    ];
    for (what, bytes, body) in odd {
        let mut wire = Wire::connect(lbd.addr());
        let response = wire.send(bytes).response();
        if response.status == 400 {
            assert!(!response.keeps_alive(), "{what}: no `connection: close`");
            continue;
        }
        assert_eq!(response.status, 200, "{what}");
        let seen = response.json();
        assert_eq!(seen["body_length"], body.len(), "{what}: {seen}");
        let headers = seen["headers"].as_array().expect("a list");
        let lengths: Vec<_> = headers
            .iter()
            .filter(|header| header[0] == "content-length")
            .map(|header| header[1].as_str().and_then(|length| length.parse().ok()))
            .collect();
        let wanted = if body.is_empty() {
            vec![]
        } else {
            vec![Some(body.len())]
        };
        assert_eq!(lengths, wanted, "{what}: {seen}");
        let next = wire.send(request("GET", "/next")).response();
        assert_eq!(next.status, 200, "{what}: the connection lost its place");
    }
}

#[test]
fn an_empty_line_before_a_request_is_skipped() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..3 {
        wire.send("\r\n").send(request("GET", "/"));
        assert_eq!(wire.response().status, 200);
    }
}

#[test]
fn connect_opens_no_tunnel() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let response = Wire::connect(lbd.addr())
        .send("CONNECT other:443 HTTP/1.1\r\nhost: other:443\r\n\r\n")
        .response();
    assert!((400..=501).contains(&response.status), "{response:?}");
    assert_eq!(origin.connections(), 0);
}
