//! What is tried again, where, and what never is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::port::{Port, SilentPort};
use lb_tests::wire::{Response, ask, get, request, upload};
use lb_tests::{Lbd, Origin, RawOrigin, Wire};

/// A server that does not work and one that does.
fn bad_and_good(bad: SocketAddr, good: &Origin, lines: &str) -> Lbd {
    let lines = format!("{NO_CHECK}\n{lines}");
    Lbd::start(app_at(&lines, [("bad", bad), ("good", good.addr())]))
}

/// Each on a connection of its own.
fn repeat(lbd: &Lbd, times: usize, bytes: impl AsRef<[u8]>) -> Vec<Response> {
    (0..times).map(|_| ask(lbd.addr(), &bytes)).collect()
}

fn with_status(responses: &[Response], status: u16) -> usize {
    responses.iter().filter(|r| r.status == status).count()
}

#[test]
fn a_refused_connect_is_retried_elsewhere_whatever_the_method() {
    let (dead, good) = (Port::new(), Origin::start("good"));
    let lbd = bad_and_good(dead.addr(), &good, "");
    for bytes in [
        request("GET", "/").into_bytes(),
        upload("POST", "/echo", b"hello"),
        b"PUT /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
    ] {
        let responses = repeat(&lbd, 20, &bytes);
        assert_eq!(with_status(&responses, 200), 20);
    }
    assert_eq!(good.requests(), 60);
    let bad = lbd.server("app/bad");
    assert!(bad.errors.connect > 0, "the refusals are not counted");
    assert_eq!(bad.sessions, 0);
}

#[test]
fn an_idempotent_request_that_got_no_byte_is_retried_elsewhere() {
    let closing = RawOrigin::answering("");
    let good = Origin::start("good");
    let lbd = bad_and_good(closing.addr(), &good, "");
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        for _ in 0..10 {
            let mut wire = Wire::connect(lbd.addr());
            let response = wire.send(request(method, "/")).try_response(method);
            assert_eq!(response.map(|r| r.status).ok(), Some(200), "{method}");
        }
    }
    assert_eq!(good.requests(), 40);
    assert!(closing.connections() > 0, "the bad server was never asked");
}

#[test]
fn a_post_that_was_sent_is_never_sent_again() {
    let closing = RawOrigin::answering("");
    let good = Origin::start("good");
    let lbd = bad_and_good(closing.addr(), &good, "");
    let responses = repeat(&lbd, 20, upload("POST", "/echo", b"hello"));
    assert_eq!(
        (with_status(&responses, 200), with_status(&responses, 502)),
        (10, 10)
    );
    assert_eq!((good.requests(), closing.connections()), (10, 10));
}

#[test]
fn a_response_that_has_begun_is_never_asked_for_again() {
    let broken = RawOrigin::answering("HTTP/1.1 2");
    let good = Origin::start("good");
    let lbd = bad_and_good(broken.addr(), &good, "");
    let responses = repeat(&lbd, 20, request("GET", "/"));
    assert_eq!(
        (with_status(&responses, 200), with_status(&responses, 502)),
        (10, 10)
    );
}

#[test]
fn without_redispatch_a_retry_stays_with_its_server() {
    let (dead, good) = (Port::new(), Origin::start("good"));
    let lbd = bad_and_good(dead.addr(), &good, "redispatch = false\nretries = 1");
    let responses = repeat(&lbd, 6, request("GET", "/"));
    assert_eq!(
        (with_status(&responses, 200), with_status(&responses, 503)),
        (3, 3)
    );
    assert_eq!(lbd.server("app/bad").errors.connect, 6);
}

#[test]
fn retries_is_how_often() {
    for retries in [0, 1, 3] {
        let dead = Port::new();
        let lines = format!("{NO_CHECK}\nretries = {retries}");
        let lbd = Lbd::start(app_at(&lines, [("bad", dead.addr())]));
        let responses = repeat(&lbd, 1, request("GET", "/"));
        assert_eq!(with_status(&responses, 503), 1);
        assert_eq!(lbd.server("app/bad").errors.connect, retries + 1);
    }
}

/// RFC 9112, 9.3.1: a server may close an idle connection at any time, and the request that meets
/// the close is sent again on a fresh one.
#[test]
fn a_pooled_connection_that_the_server_closed_fails_no_idempotent_request() {
    let closes_late = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    let lines = format!("{NO_CHECK}\nretries = 0");
    let lbd = Lbd::start(app_at(&lines, [("s", closes_late.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    for n in 0..500 {
        let response = wire.send(request("GET", "/")).response();
        assert_eq!(
            (response.status, response.text()),
            (200, "ok".into()),
            "request {n}"
        );
    }
}

/// The same where the close comes only when the next request is there: nobody could have seen it.
#[test]
fn a_close_that_meets_the_next_request_fails_no_idempotent_one() {
    let one_each = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        peer.head();
    });
    let lines = format!("{NO_CHECK}\nretries = 0");
    let lbd = Lbd::start(app_at(&lines, [("s", one_each.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    for n in 0..500 {
        let response = wire.send(request("GET", "/")).response();
        assert_eq!(
            (response.status, response.text()),
            (200, "ok".into()),
            "request {n}"
        );
    }
    let s = lbd.server("app/s");
    assert_eq!(
        (s.errors.connect, s.errors.response),
        (0, 0),
        "that is no error"
    );
    assert_eq!(s.sessions_total, 500, "a session was counted twice");
}

#[test]
fn each_attempt_has_the_whole_time_to_connect() {
    const EACH: Duration = Duration::from_millis(700);
    let ports = [SilentPort::new(), SilentPort::new()];
    let servers = [("a", ports[0].addr()), ("b", ports[1].addr())];
    let lines = format!("{NO_CHECK}\nretries = 1\ntimeouts = {{ connect = \"700ms\" }}");
    let lbd = Lbd::start(app_at(&lines, servers));
    let began = Instant::now();
    assert_eq!(get(lbd.addr(), "/").status, 503);
    assert!(began.elapsed() >= 2 * EACH, "{:?}", began.elapsed());
    for server in ["app/a", "app/b"] {
        assert_eq!(lbd.server(server).errors.connect, 1, "{server}");
    }
}
