//! Stopping: what runs finishes, within a bound; and starting again in the same place.

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::port::Port;
use lb_tests::wire::{End, request};
use lb_tests::{Lbd, Origin, Setup, Wire, eventually, held, is, wire};
use rustix::process::Signal;

fn at(port: &Port, origin: &Origin) -> String {
    app(NO_CHECK, [origin]).replace("127.0.0.1:0", &port.addr().to_string())
}

fn with_one_in_flight(setup: Setup, origin: &Origin) -> (Lbd, Wire) {
    let lbd = setup.start();
    let held = held::one(lbd.addr(), origin);
    (lbd, held)
}

#[test]
fn a_stop_lets_the_request_in_flight_finish_and_takes_no_more() {
    for signal in [Signal::TERM, Signal::INT] {
        let (port, origin) = (Port::new(), Origin::start("a"));
        let (mut lbd, mut held) = with_one_in_flight(Setup::new(at(&port, &origin)), &origin);
        let mut idle = Wire::connect(port.addr());
        assert_eq!(idle.send(request("GET", "/")).response().status, 200);

        lbd.signal(signal);
        assert_eq!(
            idle.rest(),
            (Vec::new(), End::Eof),
            "an idle connection is kept"
        );
        eventually("new connects are refused", || {
            match Wire::try_connect(port.addr()) {
                Err(_) => Ok(()),
                Ok(_) => Err("it accepts"),
            }
        });
        assert!(lbd.is_running(), "it did not wait for its session");
        origin.release();
        let response = held.response();
        assert_eq!((response.status, response.text()), (200, "a".into()));
        assert!(
            !response.keeps_alive(),
            "it does not say that the connection ends"
        );
        assert_eq!(held.rest().1, End::Eof);
        assert_eq!(lbd.stop(), Some(0), "after {signal:?}");
    }
}

#[test]
fn a_stop_without_sessions_is_clean_and_leaves_no_socket() {
    let origin = Origin::start("a");
    let mut lbd = Lbd::start(app(NO_CHECK, [&origin]));
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
    assert_eq!(lbd.stop(), Some(0));
    assert!(!lbd.socket().exists(), "the socket is left behind");
    lbd.lbctl(["status"]).exits(4);
}

#[test]
fn a_stop_is_told_of_before_anybody_is_refused() {
    let (port, origin) = (Port::new(), Origin::start("a"));
    let admin = "[admin]\nbind = \"127.0.0.1:0\"\n";
    let setup = Setup::new(format!("{admin}{}", at(&port, &origin)));
    let mut lbd = setup.global("threads = 2\nshutdown_delay = \"1h\"").start();
    let admin = lbd.admin();
    let mut kept = Wire::connect(port.addr());
    assert_eq!(kept.send(request("GET", "/")).response().status, 200);
    assert_eq!(wire::get(admin, "/healthz").status, 200);
    lbd.signal(Signal::TERM);
    eventually("it is told", || {
        is(wire::get(admin, "/healthz").status, 503)
    });
    for _ in 0..10 {
        assert_eq!(wire::get(port.addr(), "/").status, 200);
    }
    let response = kept.send(request("GET", "/")).response();
    assert!(response.status == 200 && response.keeps_alive());
    lbd.reload().exits(1).says("lbd is stopping");
    assert!(lbd.is_running());
    // Asked again, it waits no longer.
    assert_eq!(lbd.stop(), Some(0));
    assert!(
        lbd.log().contains("stopping now, asked again"),
        "{}",
        lbd.log()
    );
}

#[test]
fn shutdown_timeout_bounds_a_stop() {
    let (port, origin) = (Port::new(), Origin::start("a"));
    let setup = Setup::new(at(&port, &origin)).global("threads = 2\nshutdown_timeout = \"300ms\"");
    let (mut lbd, mut held) = with_one_in_flight(setup, &origin);
    assert_eq!(lbd.stop(), Some(0));
    assert_eq!(origin.requests_of("GET", "/held"), 1);
    if let Ok(response) = held.try_response("GET") {
        panic!("nobody can have answered: {response:?}");
    }
}

#[test]
fn another_daemon_can_listen_as_soon_as_one_has_stopped() {
    let (port, origin) = (Port::new(), Origin::start("a"));
    let mut lbd = Lbd::start(at(&port, &origin));
    for _ in 0..5 {
        // Its connections are closed by the daemon and linger in TIME_WAIT.
        let mut kept = Wire::connect(port.addr());
        assert_eq!(kept.send(request("GET", "/")).response().status, 200);
        assert_eq!(lbd.stop(), Some(0));
        assert_eq!(kept.rest().1, End::Eof);
        lbd.start_again();
        assert_eq!(wire::get(port.addr(), "/").status, 200);
    }
}

#[test]
fn signals_that_mean_nothing_to_it_do_not_end_it() {
    let origin = Origin::start("a");
    let mut lbd = Lbd::start(app(NO_CHECK, [&origin]));
    for signal in [Signal::USR1, Signal::PIPE] {
        lbd.signal(signal);
    }
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
    assert!(lbd.is_running());
    assert_eq!(lbd.stop(), Some(0));
}
