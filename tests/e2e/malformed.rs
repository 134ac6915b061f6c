//! Requests whose head is wrong, or says wrongly how long the body is: refused, byte for byte as
//! here, before anything of them reaches a server (RFC 9112).

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
