//! Messages beside the plain request and response: informational responses, expectations, trailers,
//! early answers, and where a server's connection may not be used again.

use std::sync::mpsc::channel;

use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::wire::{self, End, Response, request};
use lb_tests::{Lbd, Origin, RawOrigin, Wire, eventually, is};

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nconnection: x-secret\r\nx-secret: 1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn start(origin: &RawOrigin) -> Lbd {
    Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]))
}

#[test]
fn informational_responses_pass_before_the_final_one() {
    let origin = RawOrigin::start(|peer| {
        while !peer.head().is_empty() {
            peer.send([HINTS, "HTTP/1.1 102 Processing\r\n\r\n", OK].concat());
        }
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..2 {
        wire.send(request("GET", "/"));
        let hints = wire.head().expect("the hints");
        assert_eq!(hints.status, 103);
        assert_eq!(hints.header("link"), Some("</a.css>"));
        assert_eq!(hints.header("x-secret"), None);
        assert_eq!(wire.head().expect("the second").status, 102);
        let last = wire.response();
        assert_eq!((last.status, last.text().as_str()), (200, "ok"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn informational_responses_pass_as_they_come() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send(HINTS);
        if peer.bytes(2) == b"go" {
            peer.send(OK);
        }
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n");
    assert_eq!(wire.head().expect("the hints").status, 103);
    assert_eq!(wire.send("go").response().status, 200);
}

#[test]
fn a_client_of_http_1_0_is_sent_no_informational_response() {
    let origin = RawOrigin::answering([HINTS, OK].concat());
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(wire.head().expect("a head").status, 200);
}

const EXPECTING: &str =
    "PUT /x HTTP/1.1\r\nhost: t\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";

#[test]
fn the_server_says_whether_to_continue() {
    let origin = RawOrigin::start(|peer| {
        let head = peer.head();
        assert!(head.contains("expect: 100-continue\r\n"), "{head}");
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(peer.bytes(4), b"body");
        peer.send(OK);
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(EXPECTING);
    assert_eq!(wire.head().expect("told to go on").status, 100);
    wire.send("body");
    assert_eq!(wire.head().expect("once only").status, 200);
}

#[test]
fn an_expectation_that_the_server_refuses_is_refused() {
    let origin =
        RawOrigin::answering("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n");
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(EXPECTING);
    assert_eq!(wire.head().expect("no 100 before it").status, 417);
    assert_eq!(wire.rest().1, End::Eof);
    eventually("no session is left", || is(lbd.server("app/s").sessions, 0));
}

#[test]
fn nobody_is_told_to_continue_for_an_answer_of_our_own() {
    let lbd = Lbd::start(
        "[frontend.web]\nbind = \"127.0.0.1:0\"\n[[frontend.web.routes]]\nrespond = { status = 403 }\n",
    );
    let mut wire = Wire::connect(lbd.addr());
    wire.send(EXPECTING);
    assert_eq!(wire.head().expect("no 100 before it").status, 403);
}

#[test]
fn trailers_pass_in_both_directions() {
    let origin = RawOrigin::start(|peer| {
        let head = peer.head();
        assert!(head.contains("te: trailers\r\n"), "{head}");
        assert!(head.contains("trailer: x-up\r\n"), "{head}");
        let body = peer.until(b"\r\n\r\n");
        assert_eq!(body, b"4\r\nbody\r\n0\r\nx-up: 1\r\n\r\n");
        peer.send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-down\r\n\r\n\
             2\r\nok\r\n0\r\nx-down: 2\r\n\r\n",
        );
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(
        "POST / HTTP/1.1\r\nhost: t\r\nconnection: te\r\nte: trailers\r\ntrailer: x-up\r\n\
         transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-up: 1\r\n\r\n",
    );
    assert_eq!(wire.head().expect("a head").status, 200);
    assert_eq!(wire.chunk().expect("a chunk"), b"ok");
    let end = wire
        .bytes(b"0\r\nx-down: 2\r\n\r\n".len())
        .expect("trailers");
    assert_eq!(end, b"0\r\nx-down: 2\r\n\r\n");
}

#[test]
fn a_server_that_answers_early_and_closes_is_heard() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
        peer.finish();
        peer.closed();
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100000000\r\n\r\nsome");
    let answer = wire.response();
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
    assert!(!answer.keeps_alive(), "the client is not told that it ends");
    assert_eq!(wire.rest().1, End::Eof, "the connection cannot go on");
    eventually("no session is left", || is(lbd.server("app/s").sessions, 0));
}

/// Answers with `first`, and to whatever comes after it on the same connection with "again".
fn asked_twice(first: &'static str) -> (String, u64) {
    let origin = RawOrigin::start(move |peer| {
        peer.head();
        if peer.nth() == 0 {
            peer.send(first);
            if peer.head().is_empty() {
                return;
            }
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain");
        }
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfresh");
        peer.closed();
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/")).response();
    let second = wire.send(request("GET", "/")).response();
    (second.text(), origin.connections())
}

#[test]
fn a_servers_connection_is_used_again_where_its_state_is_known() {
    for first in [
        OK,
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        assert_eq!(asked_twice(first), ("again".to_owned(), 1), "{first}");
    }
}

#[test]
fn a_servers_connection_is_dropped_where_its_state_is_not_known() {
    for first in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        // The answer to a request that nobody sent.
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nbody",
    ] {
        assert_eq!(asked_twice(first), ("fresh".to_owned(), 2), "{first}");
    }
}

#[test]
fn a_request_that_expects_and_finds_no_server_is_answered_at_once() {
    let mut origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    origin.kill();
    let mut wire = Wire::connect(lbd.addr());
    wire.send(EXPECTING);
    assert_eq!(wire.head().expect("no 100 before it").status, 503);
}

/// The answer to `asked` by a server that says this.
fn answer_of(said: &'static str, asked: &str) -> Response {
    let origin = RawOrigin::answering(said);
    let lbd = start(&origin);
    wire::ask(lbd.addr(), asked)
}

#[test]
fn an_answer_that_ends_with_its_connection_says_so() {
    let asked = "GET / HTTP/1.0\r\nhost: t\r\nconnection: keep-alive\r\n\r\n";
    for said in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nok",
    ] {
        let answer = answer_of(said, asked);
        assert_eq!(answer.text(), "ok");
        assert!(!answer.keeps_alive(), "{answer:?}");
    }
}

#[test]
fn a_server_that_wants_another_protocol_is_heard() {
    let answer = answer_of(
        "HTTP/1.1 426 Upgrade Required\r\nupgrade: h2\r\nconnection: upgrade\r\n\
         content-length: 0\r\n\r\n",
        &request("GET", "/"),
    );
    assert_eq!(answer.status, 426);
    assert_eq!(answer.header("upgrade"), Some("h2"));
    assert!(answer.has("connection", "upgrade"));
}

#[test]
fn a_length_that_is_repeated_is_one_length() {
    let answer = answer_of(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
        &request("GET", "/"),
    );
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let names = answer.headers.iter().map(|(name, _)| name.as_str());
    assert_eq!(names.filter(|name| *name == "content-length").count(), 1);
}

#[test]
fn no_trailer_passes_for_a_field_of_the_head() {
    let (tell, told) = channel();
    let origin = RawOrigin::start(move |peer| {
        peer.head();
        let _ = tell.send(peer.until(b"\r\n\r\n"));
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(
        "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n0\r\nhost: other\r\n\
         x-sum: 1\r\ncontent-length: 5\r\nx-forwarded-for: 10.0.0.1\r\n\r\n",
    );
    assert_eq!(wire.response().status, 200);
    assert_eq!(told.recv(), Ok(b"0\r\nx-sum: 1\r\n\r\n".to_vec()));
}
