//! Requests whose framing or head is wrong: refused, byte for byte as here, and never forwarded
//! ambiguous (RFC 9112).

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::{End, request};
use lb_tests::{Lbd, Origin, Wire, eventually, is};

/// What must come of a request.
#[derive(Clone, Copy)]
enum Answer {
    /// 400, a close, and no byte of it at the origin.
    BadRequest,
    /// The same with one of these statuses, where the RFC leaves a choice.
    OneOf(&'static [u16]),
}
use Answer::{BadRequest, OneOf};

fn assert_refused(cases: &[(&str, &str, Answer)]) {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let mut wrong = Vec::new();
    for (what, bytes, answer) in cases {
        let mut wire = Wire::connect(lbd.addr());
        // A request behind the bad one would be answered if the connection went on.
        wire.send(bytes).send(request("GET", "/smuggled"));
        let statuses: &[u16] = match answer {
            BadRequest => &[400],
            OneOf(statuses) => statuses,
        };
        match wire.try_response("GET") {
            Err(e) => wrong.push(format!("{what}: no response: {e}")),
            Ok(response) => {
                if !statuses.contains(&response.status) {
                    wrong.push(format!("{what}: status {}", response.status));
                }
                if response.keeps_alive() {
                    wrong.push(format!("{what}: no `connection: close`"));
                }
                if response.origin().is_some() {
                    wrong.push(format!("{what}: answered by the origin"));
                }
            }
        }
        let (rest, end) = wire.rest();
        if !rest.is_empty() {
            let rest = String::from_utf8_lossy(&rest).into_owned();
            wrong.push(format!("{what}: more came: {rest:?}"));
        }
        if end == End::Silence {
            wrong.push(format!("{what}: the connection stays open"));
        }
    }
    if origin.connections() != 0 {
        wrong.push(format!(
            "{} connections reached the origin",
            origin.connections()
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    eventually("every session is over", || {
        is(lbd.server("app/a").sessions, 0)
    });
    eventually("every connection is closed", || {
        is(lbd.status().daemon.connections, 0)
    });
}

#[test]
fn a_malformed_head_is_400() {
    assert_refused(&[
        ("no HTTP at all", "hello\r\n\r\n", BadRequest),
        (
            "TLS to a plain port",
            "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n",
            BadRequest,
        ),
        ("no target", "GET HTTP/1.1\r\nhost: t\r\n\r\n", BadRequest),
        (
            "a space in the target",
            "GET /a b HTTP/1.1\r\nhost: t\r\n\r\n",
            BadRequest,
        ),
        (
            "a target that is no path",
            "GET a HTTP/1.1\r\nhost: t\r\n\r\n",
            BadRequest,
        ),
        (
            "a control byte in the target",
            "GET /\x01 HTTP/1.1\r\nhost: t\r\n\r\n",
            BadRequest,
        ),
        (
            "no token for a method",
            "G@T / HTTP/1.1\r\nhost: t\r\n\r\n",
            BadRequest,
        ),
        (
            "a version that is none",
            "GET / HTTP/x\r\nhost: t\r\n\r\n",
            BadRequest,
        ),
        (
            "a version there is no more",
            "GET / HTTP/3.7\r\nhost: t\r\n\r\n",
            OneOf(&[400, 505]),
        ),
        (
            "a line without colon",
            "GET / HTTP/1.1\r\nhost: t\r\nnonsense\r\n\r\n",
            BadRequest,
        ),
        (
            "no header name",
            "GET / HTTP/1.1\r\nhost: t\r\n: x\r\n\r\n",
            BadRequest,
        ),
        (
            "space before the colon",
            "GET / HTTP/1.1\r\nhost: t\r\nx-a : 1\r\n\r\n",
            BadRequest,
        ),
        (
            "space before the colon of a length",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length : 5\r\n\r\nhello",
            BadRequest,
        ),
        (
            "space before the first header",
            "GET / HTTP/1.1\r\n host: t\r\n\r\n",
            BadRequest,
        ),
        (
            "obs-fold",
            "GET / HTTP/1.1\r\nhost: t\r\nx-a: 1\r\n 2\r\n\r\n",
            BadRequest,
        ),
        (
            "obs-fold with a tab",
            "GET / HTTP/1.1\r\nhost: t\r\nx-a: 1\r\n\t2\r\n\r\n",
            BadRequest,
        ),
        (
            "NUL in a value",
            "GET / HTTP/1.1\r\nhost: t\r\nx-a: 1\x002\r\n\r\n",
            BadRequest,
        ),
        (
            "NUL in a name",
            "GET / HTTP/1.1\r\nhost: t\r\nx\x00a: 1\r\n\r\n",
            BadRequest,
        ),
        (
            "bare CR in a value",
            "GET / HTTP/1.1\r\nhost: t\r\nx-a: 1\r2\r\n\r\n",
            BadRequest,
        ),
    ]);
}

#[test]
fn a_request_without_one_host_is_400() {
    assert_refused(&[
        ("no Host", "GET / HTTP/1.1\r\n\r\n", BadRequest),
        (
            "two Hosts",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            BadRequest,
        ),
        (
            "two equal Hosts",
            "GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
            BadRequest,
        ),
        (
            "two Hosts in HTTP/1.0",
            "GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n",
            BadRequest,
        ),
        (
            "a Host with a space",
            "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
            BadRequest,
        ),
        (
            "a Host with a path",
            "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
            BadRequest,
        ),
        (
            "a Host with a user",
            "GET / HTTP/1.1\r\nhost: me@a\r\n\r\n",
            BadRequest,
        ),
        (
            "two Hosts in one",
            "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n",
            BadRequest,
        ),
    ]);
}

#[test]
fn an_ambiguous_or_unreadable_body_length_is_400() {
    assert_refused(&[
        (
            "both framings, length last",
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
            BadRequest,
        ),
        (
            "both framings, length first",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            BadRequest,
        ),
        (
            "both framings in odd case",
            "POST / HTTP/1.1\r\nhost: t\r\nContent-LENGTH: 4\r\nTransfer-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
            BadRequest,
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
            BadRequest,
        ),
        (
            "two lengths in one",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5, 6\r\n\r\nhello",
            BadRequest,
        ),
        (
            "a signed length",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: +5\r\n\r\nhello",
            BadRequest,
        ),
        (
            "a negative length",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: -5\r\n\r\nhello",
            BadRequest,
        ),
        (
            "a length in hex",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 0x5\r\n\r\nhello",
            BadRequest,
        ),
        (
            "a length with more",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5 0\r\n\r\nhello",
            BadRequest,
        ),
        (
            "an empty length",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: \r\n\r\n",
            BadRequest,
        ),
        (
            "a length past 64 bits",
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999999999999999\r\n\r\n",
            OneOf(&[400, 413]),
        ),
        (
            "a coding that is not chunked",
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip\r\n\r\n",
            OneOf(&[400, 501]),
        ),
        (
            "chunked that is not last",
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            OneOf(&[400, 501]),
        ),
        (
            "chunked that is not last, in two lines",
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n",
            OneOf(&[400, 501]),
        ),
        (
            "a coding before chunked",
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            OneOf(&[400, 501]),
        ),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            OneOf(&[400, 501]),
        ),
        (
            "almost chunked",
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
            OneOf(&[400, 501]),
        ),
        (
            "chunked with a quote",
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
            OneOf(&[400, 501]),
        ),
        (
            "chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            BadRequest,
        ),
        (
            "both framings in HTTP/1.0",
            "POST / HTTP/1.0\r\nhost: t\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            BadRequest,
        ),
    ]);
}

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
