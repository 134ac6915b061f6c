//! HTTP/2 to servers: what goes on a stream is what went by HTTP/1.

use std::net::SocketAddr;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use lb_proto::status::CheckResult;
use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::http2::{Http2, request_with};
use lb_tests::pattern::pattern;
use lb_tests::wire::{End, get, request, upload};
use lb_tests::{
    Authority, Http2Origin, Lbd, Load, Origin, RawOrigin, Setup, TlsFront, Wire, eventually,
};
use serde_json::Value;

use crate::http2::{h2c, nothing_is_left};

/// One server that is spoken to by HTTP/2; `lines` are the backend's.
pub(crate) fn config(lines: &str, origin: SocketAddr) -> String {
    app_at(&format!("protocol = \"h2\"\n{lines}"), [("a", origin)])
}

pub(crate) fn start(origin: &Http2Origin) -> Lbd {
    Lbd::start(config(NO_CHECK, origin.addr()))
}

#[track_caller]
fn header(echo: &Value, name: &str) -> Option<String> {
    let headers = echo["headers"].as_array().expect("a list");
    let found = headers.iter().find(|header| header[0] == name);
    found.map(|header| header[1].as_str().expect("a text").to_owned())
}

#[test]
fn requests_of_http1_go_on_streams_of_one_connection() {
    let origin = Http2Origin::named("a");
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    let body: Vec<u8> = pattern(3_000_000);
    for _ in 0..2 {
        let response = wire.send(upload("POST", "/echo", &body)).response();
        assert!(response.keeps_alive(), "{response:?}");
        let echo = response.json();
        assert_eq!(echo["body_length"], body.len());
        assert_eq!(echo["method"], "POST");
        assert_eq!(echo["uri"], "http://test/echo");
        assert_eq!(header(&echo, "content-length").as_deref(), Some("3000000"));
        assert_eq!(
            header(&echo, "x-forwarded-for").as_deref(),
            Some("127.0.0.1")
        );
        for gone in ["host", "connection", "te", "transfer-encoding"] {
            assert_eq!(header(&echo, gone), None, "{gone}");
        }
        let response = wire.send(request("GET", "/bytes?n=5000000")).response();
        assert_eq!(response.header("content-length"), Some("5000000"));
        assert!(response.body == pattern(5_000_000));
        let empty = wire.send(request("GET", "/bytes?n=0")).response();
        assert_eq!((empty.status, empty.body.len()), (200, 0));
        let head = wire.send(request("HEAD", "/")).response_to_head();
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some("1"))
        );
    }
    drop(wire);
    let load = Load::on(lbd.addr()).clients(4).start();
    load.go_on_for(500);
    load.stop().assert_clean();
    nothing_is_left(&lbd);
    // One of each of two threads.
    assert!(origin.connections() <= 2, "{}", origin.connections());
    let server = lbd.server("app/a");
    assert_eq!((server.errors.connect, server.errors.response), (0, 0));
    assert!(server.bytes_in > 6_000_000 && server.bytes_out > 10_000_000);
}

#[test]
fn chunks_and_trailers_go_both_ways() {
    let origin = Http2Origin::start(|asked| {
        let body = asked.body();
        let trailers = asked.trailers().unwrap_or_default();
        let sum = trailers.get("x-sum").and_then(|sum| sum.to_str().ok());
        let length = asked.head.headers.contains_key("content-length");
        asked.answer(200, &[("trailer", "x-seen")], false);
        asked.send(format!("{} {length} {}", body.len(), trailers.len()));
        asked.send_trailers(&[
            ("x-seen", sum.unwrap_or("nothing")),
            ("content-length", "1"),
        ]);
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(
        "POST / HTTP/1.1\r\nhost: t\r\nte: trailers\r\nconnection: te, close\r\ntrailer: x-sum\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\nhost: evil\r\n\r\n",
    );
    let (answer, end) = wire.rest();
    let answer = String::from_utf8(answer).expect("it is text");
    assert!(
        answer.ends_with("\r\n9\r\n5 false 1\r\n0\r\nx-seen: 7\r\n\r\n"),
        "{answer}"
    );
    assert_eq!(end, End::Eof);
}

#[test]
fn streams_go_to_streams_with_all_that_grpc_needs() {
    let origin = Http2Origin::start(|asked| {
        let te = asked.head.headers.get("te").cloned();
        assert_eq!(te.expect("it is passed on"), "trailers");
        asked.answer(200, &[("content-type", "application/grpc")], false);
        // Each message is answered as it comes; the client waits for that before its next.
        while let Some(Ok(message)) = asked.piece() {
            asked.send(message);
        }
        asked.send_trailers(&[("grpc-status", "0"), ("grpc-message", "fine")]);
    });
    let lbd = Lbd::start(h2c(&config(NO_CHECK, origin.addr())));
    let mut client = Http2::connect(lbd.addr());
    let fields = [("te", "trailers"), ("content-type", "application/grpc")];
    let mut call = client.open(request_with(Method::POST, "/service/method", &fields));
    let (status, headers) = call.head().expect("its head comes before any message");
    assert_eq!(
        (status, &headers["content-type"]),
        (
            StatusCode::OK,
            &"application/grpc".parse().expect("a value")
        )
    );
    for message in [&b"one"[..], b"two", &[7; 100_000]] {
        call.send(message, false);
        assert_eq!(call.bytes(message.len()), message);
    }
    assert_eq!(lbd.server("app/a").sessions, 1);
    call.finish();
    let rest = call.rest(status, headers);
    assert_eq!((rest.body.len(), rest.cut), (0, None));
    let trailers = rest.trailers.expect("they come");
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (
            &"0".parse().expect("a value"),
            &"fine".parse().expect("a value")
        )
    );
    drop((call, client));
    nothing_is_left(&lbd);

    // A call that fails has a head that is its end.
    let failing = Http2Origin::start(|asked| {
        asked.answer(200, &[("grpc-status", "12")], true);
    });
    let lbd = Lbd::start(h2c(&config(NO_CHECK, failing.addr())));
    let mut client = Http2::connect(lbd.addr());
    let failed = client.send(request_with(Method::POST, "/x/y", &fields), b"message");
    assert_eq!(
        (failed.status, &failed.headers["grpc-status"]),
        (StatusCode::OK, &"12".parse().expect("a value"))
    );
    assert!(failed.body.is_empty() && failed.cut.is_none());
    drop(client);
    nothing_is_left(&lbd);
}

#[test]
fn informational_responses_and_expectations_pass() {
    let origin = Http2Origin::start(|asked| {
        asked.inform(103, &[("link", "</a.css>")]);
        if asked.head.headers.contains_key("expect") {
            asked.inform(100, &[]);
        }
        let body = asked.body();
        asked.respond(200, body);
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    let hint = wire.head().expect("a hint");
    assert_eq!((hint.status, hint.header("link")), (103, Some("</a.css>")));
    assert_eq!(wire.head().expect("it may go on").status, 100);
    assert_eq!(wire.send("hi").response().text(), "hi");
}

#[test]
fn an_answer_that_comes_before_the_upload_ends_it() {
    let origin = Http2Origin::start(|asked| {
        asked.bytes(1);
        // It is reset without an error behind that: nobody is there to take more (RFC 9113, 8.1).
        asked.respond(403, "no");
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    let head = "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100000000\r\n\r\n";
    wire.send(head).send("some");
    let answer = wire.response();
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
    drop(wire);
    nothing_is_left(&lbd);
    assert_eq!(lbd.server("app/a").errors.response, 0);
}

#[test]
fn responses_without_a_body_are_whole() {
    let origin = Http2Origin::start(|asked| match asked.head.uri.path() {
        "/204" => asked.answer(204, &[], true),
        "/304" => asked.answer(304, &[("content-length", "7")], true),
        "/head" => asked.answer(200, &[("content-length", "7")], true),
        "/ends" => asked.answer(200, &[], true),
        _ => {
            asked.answer(200, &[], false);
            asked.finish();
        }
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    for (path, status) in [
        ("/204", 204),
        ("/304", 304),
        ("/ends", 200),
        ("/empty", 200),
    ] {
        let response = wire.send(request("GET", path)).response();
        assert_eq!(
            (response.status, response.body.len()),
            (status, 0),
            "{path}"
        );
        assert!(response.keeps_alive() && response.cut.is_none(), "{path}");
    }
    let head = wire.send(request("HEAD", "/head")).response_to_head();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("7"))
    );
    assert_eq!(wire.send(request("GET", "/ends")).response().status, 200);
}

#[test]
fn what_can_have_no_content_has_none_by_http2() {
    let origin = Http2Origin::start(|asked| {
        let fields: &[_] = &[("content-length", "3")];
        match asked.head.uri.path() {
            "/204" => asked.answer(204, fields, false),
            "/304" => asked.answer(304, fields, false),
            _ => return asked.answer(200, &[], true),
        }
        asked.send("xyz");
        asked.finish();
    });
    let lbd = Lbd::start(h2c(&config(NO_CHECK, origin.addr())));
    let (mut client, mut wire) = (Http2::connect(lbd.addr()), Wire::connect(lbd.addr()));
    for (method, path, length) in [
        (Method::GET, "/204", None),
        (Method::GET, "/304", Some("3")),
        (Method::HEAD, "/", None),
    ] {
        let answer = client.ask(method.clone(), path).response();
        assert_eq!((answer.text().as_str(), answer.cut), ("", None), "{path}");
        let said = answer.headers.get("content-length");
        assert_eq!(
            said.map(HeaderValue::as_bytes),
            length.map(str::as_bytes),
            "{path}"
        );
        wire.send(request(method.as_str(), path));
        let answer = wire.try_response(method.as_str()).expect("it is one");
        assert_eq!(
            (answer.text().as_str(), answer.cut.is_some()),
            ("", false),
            "{path}"
        );
        // hyper leaves out that of a 304, which it may.
        assert_eq!(answer.header("content-length"), None, "{path}");
    }
    drop((client, wire));
    nothing_is_left(&lbd);
}

#[test]
fn under_tls_it_is_agreed_on_or_there_is_no_connection() {
    let authority = Authority::new();
    let origin = Http2Origin::named("a");
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"]));
    let start = |front: TlsFront, lines: &str| {
        let front = front.before(origin.addr());
        let setup = Setup::new("");
        let ca = setup.folder().join("ca.pem");
        std::fs::write(&ca, authority.root()).expect("the folder is ours");
        let lines = format!("{lines}\ntls = {{ ca = \"{}\" }}", ca.display());
        (setup.config(config(&lines, front.addr())).start(), front)
    };
    let check = "health = { type = \"http\", interval = \"50ms\", timeout = \"60s\" }";
    let (lbd, front) = start(front.alpn(&["http/1.1", "h2"]), check);
    lbd.wait_until_healthy("app/a");
    let echo = get(lbd.addr(), "/echo").json();
    assert_eq!(echo["uri"], "https://test/echo");
    assert!(
        front
            .shook()
            .iter()
            .all(|shook| shook.alpn.as_deref() == Some("h2"))
    );

    let lines = format!("{NO_CHECK}\nretries = 0");
    for other in [&["http/1.1"][..], &[]] {
        let front = || TlsFront::showing(&authority.issue(&["127.0.0.1"])).alpn(other);
        let (lbd, _front) = start(front(), &lines);
        assert_eq!(get(lbd.addr(), "/").status, 503);
        lbd.wait_for_log("ALPN");
        for kind in ["tcp", "http"] {
            let check =
                format!("health = {{ type = \"{kind}\", interval = \"50ms\", timeout = \"60s\" }}");
            let (lbd, _front) = start(front(), &check);
            let check = checked(&lbd);
            assert_eq!(check.0, CheckResult::L6RSP);
            assert!(check.1.contains("ALPN"), "{}", check.1);
        }
    }
}

#[track_caller]
pub(crate) fn checked(lbd: &Lbd) -> (CheckResult, String) {
    eventually("a check has spoken", || {
        let check = lbd.server("app/a").last_check;
        check
            .map(|check| (check.result, check.detail))
            .ok_or("nothing")
    })
}

#[test]
fn a_server_of_http1_is_told_from_one_of_http2() {
    let plain = Origin::start("a");
    let wordy = RawOrigin::answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    for (origin, why) in [
        (
            plain.addr(),
            "it closed the connection without a word of HTTP/2",
        ),
        (wordy.addr(), "it does not speak HTTP/2"),
    ] {
        let lbd = Lbd::start(config(&format!("{NO_CHECK}\nretries = 0"), origin));
        assert_eq!(get(lbd.addr(), "/").status, 503);
        lbd.wait_for_log("HTTP/2 with the server failed");
        lbd.wait_for_log(why);
        let errors = lbd.server("app/a").errors;
        assert_eq!((errors.connect, errors.response), (1, 0));
        let lbd = Lbd::start(config(
            "health = { type = \"http\", interval = \"50ms\", timeout = \"60s\" }",
            origin,
        ));
        assert_eq!(checked(&lbd).0, CheckResult::L7RSP);
    }
    assert_eq!(plain.requests(), 0);
    let origin = Http2Origin::start(|asked| {
        let authority = asked.head.uri.authority().map(ToString::to_string);
        assert_eq!(authority.as_deref(), Some("app.local"));
        asked.respond(204, "");
    });
    let check = "health = { type = \"http\", path = \"/up\", host = \"app.local\", expect = \"200\", interval = \"50ms\", timeout = \"60s\" }";
    let lbd = Lbd::start(config(check, origin.addr()));
    let (result, detail) = checked(&lbd);
    assert_eq!(result, CheckResult::L7STS);
    assert_eq!(detail, "GET /up answered 204, expected 200");
}
