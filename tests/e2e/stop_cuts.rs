//! Sessions that a stop cuts at `shutdown_timeout`: each has its line in the access log, with what it
//! was at and what its client got.

use hyper::Method;
use lb_tests::access_log::Line;
use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::wire::request;
use lb_tests::{Http2, Origin, RawOrigin, eventually, held, is};

use crate::http2::h2c;
use crate::logged::Logging;
use crate::tcp::{echo, one};

const SHORT: &str = "shutdown_timeout = \"300ms\"\n";

fn start(config: &str) -> Logging {
    Logging::start_with(SHORT, "text", config)
}

#[track_caller]
fn cut(log: &mut Logging) {
    assert_eq!(log.lbd.stop(), Some(0));
    let told = log.lbd.log();
    assert!(told.contains("sessions were cut"), "{told}");
}

#[test]
fn those_that_wait_for_an_answer_or_for_room() {
    let origin = Origin::start("a");
    let config = app(NO_CHECK, [&origin]).replace(" },\n", ", max_connections = 1 },\n");
    // Of two threads one may be the first to cut, and make room for who waits on the other.
    let one_thread = format!("threads = 1\n{SHORT}");
    let mut log = Logging::start_with(&one_thread, "text", &config);
    let mut held = held::one(log.addr(), &origin);
    let mut queued = log.wire();
    queued.send(request("GET", "/held"));
    eventually("one waits", || is(log.lbd.status().backends[0].queued, 1));
    cut(&mut log);
    let mut flags: Vec<_> = log
        .lines()
        .iter()
        .map(|line| Line::parse(line))
        .map(|line| (line.flags.clone(), line.shape(), line.status, line.server))
        .collect();
    flags.sort();
    let wanted = |flags: &str, timers: &str, server: &str| {
        (flags.to_owned(), timers.to_owned(), -1, server.to_owned())
    };
    let answer = wanted("KH--", "000-0", "app/a");
    assert_eq!(flags, [answer, wanted("KQ--", "00--0", "app/<NOSRV>")]);
    for wire in [&mut held, &mut queued] {
        assert!(
            wire.try_response("GET").is_err(),
            "nobody can have answered"
        );
    }
    assert_eq!(origin.requests_of("GET", "/held"), 1);
}

#[test]
fn each_of_many_on_every_thread() {
    const MANY: usize = 50;
    let origin = Origin::start("a");
    let two_threads = format!("threads = 2\n{SHORT}");
    let mut log = Logging::start_with(&two_threads, "text", &app(NO_CHECK, [&origin]));
    origin.hold("/held");
    let _held: Vec<_> = (0..MANY)
        .map(|_| {
            let mut wire = log.wire();
            wire.send(request("GET", "/held"));
            wire
        })
        .collect();
    eventually("all are in flight", || is(origin.in_flight(), MANY as u64));
    cut(&mut log);
    log.says_times(MANY, "-1 KH-- 000-0 app/a 0");
}

#[test]
fn an_answer_in_its_midst() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
        peer.closed();
    });
    let mut log = start(&app_at(NO_CHECK, [("a", origin.addr())]));
    let mut wire = log.wire();
    wire.send(request("GET", "/"));
    wire.head().expect("the head has come");
    assert_eq!(wire.bytes(4).expect("half of it"), b"half");
    cut(&mut log);
    let line = Line::parse(&log.lines()[0]);
    assert!(line.bytes > 4, "{line:?}");
    log.says("200 KD-- 00000 app/a 0");
}

#[test]
fn a_head_in_its_midst() {
    let origin = Origin::start("a");
    let mut log = start(&app(NO_CHECK, [&origin]));
    let mut wire = log.wire();
    wire.send("GET / HTTP/1.1\r\nho");
    eventually("it is connected", || {
        is(log.lbd.status().frontends[0].connections, 1)
    });
    cut(&mut log);
    log.says("-1 KR-- ----0 web/<NOSRV> 0");
}

#[test]
fn a_websocket() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
        );
        peer.closed();
    });
    let mut log = start(&app_at(NO_CHECK, [("a", origin.addr())]));
    let mut wire = log.wire();
    wire.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(wire.head().expect("a head").status, 101);
    cut(&mut log);
    log.says("101 KD-- 00000 app/a 0");
}

#[test]
fn the_streams_of_a_connection() {
    let origin = Origin::start("a");
    let mut log = start(&h2c(&app(NO_CHECK, [&origin])));
    origin.hold("/held");
    let mut client = Http2::connect(log.addr());
    let _streams = [(); 3].map(|()| client.ask(Method::GET, "/held"));
    eventually("they are in flight", || is(origin.in_flight(), 3));
    cut(&mut log);
    log.says_times(3, "-1 KH-- 000-0 app/a 0");
}

#[test]
fn a_connection_of_mode_tcp() {
    let origin = RawOrigin::start(echo);
    let mut log = start(&one(&origin));
    let mut wire = log.wire();
    wire.send("x");
    assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    cut(&mut log);
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(" 1 KD "), "{lines:?}");
}
