//! How streams end before their time: what the client is told, and what the access log says.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use h2::Reason;
use hyper::{Method, StatusCode};
use lb_tests::config::silence;
use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::eventually::LIMIT;
use lb_tests::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, fields, frame, get_fields, request, request_with,
};
use lb_tests::port::Port;
use lb_tests::wire::End;
use lb_tests::{Http2, Lbd, Origin, RawOrigin, Wire, eventually, is};

use crate::http2::{h2c, nothing_is_left};
use crate::logged::{Logging, both};

fn one_server(address: SocketAddr, timeouts: &str) -> String {
    let app = h2c(&app_at(NO_CHECK, [("s", address)]));
    format!("[defaults.timeouts]\n{timeouts}\n{app}")
}

fn client(log: &Logging) -> Http2 {
    Http2::connect(log.addr())
}

#[test]
fn no_server_is_503() {
    let refused = Port::new();
    both(&one_server(refused.addr(), "connect = \"500ms\""), |log| {
        let response = client(log).get("/");
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers["retry-after"], "5");
        log.says("503 SC-- 00--0 app/s 3");
    });
}

#[test]
fn a_silent_server_is_504() {
    let silent = RawOrigin::start(|peer| {
        peer.head();
        peer.closed();
    });
    both(&one_server(silent.addr(), "server = \"100ms\""), |log| {
        assert_eq!(client(log).get("/").status, StatusCode::GATEWAY_TIMEOUT);
        log.says("504 sH-- 000-0 app/s 0");
    });
}

#[test]
fn what_is_no_response_is_502() {
    let origin = RawOrigin::answering("nonsense\r\n\r\n");
    both(&one_server(origin.addr(), ""), |log| {
        assert_eq!(client(log).get("/").status, StatusCode::BAD_GATEWAY);
        log.says("502 SH-- 000-0 app/s 0");
    });
}

#[test]
fn a_response_that_is_cut_is_a_reset_after_what_came() {
    for came in ["some", ""] {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
        let origin = RawOrigin::answering([head, came].concat());
        both(&one_server(origin.addr(), ""), |log| {
            let response = client(log).get("/");
            assert_eq!(response.text(), came);
            assert_eq!(response.cut, Some(Reason::INTERNAL_ERROR));
            log.says("200 SD-- 00000 app/s 0");
        });
    }
}

#[test]
fn a_server_that_falls_silent_is_a_reset() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
        peer.closed();
    });
    both(&one_server(origin.addr(), &silence("server")), |log| {
        let response = client(log).get("/");
        assert_eq!(
            (response.text(), response.cut.is_some()),
            ("some".into(), true)
        );
        log.says("200 sD-- 00000 app/s 0");
    });
}

#[test]
fn who_takes_no_more_of_an_answer_is_reset() {
    let origin = Origin::start("s");
    both(&one_server(origin.addr(), &silence("client")), |log| {
        let mut client = client(log);
        let mut stream = client.ask(Method::GET, "/bytes?n=1000000");
        let (status, headers) = stream.head().expect("a head");
        log.says("200 cD-- 00000 app/s 0");
        let rest = stream.rest(status, headers);
        assert_eq!(rest.cut, Some(Reason::CANCEL));
        assert_eq!(client.get("/").status, StatusCode::OK);
        log.says("200 ---- 00000 app/s 0");
    });
}

#[test]
fn who_sends_no_more_of_a_body_is_told() {
    let origin = Origin::start("s");
    both(&one_server(origin.addr(), "client = \"100ms\""), |log| {
        let mut client = client(log);
        let mut stream = client.open(request(Method::POST, "/echo"));
        stream.send(b"some", false);
        assert_eq!(stream.response().status, StatusCode::REQUEST_TIMEOUT);
        log.says("408 cH-- 000-0 app/s 0");
    });
}

#[test]
fn who_resets_a_stream_ends_its_request() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        if peer.nth() % 2 == 1 {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
        }
        assert_ne!(peer.closed(), End::Silence);
    });
    both(&one_server(origin.addr(), ""), |log| {
        let mut client = client(log);
        for (flags, answers) in [("-1 CH-- 000-0", false), ("200 CD-- 00000", true)] {
            let before = origin.connections();
            let mut stream = client.ask(Method::GET, "/");
            eventually("it has come to the server", || {
                is(origin.connections(), before + 1)
            });
            if answers {
                stream.head().expect("a head");
                assert_eq!(stream.bytes(4), b"some");
            } else {
                let served = log.lbd.server("app/s").sessions;
                assert_eq!(served, 1);
            }
            stream.reset();
            log.says(&format!("{flags} app/s 0"));
        }
        drop(client);
        nothing_is_left(&log.lbd);
    });
}

#[test]
fn who_closes_ends_all_its_requests() {
    let origin = Origin::start("s");
    both(&one_server(origin.addr(), ""), |log| {
        origin.hold("/held");
        let mut client = client(log);
        let streams: Vec<_> = (0..3).map(|_| client.ask(Method::GET, "/held")).collect();
        eventually("they are in flight", || is(origin.in_flight(), 3));
        drop((streams, client));
        log.says_times(3, "-1 CH-- 000-0 app/s 0");
        origin.release();
        nothing_is_left(&log.lbd);
    });
}

#[test]
fn bad_requests_are_refused_and_the_connection_goes_on() {
    let origin = Origin::start("s");
    both(&one_server(origin.addr(), ""), |log| {
        let mut client = client(log);
        let other_host = request_with(Method::GET, "/", &[("host", "other")]);
        let stream = client
            .try_open(other_host, true)
            .expect("it takes a stream");
        assert_eq!(stream.response().status, StatusCode::BAD_REQUEST);
        log.says("400 PR-- 0---0 web/<NOSRV> 0");

        let same_host = request_with(Method::GET, "/", &[("host", "T")]);
        let stream = client.try_open(same_host, true).expect("it takes a stream");
        assert_eq!(stream.response().status, StatusCode::OK);
        log.says("200 ---- 00000 app/s 0");

        let large = request_with(Method::GET, "/", &[("x", &"x".repeat(20_000))]);
        let stream = client.try_open(large, true).expect("it takes a stream");
        let response = stream.response();
        assert_eq!(response.status.as_u16(), 431);
        assert!(response.text().starts_with("431"));
        log.says("431 PR-- ----0 web/<NOSRV> 0");

        let long = request(Method::GET, &format!("/{}", "x".repeat(13_000)));
        let stream = client.try_open(long, true).expect("it takes a stream");
        assert_eq!(stream.response().status, StatusCode::URI_TOO_LONG);
        log.says("414 PR-- ----0 web/<NOSRV> 0");
        assert_eq!(client.get("/").status, StatusCode::OK);
    });
}

/// A connection on which single frames are sent.
fn greeted(lbd: &Lbd) -> Wire {
    let mut wire = Wire::connect(lbd.addr());
    wire.send(PREFACE).send(frame(SETTINGS, 0, 0, b""));
    wire
}

#[test]
fn connect_is_not_offered() {
    let origin = Origin::start("s");
    let mut log = Logging::start("text", &one_server(origin.addr(), ""));
    let mut wire = greeted(&log.lbd);
    let block = fields(&[(":method", "CONNECT"), (":authority", "a.test:443")]);
    wire.send(frame(HEADERS, END_HEADERS, 1, &block));
    log.says("405 PR-- 0---0 web/<NOSRV> 0");
}

#[test]
fn a_head_that_does_not_come_whole_in_time_ends_the_connection() {
    let origin = Origin::start("s");
    both(&one_server(origin.addr(), &silence("request")), |log| {
        let mut wire = greeted(&log.lbd);
        wire.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &get_fields()));
        log.says("200 ---- 00000 app/s 0");
        wire.send(frame(HEADERS, END_STREAM, 3, &get_fields()));
        log.says("-1 cR-- ----0 web/<NOSRV> 0");
        assert_eq!(wire.rest().1, End::Eof);
    });
}

#[test]
fn who_leaves_in_the_middle_of_a_head_has_a_line() {
    let origin = Origin::start("s");
    both(&one_server(origin.addr(), ""), |log| {
        let mut wire = greeted(&log.lbd);
        wire.send(&frame(HEADERS, END_STREAM, 1, &get_fields())[..12]);
        eventually("lbd has it", || {
            is(log.lbd.status().frontends[0].connections, 1)
        });
        drop(wire);
        log.says("-1 CR-- ----0 web/<NOSRV> 0");
    });
}

#[test]
fn who_takes_back_what_it_asks_for_is_told_to_calm_down() {
    let origin = Origin::start("s");
    let lbd = Lbd::start(h2c(&app(NO_CHECK, [&origin])));
    let mut wire = greeted(&lbd);
    let mut sent = 0;
    for stream in (1..200_000).step_by(2) {
        let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, &get_fields());
        let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        if wire.try_send([head, reset].concat()).is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 99_999, "all of them were taken");
    assert_eq!(Http2::connect(lbd.addr()).get("/").status, StatusCode::OK);
    nothing_is_left(&lbd);
    assert!(origin.requests() < 5_000, "{}", origin.requests());
}

#[test]
fn floods_of_small_frames_end_the_connection() {
    let origin = Origin::start("s");
    origin.hold("/");
    let lbd = Lbd::start(h2c(&app(NO_CHECK, [&origin])));
    let post = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "t"),
        (":path", "/echo"),
    ]);
    let continuation = (
        HEADERS,
        0,
        frame(CONTINUATION, 0, 1, &fields(&[("a", "b")])),
    );
    let empty_data = (HEADERS, END_HEADERS, frame(DATA, 0, 1, b""));
    for (kind, flags, flood) in [continuation, empty_data] {
        let mut wire = greeted(&lbd);
        wire.send(frame(kind, flags, 1, &post));
        let flood = flood.repeat(1000);
        let ended = (0..10_000).any(|_| wire.try_send(&flood).is_err());
        assert!(ended, "all of it was taken");
    }
    origin.release();
    nothing_is_left(&lbd);
}

/// Frames that are no part of a request, which a client may send at any time.
#[test]
fn floods_of_frames_beside_requests_end_the_connection() {
    const PRIORITY: u8 = 2;
    const UNKNOWN: u8 = 0x42;
    let origin = Origin::start("s");
    let mut log = Logging::start("text", &one_server(origin.addr(), ""));
    for flood in [
        frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        frame(PING, 1, 0, &[8; 8]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(UNKNOWN, 0, 0, b""),
    ] {
        let mut wire = greeted(&log.lbd);
        let flood = flood.repeat(1000);
        let ended = (0..10_000).any(|_| wire.try_send(&flood).is_err());
        assert!(ended, "all of it was taken");
        log.says("-1 PR-- ----0 web/<NOSRV> 0");
    }
    nothing_is_left(&log.lbd);
}

#[test]
fn a_client_that_reads_nothing_costs_little_and_not_for_ever() {
    let origin = Origin::start("s");
    let mut log = Logging::start("text", &one_server(origin.addr(), "client = \"300ms\""));
    let mut wire = greeted(&log.lbd);
    // Windows as large as can be, and a socket from which nobody reads.
    let large = frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    wire.send(large)
        .send(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xfe, 0, 0]));
    let block = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "t"),
        (":path", "/bytes?n=100000000"),
    ]);
    for stream in (1..20).step_by(2) {
        wire.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block));
    }
    log.says_times(10, "200 cD-- 00000 app/s 0");
    eventually("no session is left", || {
        is(log.lbd.server("app/s").sessions, 0)
    });
}

/// Neither pings nor what they are answered keep a connection that was told to go.
#[test]
fn who_only_pings_is_closed_in_time_and_fills_no_log() {
    let origin = Origin::start("s");
    let lbd = Lbd::start(one_server(origin.addr(), "request = \"500ms\""));
    let mut wire = greeted(&lbd);
    let pings = [frame(PING, 0, 0, &[7; 8]), frame(PING, 1, 0, &[8; 8])].concat();
    let began = Instant::now();
    while wire.try_send(&pings).is_ok() {
        assert!(began.elapsed() < LIMIT, "it is still there");
        thread::sleep(Duration::from_millis(50));
    }
    nothing_is_left(&lbd);
    assert!(!lbd.log().contains("PING"), "{}", lbd.log());
}

#[test]
fn an_answer_before_a_goodbye_is_whole() {
    let origin = Origin::start("s");
    both(&one_server(origin.addr(), ""), |log| {
        let mut wire = greeted(&log.lbd);
        let asked = frame(HEADERS, END_STREAM | END_HEADERS, 1, &get_fields());
        wire.send([asked, frame(GOAWAY, 0, 0, &[0; 8])].concat());
        assert_eq!(wire.rest().1, End::Eof);
        log.says("200 ---- 00000 app/s 0");
    });
}
