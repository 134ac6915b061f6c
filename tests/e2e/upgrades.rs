//! Upgrades: a connection that goes over to another protocol is a tunnel, and a session until it
//! closes.

use lb_tests::config::silence;
use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::wire::{End, request};
use lb_tests::{Lbd, RawOrigin, Wire, eventually, is};

use crate::explain::explain;

const ASKED: &str = "GET /chat HTTP/1.1\r\nhost: t\r\nconnection: keep-alive, Upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-key: x\r\n\r\n";

const GRANTED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-accept: y\r\n\r\n";

/// Grants the upgrade and sends back what it is sent, until its peer ends.
fn echo() -> RawOrigin {
    RawOrigin::start(|peer| {
        let head = peer.head();
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        assert!(head.contains("connection: upgrade\r\n"), "{head}");
        peer.send([GRANTED, "hello"].concat());
        loop {
            let piece = peer.bytes(4);
            if piece.len() < 4 {
                peer.send([&piece[..], b"bye"].concat());
                return;
            }
            peer.send(piece);
        }
    })
}

fn sessions(lbd: &Lbd) -> u64 {
    lbd.server("app/s").sessions
}

#[test]
fn a_granted_upgrade_is_a_tunnel_and_a_session_until_it_closes() {
    let origin = echo();
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send(ASKED);
    let granted = wire.head().expect("a head");
    assert_eq!(granted.status, 101);
    assert_eq!(granted.header("upgrade"), Some("websocket"));
    assert_eq!(granted.header("sec-websocket-accept"), Some("y"));
    assert!(granted.has("connection", "upgrade"));
    assert_eq!(wire.bytes(5).expect("sent with the head"), b"hello");
    for message in [b"ping", b"pong"] {
        wire.send(message);
        assert_eq!(wire.bytes(4).expect("an echo"), message);
    }
    assert_eq!(sessions(&lbd), 1);
    let kinds = || explain(&lbd, "app/s").sessions;
    assert_eq!((kinds().requests, kinds().tunnels), (0, 1));
    let out = lbd.lbctl(["drain", "app/s", "--no-wait"]);
    assert_eq!(out.code, Some(0));
    wire.send("ping");
    assert_eq!(wire.bytes(4).expect("an echo in drain"), b"ping");
    wire.send("en").finish();
    assert_eq!(wire.rest(), (b"enbye".to_vec(), End::Eof));
    eventually("the session has ended", || is(sessions(&lbd), 0));
    assert_eq!((kinds().requests, kinds().tunnels), (0, 0));
}

#[test]
fn what_a_client_sends_before_the_answer_is_passed_on_after_it() {
    let origin = echo();
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send([ASKED, "GET "].concat()).send("/ HT");
    assert_eq!(wire.head().expect("a head").status, 101);
    assert_eq!(wire.bytes(13).expect("an echo"), b"helloGET / HT");
}

#[test]
fn a_refused_upgrade_is_a_plain_answer_and_the_connection_goes_on() {
    let origin = RawOrigin::start(|peer| {
        for status in ["403 Forbidden", "200 OK"] {
            peer.head();
            peer.send(format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno"));
        }
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(wire.send(ASKED).response().status, 403);
    let second = wire.send(request("GET", "/")).response();
    assert_eq!((second.status, second.text().as_str()), (200, "no"));
    assert_eq!(origin.connections(), 1, "the server's connection was kept");
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_502() {
    for asked in [
        request("GET", "/"),
        "GET / HTTP/1.1\r\nhost: t\r\nupgrade: websocket\r\n\r\n".into(),
        "GET / HTTP/1.0\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".into(),
    ] {
        let origin = RawOrigin::answering(GRANTED);
        let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
        let answer = Wire::connect(lbd.addr()).send(&asked).response();
        assert_eq!(answer.status, 502, "{asked}");
        eventually("no session is left", || is(sessions(&lbd), 0));
    }
}

#[test]
fn a_tunnel_ends_with_either_side() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send(GRANTED);
        match peer.bytes(5).as_slice() {
            b"close" => {}
            b"reset" => peer.reset(),
            _ => {
                peer.closed();
            }
        }
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    for word in ["close", "reset", "abort"] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(ASKED);
        assert_eq!(wire.head().expect("a head").status, 101);
        wire.send(word);
        match word {
            "abort" => wire.abort(),
            _ => {
                assert!(wire.rest().0.is_empty());
                drop(wire);
            }
        }
        eventually("the session has ended", || is(sessions(&lbd), 0));
    }
}

#[test]
fn a_silent_tunnel_ends_after_its_timeout() {
    let origin = echo();
    let lines = format!("{NO_CHECK}\ntimeouts = {{ {} }}", silence("tunnel"));
    let lbd = Lbd::start(app_at(&lines, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send(ASKED);
    assert_eq!(wire.head().expect("a head").status, 101);
    assert_eq!(wire.rest().0, b"hello");
    eventually("the session has ended", || is(sessions(&lbd), 0));
}

#[test]
fn a_tunnels_bytes_are_counted_while_it_is_open() {
    let origin = echo();
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send(ASKED);
    assert_eq!(wire.head().expect("a head").status, 101);
    wire.bytes(5).expect("hello");
    let counted = || (lbd.server("app/s").bytes_in, lbd.server("app/s").bytes_out);
    let before = counted();
    wire.send("0123456789ab");
    wire.bytes(12).expect("an echo");
    eventually("they are counted", || {
        is(counted(), (before.0 + 12, before.1 + 12))
    });
}

#[test]
fn a_client_that_stays_when_the_server_has_closed_is_not_waited_for_as_long_as_a_tunnel() {
    let origin = RawOrigin::answering(GRANTED);
    let app = app_at(NO_CHECK, [("s", origin.addr())]);
    let lbd = Lbd::start(format!("[defaults.timeouts]\nclient = \"300ms\"\n{app}"));
    let mut wire = Wire::connect(lbd.addr());
    wire.send(ASKED);
    assert_eq!(wire.head().expect("a head").status, 101);
    eventually("the session has ended", || is(sessions(&lbd), 0));
    assert!(wire.rest().0.is_empty());
}
