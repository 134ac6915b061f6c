//! HTTP/2 to clients: what passes, how it is told servers, and how connections end.

use h2::client::Builder;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, StatusCode, Uri};
use lb_tests::config::silence;
use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::http2::{PREFACE, SETTINGS, frame, request, request_with};
use lb_tests::pattern::pattern;
use lb_tests::tls::Client;
use lb_tests::wire::{self, End, get};
use lb_tests::{Authority, Http2, Lbd, Origin, RawOrigin, Setup, Wire, eventually, is};
use rustix::process::Signal;
use serde_json::json;

use crate::tls;

/// [`app`], on a bind that takes HTTP/2 without TLS.
pub(crate) fn h2c(config: &str) -> String {
    let bind = "bind = [{ address = \"127.0.0.1:0\", h2c = true }]";
    config.replace("bind = [\"127.0.0.1:0\"]", bind)
}

#[track_caller]
pub(crate) fn nothing_is_left(lbd: &Lbd) {
    eventually("every count is zero", || {
        let status = lbd.status();
        let frontend = &status.frontends[0];
        let sessions = status.backends[0].servers[0].sessions;
        is(
            (frontend.connections, frontend.sessions, sessions),
            (0, 0, 0),
        )
    });
}

fn exchange(mut client: Http2, port: u16, scheme: &str) {
    let body: Vec<u8> = pattern(3_000_000);
    for length in [Some(body.len()), None] {
        let mut asked = request_with(
            Method::POST,
            "/echo?x=1",
            &[("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")],
        );
        if let Some(length) = length {
            asked.headers_mut().insert("content-length", length.into());
        }
        let response = client.send(asked, &body);
        assert_eq!(response.status, StatusCode::OK);
        assert!(response.headers.contains_key("date"));
        let echo = response.json();
        assert_eq!(
            (&echo["method"], &echo["target"]),
            (&json!("POST"), &json!("/echo?x=1"))
        );
        assert_eq!(echo["version"], "HTTP/1.1");
        assert_eq!(echo["body_length"], body.len());
        let headers = echo["headers"].as_array().expect("a list");
        for (name, value) in [
            ("host", "t"),
            ("cookie", "a=1; b=2"),
            ("te", "trailers"),
            ("connection", "te"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "t"),
            ("x-forwarded-proto", scheme),
            ("x-forwarded-port", &port.to_string()),
        ] {
            assert!(
                headers.contains(&json!([name, value])),
                "{name} in {headers:?}"
            );
        }
    }
    for target in ["/bytes?n=5000000", "/bytes?n=5000000&chunked"] {
        let response = client.get(target);
        assert!(response.body == pattern(5_000_000));
    }
    let head = client.ask(Method::HEAD, "/bytes?n=1000").response();
    assert_eq!(head.headers["content-length"], "1000");
    assert!(head.body.is_empty());
    for code in [204, 304, 404] {
        let response = client.get(&format!("/status?code={code}"));
        assert_eq!(response.status.as_u16(), code);
        assert!(response.body.is_empty());
    }
}

#[test]
fn requests_come_without_tls_and_with_it() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(h2c(&app(NO_CHECK, [&origin])));
    exchange(Http2::connect(lbd.addr()), lbd.addr().port(), "http");
    nothing_is_left(&lbd);

    let authority = Authority::new();
    let issued = authority.issue(&["t"]);
    let lbd = tls::start(&tls::config("", origin.addr()), &[("a.pem", &issued)]);
    let client = Client::new(&authority, "t").alpn(&["h2", "http/1.1"]);
    let http2 = Http2::connect_tls(lbd.addr(), &client);
    exchange(http2, lbd.addr().port(), "https");
    nothing_is_left(&lbd);
}

#[test]
fn who_speaks_http1_is_served_on_the_same_bind() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(h2c(&app(NO_CHECK, [&origin])));
    for first in [
        "G",
        "P",
        "PRI * HTTP/1",
        "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(first);
        eventually("lbd has seen the beginning", || {
            is(lbd.status().frontends[0].connections, 1)
        });
        let rest = match first {
            "G" => "ET / HTTP/1.1\r\nhost: t\r\n\r\n",
            "P" => "UT / HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n",
            "PRI * HTTP/1" => ".1\r\nhost: t\r\n\r\n",
            _ => "",
        };
        let response = wire.send(rest).response();
        let wanted = if first.starts_with("PRI") { 400 } else { 200 };
        assert_eq!(response.status, wanted, "after {first:?}");
        drop(wire);
        nothing_is_left(&lbd);
    }
    // Where it is not wanted, the preface is no request.
    let plain = Lbd::start(app(NO_CHECK, [&origin]));
    let mut wire = Wire::connect(plain.addr());
    assert_eq!(wire.send(PREFACE).response().status, 400);
}

#[test]
fn streams_do_not_wait_for_each_other() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(h2c(&app(NO_CHECK, [&origin])));
    origin.hold("/held");
    let mut client = Http2::connect(lbd.addr());
    assert_eq!(client.get("/").status, StatusCode::OK);
    assert_eq!(client.takes_at_once(), 100);
    let held: Vec<_> = (0..99).map(|_| client.ask(Method::GET, "/held")).collect();
    eventually("all are in flight", || is(origin.in_flight(), 99));
    assert_eq!(client.get("/").text(), "a");
    // The answer may be here before lbd knows that it is out.
    eventually("the others are sessions", || {
        is(lbd.server("app/a").sessions, 99)
    });
    assert_eq!(lbd.status().frontends[0].connections, 1);
    origin.release();
    for stream in held {
        assert_eq!(stream.response().text(), "a");
    }
    drop(client);
    nothing_is_left(&lbd);
}

#[test]
fn trailers_and_informational_responses_pass() {
    let origin = RawOrigin::start(|peer| {
        let head = peer.head();
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        assert!(head.contains("te: trailers\r\n"), "{head}");
        peer.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
        let body = peer.until(b"\r\n\r\n");
        assert_eq!(body, b"3\r\nabc\r\n0\r\nsum: 1\r\n\r\n");
        peer.send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: sum\r\nkeep-alive: x\r\n\r\n\
             2\r\nhi\r\n0\r\nsum: 2\r\n\r\n",
        );
    });
    let lbd = Lbd::start(h2c(&app_at(NO_CHECK, [("s", origin.addr())])));
    let mut client = Http2::connect(lbd.addr());
    let asked = request_with(Method::POST, "/", &[("te", "trailers")]);
    let mut stream = client.open(asked);
    let (status, hints) = stream.informed();
    assert_eq!(status.as_u16(), 103);
    assert_eq!(hints["link"], "</a>");
    stream.send(b"abc", false);
    let mut trailers = HeaderMap::new();
    trailers.insert("sum", HeaderValue::from_static("1"));
    stream.send_trailers(trailers);
    let response = stream.response();
    assert_eq!(response.text(), "hi");
    assert_eq!(response.trailers.expect("there are some")["sum"], "2");
    assert!(!response.headers.contains_key("keep-alive"));
    assert!(!response.headers.contains_key("transfer-encoding"));
}

#[test]
fn a_stop_says_goodbye_and_finishes_streams() {
    let origin = Origin::start("a");
    let mut lbd = Lbd::start(h2c(&app(NO_CHECK, [&origin])));
    origin.hold("/held");
    let (mut idle, mut busy) = (Http2::connect(lbd.addr()), Http2::connect(lbd.addr()));
    assert_eq!(idle.get("/").status, StatusCode::OK);
    let held = busy.ask(Method::GET, "/held");
    eventually("it is in flight", || is(origin.in_flight(), 1));
    lbd.signal(Signal::TERM);
    assert_eq!(idle.ended(), None);
    eventually("no new stream is taken", || {
        match busy.try_open(request(Method::GET, "/"), true) {
            Err(_) => Ok(()),
            Ok(_) => Err("it takes one"),
        }
    });
    origin.release();
    assert_eq!(held.response().text(), "a");
    assert_eq!(busy.ended(), None);
    assert_eq!(lbd.stop(), Some(0));
}

#[test]
fn a_stop_does_not_wait_for_who_is_idle_and_acknowledges_nothing() {
    let origin = Origin::start("a");
    let setup = Setup::new(h2c(&app(NO_CHECK, [&origin]))).global("shutdown_timeout = \"30s\"");
    let mut lbd = setup.start();
    let mut idle = Wire::connect(lbd.addr());
    idle.send(PREFACE).send(frame(SETTINGS, 0, 0, b""));
    idle.bytes(9).expect("it greets");
    assert_eq!(lbd.stop(), Some(0));
    let log = lbd.log();
    assert!(!log.contains("stopped by shutdown_timeout"), "{log}");
    drop(idle);
}

#[test]
fn a_removed_listener_says_goodbye_and_finishes_streams() {
    let origin = Origin::start("a");
    let config = h2c(&app(NO_CHECK, [&origin]));
    let mut lbd = Lbd::start(&*config);
    origin.hold("/held");
    let mut client = Http2::connect(lbd.addr());
    let held = client.ask(Method::GET, "/held");
    eventually("it is in flight", || is(origin.in_flight(), 1));
    lbd.rewrite(
        config
            .replace("frontend.web", "frontend.other")
            .replace(":0\"", ":00\""),
    );
    lbd.rewrite(config.replace("127.0.0.1:0", "127.0.0.2:0"));
    assert_eq!(lbd.reload().code, Some(0));
    eventually("no new stream is taken", || {
        match client.try_open(request(Method::GET, "/"), true) {
            Err(_) => Ok(()),
            Ok(_) => Err("it takes one"),
        }
    });
    origin.release();
    assert_eq!(held.response().text(), "a");
    assert_eq!(client.ended(), None);
}

fn idle_ends_soon(origin: &Origin) -> String {
    let [idle, head] = ["keep_alive", "request"].map(silence);
    let app = h2c(&app(NO_CHECK, [origin]));
    format!("[defaults.timeouts]\n{idle}\n{head}\n{app}")
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(idle_ends_soon(&origin));
    let mut client = Http2::connect(lbd.addr());
    assert_eq!(client.get("/").status, StatusCode::OK);
    assert_eq!(client.ended(), None);
    // Nor does anything stay of who says nothing, or only how it begins.
    for begins in [&b""[..], &PREFACE[..10], PREFACE] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(begins);
        assert_eq!(wire.rest().1, End::Eof, "after {begins:?}");
    }
    nothing_is_left(&lbd);
}

#[test]
fn a_request_waits_longer_than_an_idle_connection_may() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(idle_ends_soon(&origin));
    let mut client = Http2::connect(lbd.addr());
    assert_eq!(client.get("/slow?ms=3500").status, StatusCode::OK);
}

#[test]
fn what_the_access_log_says_of_a_stream_is_what_was_asked() {
    let origin = Origin::start("a");
    let setup = Setup::new(h2c(&app(NO_CHECK, [&origin])));
    let log = setup.folder().join("access.log");
    let lbd = setup
        .global(&format!("access_log = {{ path = {log:?} }}"))
        .start();
    let mut client = Http2::connect(lbd.addr());
    assert_eq!(client.get("/bytes?n=1000").body.len(), 1000);
    let lines = lb_tests::access_log::wait_for_lines(&log, 1);
    drop(client);
    assert_eq!(get(lbd.addr(), "/").status, 200);
    // One line each.
    lb_tests::access_log::wait_for_lines(&log, 2);
    let line = lb_tests::access_log::Line::parse(&lines[0]);
    assert_eq!(line.request, "GET http://t/bytes?n=1000 HTTP/2.0");
    assert!((1001..1400).contains(&line.bytes), "{}", line.bytes);
}

#[test]
fn https_redirect_and_routes_know_the_authority() {
    let origin = Origin::start("a");
    let config = h2c(&app(NO_CHECK, [&origin])).replace(
        "default_backend = \"app\"",
        "routes = [\n\
         { host = \"t\", path = \"/app\", backend = \"app\" },\n\
         { host = \"t\", redirect = { to = \"https://new{path}{query}\" } },\n]",
    );
    let lbd = Lbd::start(config);
    let mut client = Http2::connect(lbd.addr());
    assert_eq!(client.get("/app").text(), "a");
    let moved = client.get("/x?y");
    assert!(moved.status.is_redirection());
    assert_eq!(moved.headers["location"], "https://new/x?y");
    let mut other = request(Method::GET, "/app");
    *other.uri_mut() = Uri::from_static("http://other/app");
    let stream = client.try_open(other, true).expect("it takes a stream");
    let lost = stream.response();
    assert_eq!(lost.status, StatusCode::NOT_FOUND);
    assert_eq!(lost.headers["content-length"], lost.body.len().to_string());
    assert!(!lost.headers.contains_key("connection"));
}

#[test]
fn a_stalled_client_does_not_hold_others_up() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(h2c(&app(NO_CHECK, [&origin])));
    let mut builder = Builder::new();
    builder.initial_connection_window_size(1 << 24);
    let mut client = Http2::connect_as(lbd.addr(), &builder);
    // Nobody reads it, so its window is soon full.
    let mut stalled = client.ask(Method::GET, "/bytes?n=10000000");
    let (status, headers) = stalled.head().expect("a head");
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
    let rest = stalled.rest(status, headers);
    assert!(rest.body == pattern(10_000_000));
}

#[test]
fn informational_responses_that_come_with_the_answer_pass_too() {
    let origin = RawOrigin::answering(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    );
    let lbd = Lbd::start(h2c(&app_at(NO_CHECK, [("s", origin.addr())])));
    let mut client = Http2::connect(lbd.addr());
    let mut stream = client.ask(Method::GET, "/");
    assert_eq!(stream.informed().0.as_u16(), 103);
    assert_eq!(stream.response().status, StatusCode::OK);
}
