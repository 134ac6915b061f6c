//! HTTP/1.1 and 1.0, methods and statuses without bodies, 100-continue, pipelining.

use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::origin::hash;
use lb_tests::pattern::pattern;
use lb_tests::wire::{End, request, upload};
use lb_tests::{Lbd, Origin, RawOrigin, Wire, eventually, is};

fn one_origin() -> (Origin, Lbd) {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    (origin, lbd)
}

#[test]
fn a_client_of_http_1_0_is_answered_and_its_connection_closed() {
    let (_origin, lbd) = one_origin();
    for head in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: t\r\n\r\n",
    ] {
        let mut wire = Wire::connect(lbd.addr());
        let response = wire.send(head).response();
        assert_eq!((response.status, response.text()), (200, "a".into()));
        assert!(!response.has("connection", "keep-alive"));
        assert_eq!(wire.rest(), (Vec::new(), End::Eof));
    }
}

#[test]
fn a_client_of_http_1_0_may_ask_to_keep_its_connection() {
    let (_origin, lbd) = one_origin();
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..3 {
        wire.send("GET / HTTP/1.0\r\nhost: t\r\nconnection: keep-alive\r\n\r\n");
        let response = wire.response();
        assert_eq!(response.status, 200);
        assert!(response.has("connection", "keep-alive"), "{response:?}");
    }
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let (_origin, lbd) = one_origin();
    let mut wire = Wire::connect(lbd.addr());
    wire.send("GET /bytes?n=100000&chunked HTTP/1.0\r\nhost: t\r\n\r\n");
    let response = wire.response();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.cut, None);
    assert!(response.body == pattern(100_000));
}

#[test]
fn a_server_of_http_1_0_serves_clients_of_1_1() {
    let origin = RawOrigin::answering("HTTP/1.0 200 OK\r\n\r\nold");
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..3 {
        let response = wire.send(request("GET", "/")).response();
        assert_eq!(
            (response.version.as_str(), response.text()),
            ("HTTP/1.1", "old".into())
        );
        if !response.keeps_alive() {
            wire = Wire::connect(lbd.addr());
        }
    }
}

#[test]
fn responses_without_a_body_leave_the_connection_in_its_place() {
    let (_origin, lbd) = one_origin();
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..3 {
        let head = wire
            .send(request("HEAD", "/bytes?n=100000"))
            .response_to_head();
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some("100000"))
        );
        for code in [204, 304] {
            let target = format!("/status?code={code}");
            let response = wire.send(request("GET", &target)).response();
            assert_eq!(response.status, code);
            assert_eq!(response.header("transfer-encoding"), None, "{response:?}");
        }
        assert_eq!(wire.send(request("GET", "/")).response().text(), "a");
    }
}

#[test]
fn a_304_keeps_the_length_it_tells_of() {
    let origin = RawOrigin::start(|peer| {
        while !peer.head().is_empty() {
            peer.send("HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\netag: \"x\"\r\n\r\n");
        }
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..3 {
        let response = wire.send(request("GET", "/")).response();
        assert_eq!(
            (response.status, response.header("etag")),
            (304, Some("\"x\""))
        );
    }
}

#[test]
fn a_client_that_expects_100_gets_it_before_its_body() {
    let (origin, lbd) = one_origin();
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..2 {
        wire.send(
            "POST /echo HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        );
        let interim = wire.head().expect("an interim response");
        assert_eq!(interim.status, 100);
        let response = wire.send("hello").response();
        assert_eq!(response.status, 200);
        assert_eq!(response.json()["body_hash"], hash(b"hello"));
    }
    assert_eq!(origin.requests_of("POST", "/echo"), 2);
}

#[test]
fn a_client_that_expects_100_may_get_its_answer_instead() {
    let origin =
        RawOrigin::answering("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n");
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n");
    assert_eq!(wire.response().status, 413);
}

#[test]
fn interim_responses_of_a_server_do_not_end_the_exchange() {
    let origin = RawOrigin::start(|peer| {
        while !peer.head().is_empty() {
            peer.send("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
            peer.send("HTTP/1.1 102 Processing\r\n\r\n");
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfinal");
        }
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..3 {
        let response = wire.send(request("GET", "/")).response();
        assert_eq!((response.status, response.text()), (200, "final".into()));
    }
}

#[test]
fn bodies_pass_whole_in_both_framings_and_directions() {
    let (_origin, lbd) = one_origin();
    let mut wire = Wire::connect(lbd.addr());
    for size in [0, 1, 1000, 16_384, 65_536, 1_000_000] {
        let body: Vec<u8> = pattern(size);
        let sized = wire.send(upload("POST", "/echo", &body)).response();
        let mut chunked =
            b"POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(4099) {
            chunked.extend(format!("{:X};ext=\"v\"\r\n", chunk.len()).into_bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\nx-trailer: 1\r\n\r\n");
        let chunked = wire.send(chunked).response();
        for (how, response) in [("sized", sized), ("chunked", chunked)] {
            assert_eq!(response.status, 200, "{how} {size}");
            let seen = response.json();
            assert_eq!(seen["body_length"], size, "{how}");
            assert_eq!(seen["body_hash"], hash(&body), "{how} {size}");
        }
        for how in ["", "&chunked"] {
            let target = format!("/bytes?n={size}{how}");
            let response = wire.send(request("GET", &target)).response();
            assert_eq!((response.status, response.cut), (200, None), "{target}");
            assert_eq!(response.body, body, "{target}");
        }
    }
}

#[test]
fn a_body_of_known_length_keeps_its_framing() {
    let (_origin, lbd) = one_origin();
    let mut wire = Wire::connect(lbd.addr());
    let response = wire.send(upload("PUT", "/echo", b"hello")).response();
    let seen = response.json();
    let headers = seen["headers"].as_array().expect("a list");
    let framing: Vec<_> = headers
        .iter()
        .filter(|h| h[0] == "content-length" || h[0] == "transfer-encoding")
        .map(|h| {
            (
                h[0].as_str().unwrap_or_default(),
                h[1].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(framing, [("content-length", "5")]);
}

#[test]
fn get_and_delete_with_a_body_pass_it_on() {
    let (_origin, lbd) = one_origin();
    for method in ["GET", "DELETE", "PATCH", "PROPFIND"] {
        let mut wire = Wire::connect(lbd.addr());
        let sized = wire.send(upload(method, "/echo", b"hello")).response();
        assert_eq!(sized.json()["body_hash"], hash(b"hello"), "{method}, sized");
        wire.send(format!(
            "{method} /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        ));
        let chunked = wire.response();
        assert_eq!(
            chunked.json()["body_hash"],
            hash(b"hello"),
            "{method}, chunked"
        );
    }
}

#[test]
fn several_requests_in_one_packet_are_answered_in_order() {
    let (origin, lbd) = one_origin();
    let mut wire = Wire::connect(lbd.addr());
    let mut together = Vec::new();
    for n in 0..20 {
        let body = format!("body {n}");
        together.extend(request("GET", &format!("/bytes?n={n}")).into_bytes());
        together.extend(upload("POST", "/echo", body.as_bytes()));
    }
    wire.send(together);
    for n in 0..20 {
        assert_eq!(wire.response().body.len(), n);
        let echoed = wire.response().json();
        assert_eq!(echoed["body_hash"], hash(format!("body {n}").as_bytes()));
    }
    assert_eq!(origin.requests(), 40);
    eventually("all sessions are over", || {
        is(lbd.server("app/a").sessions, 0)
    });
}

#[test]
fn a_request_in_single_bytes_is_one_request() {
    let (origin, lbd) = one_origin();
    let mut wire = Wire::connect(lbd.addr());
    for byte in upload("POST", "/echo", b"hello") {
        wire.send([byte]);
    }
    assert_eq!(wire.response().json()["body_hash"], hash(b"hello"));
    assert_eq!(origin.requests(), 1);
}
