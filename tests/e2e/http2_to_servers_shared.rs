//! Connections of HTTP/2 to servers: how many there are, who shares them, and when they are given up.

use hyper::{Method, StatusCode};
use lb_tests::daemon::NO_CHECK;
use lb_tests::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Http2, PREFACE, SETTINGS, Stream, frame, request_with,
};
use lb_tests::pattern::pattern;
use lb_tests::wire::{get, request};
use lb_tests::{Http2Origin, Lbd, RawOrigin, Setup, Wire, eventually, is};

use crate::http2::{h2c, nothing_is_left};
use crate::http2_to_servers::config;
use crate::http2_to_servers_ends::{goaway, on_one_thread};
use crate::http2_to_servers_rules::{OK, begun};

#[test]
fn many_streams_share_a_connection_and_none_waits_for_another() {
    const EACH: usize = 600_000;
    let origin = Http2Origin::start(|asked| match asked.head.uri.path() {
        "/held" => drop(asked.body()),
        _ => {
            asked.answer(200, &[], false);
            asked.send(pattern(EACH));
            asked.finish();
        }
    });
    let config = h2c(&config(NO_CHECK, origin.addr()));
    let lbd = Setup::new(config).global("threads = 1").start();
    let mut client = Http2::connect(lbd.addr());
    // Nobody takes what comes on these, and they hold nobody up.
    let mut slow: Vec<_> = (0..30).map(|_| client.ask(Method::GET, "/slow")).collect();
    for stream in &mut slow {
        assert_eq!(stream.head().expect("it is answered").0, StatusCode::OK);
    }
    let mut held = client.open(request_with(Method::POST, "/held", &[]));
    for _ in 0..3 {
        let mut wire = Wire::connect(lbd.addr());
        let response = wire.send(request("GET", "/fast")).response();
        assert!(response.body == pattern(EACH));
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(lbd.server("app/a").sessions, 31);
    held.send(b"x", false);
    drop((slow, held, client));
    nothing_is_left(&lbd);
}

#[test]
fn as_many_streams_go_on_a_connection_as_the_server_takes() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(3);
    let origin = Http2Origin::start_as(builder, |asked| {
        asked.body();
        asked.respond(200, "a");
    });
    let lbd = on_one_thread(h2c(&config(NO_CHECK, origin.addr())));
    let mut client = Http2::connect(lbd.addr());
    let mut open: Vec<_> = (0..90)
        .map(|_| client.open(request_with(Method::POST, "/", &[])))
        .collect();
    eventually("all are asked", || is(origin.streams(), 90));
    assert_eq!(origin.connections(), 30);
    open.iter_mut().for_each(Stream::finish);
    for stream in open {
        assert_eq!(stream.response().text(), "a");
    }
    assert_eq!(client.get("/").text(), "a");
    assert_eq!(origin.connections(), 30);

    // Nobody waits for a connection that is never of use.
    let none = RawOrigin::start(|peer| {
        peer.bytes(PREFACE.len());
        peer.send(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]));
        peer.closed();
    });
    let lbd = Lbd::start(config(&format!("{NO_CHECK}\nretries = 0"), none.addr()));
    assert_eq!(get(lbd.addr(), "/").status, 503);
    lbd.wait_for_log("SETTINGS_MAX_CONCURRENT_STREAMS is 0");
    let leaves = RawOrigin::start(|peer| {
        peer.bytes(PREFACE.len());
        peer.send([frame(SETTINGS, 0, 0, &[]), goaway(0, 0)].concat());
        peer.closed();
    });
    let lbd = Lbd::start(config(&format!("{NO_CHECK}\nretries = 0"), leaves.addr()));
    assert_eq!(get(lbd.addr(), "/").status, 503);
    nothing_is_left(&lbd);
}

#[test]
fn many_at_once_open_few_connections() {
    let origin = Http2Origin::start(|asked| {
        asked.body();
        asked.respond(200, "a");
    });
    let lbd = on_one_thread(config(NO_CHECK, origin.addr()));
    let mut wires: Vec<_> = (0..250).map(|_| Wire::connect(lbd.addr())).collect();
    for wire in &mut wires {
        wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\n\r\n");
    }
    eventually("all are asked", || is(origin.streams(), 250));
    assert!(
        (3..=5).contains(&origin.connections()),
        "{}",
        origin.connections()
    );
    for wire in &mut wires {
        assert_eq!(wire.send("x").response().status, 200);
    }
}

#[test]
fn a_down_server_or_another_configuration_leaves_its_connections() {
    let origin = Http2Origin::named("a");
    let mut lbd = on_one_thread(config(NO_CHECK, origin.addr()));
    let mut wire = Wire::connect(lbd.addr());
    let mut ask = || wire.send(request("GET", "/")).response().status;
    assert_eq!([ask(), ask()], [200; 2]);
    assert_eq!(origin.connections(), 1);
    lbd.lbctl(["maint", "app/a"]).exits(0);
    eventually("the connection is closed", || {
        is(origin.open_connections(), 0)
    });
    lbd.lbctl(["ready", "app/a"]).exits(0);
    assert_eq!(ask(), 200);
    assert_eq!(origin.connections(), 2);
    lbd.rewrite_with(|config| {
        config
            .replace("retries = 1", "")
            .replace("protocol", "retries = 1\nprotocol")
    });
    lbd.reload().exits(0);
    assert_eq!(ask(), 200);
    assert_eq!(origin.connections(), 2);
    lbd.rewrite_with(|config| config.replace("protocol = \"h2\"", "protocol = \"http1\""));
    lbd.reload().exits(0);
    assert_eq!(ask(), 502);
}

#[test]
fn where_a_server_is_told_whose_a_connection_is_it_is_nobody_elses() {
    let origin = RawOrigin::start(|peer| {
        let line = peer.until(b"\r\n");
        assert!(line.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "));
        assert_eq!(peer.bytes(PREFACE.len()), PREFACE);
        peer.send(frame(SETTINGS, 0, 0, &[]));
        while let Some(stream) = begun(peer) {
            peer.send(frame(HEADERS, END_HEADERS, stream, OK));
            peer.send(frame(DATA, END_STREAM, stream, &line));
        }
    });
    let config = h2c(&config(NO_CHECK, origin.addr()));
    let config = config.replace("\" },\n]", "\", send_proxy = \"v1\" },\n]");
    let lbd = on_one_thread(config);
    let mut client = Http2::connect(lbd.addr());
    let first = client.get("/").text();
    let streams: Vec<_> = (0..10).map(|_| client.ask(Method::GET, "/")).collect();
    for stream in streams {
        assert_eq!(stream.response().text(), first);
    }
    assert_eq!(origin.connections(), 1);
    let mut wire = Wire::connect(lbd.addr());
    let port = wire.local_addr().port().to_string();
    let second = wire.send(request("GET", "/")).response().text();
    assert!(second.contains(&format!(" {port} ")), "{second}");
    assert_ne!(first, second);
    assert_eq!(origin.connections(), 2);
    drop((wire, client));
    nothing_is_left(&lbd);
}
