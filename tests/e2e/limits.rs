//! What is bounded: head and target, the time for a head, client connections.

use std::net::SocketAddr;

use lb_tests::config::silence;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::{End, ask, request};
use lb_tests::{Lbd, Origin, Setup, Wire, eventually, is};

fn with_timeouts(origin: &Origin, timeouts: &str) -> Lbd {
    Lbd::start(format!(
        "[defaults.timeouts]\n{timeouts}\n{}",
        app(NO_CHECK, [origin])
    ))
}

#[test]
fn a_head_too_large_is_431_and_a_target_too_long_414() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let long = "x".repeat(256 * 1024);
    let many: String = (0..10_000).map(|n| format!("x-{n}: {n}\r\n")).collect();
    for (what, request, status) in [
        (
            "a long header",
            format!("GET / HTTP/1.1\r\nhost: t\r\nx: {long}\r\n\r\n"),
            431,
        ),
        (
            "many headers",
            format!("GET / HTTP/1.1\r\nhost: t\r\n{many}\r\n"),
            431,
        ),
        (
            "a long target",
            format!("GET /{long} HTTP/1.1\r\nhost: t\r\n\r\n"),
            414,
        ),
    ] {
        let mut wire = Wire::connect(lbd.addr());
        let response = wire.send(request).response();
        assert_eq!(response.status, status, "{what}");
        assert!(!response.keeps_alive(), "{what}");
        assert_ne!(wire.rest().1, End::Silence, "{what}: the connection stays");
    }
    assert_eq!(origin.connections(), 0);
    assert_eq!(ask(lbd.addr(), request("GET", "/")).status, 200);
}

#[test]
fn heads_of_the_usual_largest_size_pass() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let cookie = "c".repeat(7000);
    let target = format!("/echo?{}", "q".repeat(6000));
    let response = ask(
        lbd.addr(),
        format!("GET {target} HTTP/1.1\r\nhost: t\r\ncookie: {cookie}\r\n\r\n"),
    );
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["target"], target);
}

#[test]
fn a_head_that_comes_too_slowly_is_408() {
    let origin = Origin::start("a");
    let lbd = with_timeouts(&origin, &silence("request"));
    for begun in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: t\r\n"] {
        let mut wire = Wire::connect(lbd.addr());
        let response = wire.send(begun).response();
        assert_eq!(response.status, 408, "after {begun:?}");
        assert!(!response.keeps_alive(), "after {begun:?}");
        assert_eq!(wire.rest().1, End::Eof, "after {begun:?}");
    }
    // The same for the second request of a connection.
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(wire.send(request("GET", "/")).response().status, 200);
    assert_eq!(wire.send("GET /second HT").response().status, 408);
    assert_eq!(origin.requests_of("GET", "/second"), 0);
}

#[test]
fn an_idle_client_is_let_go_after_keep_alive_without_a_word() {
    let origin = Origin::start("a");
    let lbd = with_timeouts(&origin, &silence("keep_alive"));
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(wire.send(request("GET", "/")).response().status, 200);
    assert_eq!(wire.rest(), (Vec::new(), End::Eof));
}

/// Fills the limit of two connections, then lets a third wait for its turn.
fn assert_the_third_waits(lbd: &Lbd, addr: SocketAddr, origin: &Origin) {
    let mut first = Wire::connect(addr);
    let mut second = Wire::connect(addr);
    for wire in [&mut first, &mut second] {
        assert_eq!(wire.send(request("GET", "/")).response().status, 200);
    }
    let mut third = Wire::connect(addr);
    third.send(request("GET", "/third"));
    // Others go on meanwhile, any number of times.
    for _ in 0..200 {
        assert_eq!(first.send(request("GET", "/")).response().status, 200);
    }
    assert_eq!(
        origin.requests_of("GET", "/third"),
        0,
        "the limit does not hold"
    );
    assert_eq!(lbd.status().frontends[0].connections, 2);
    drop(second);
    let response = third.response();
    assert_eq!((response.status, response.origin()), (200, Some("a")));
    assert_eq!(first.send(request("GET", "/")).response().status, 200);
}

#[test]
fn connections_beyond_the_limit_of_the_process_wait_their_turn() {
    let origin = Origin::start("a");
    let lbd = Setup::new(app(NO_CHECK, [&origin]))
        .global("threads = 2\nmax_connections = 2")
        .start();
    assert_eq!(lbd.status().daemon.connections_limit, 2);
    assert_the_third_waits(&lbd, lbd.addr(), &origin);
}

#[test]
fn connections_beyond_the_limit_of_a_frontend_wait_their_turn() {
    let origin = Origin::start("a");
    let config =
        app(NO_CHECK, [&origin]).replace("default_backend", "max_connections = 2\ndefault_backend");
    let other = "[frontend.other]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n";
    let lbd = Lbd::start(format!("{config}\n{other}"));
    assert_the_third_waits(&lbd, lbd.addr(), &origin);
    let others: Vec<Wire> = (0..5)
        .map(|_| {
            let mut wire = Wire::connect(lbd.addr_of("other"));
            assert_eq!(wire.send(request("GET", "/")).response().status, 200);
            wire
        })
        .collect();
    eventually("the other frontend has no limit", || {
        is(lbd.status().frontends[1].connections, others.len() as u64)
    });
}
