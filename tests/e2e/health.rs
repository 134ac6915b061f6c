//! Health checks: what they see, when it counts, and what follows.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use lb_proto::state::{Health, State};
use lb_proto::status::{CheckResult, ServerStatus};
use lb_tests::daemon::{QUICK_CHECK, app, app_at};
use lb_tests::eventually::LIMIT;
use lb_tests::origin::Health as Says;
use lb_tests::port::{Port, SilentPort};
use lb_tests::wire::{get, request};
use lb_tests::{Lbd, Origin, RawOrigin, Wire, eventually, is};

fn check(lines: &str) -> String {
    let patient = match lines.contains("timeout") {
        true => "",
        false => ", timeout = \"60s\"",
    };
    format!("health = {{ interval = \"50ms\", {lines}{patient} }}")
}

fn seen(lbd: &Lbd, server: &str) -> ServerStatus {
    eventually(&format!("a check of {server} has spoken"), || {
        let status = lbd.server(server);
        if status.last_check.is_some() {
            Ok(status)
        } else {
            Err(format!("{status:?}"))
        }
    })
}

/// What the first check of a server at `address` says.
fn first_check(lines: &str, address: SocketAddr) -> ServerStatus {
    let lbd = Lbd::start(app_at(&check(lines), [("s", address)]));
    seen(&lbd, "app/s")
}

fn assert_fails(status: &ServerStatus, result: CheckResult) {
    let check = status.last_check.as_ref().expect("it has spoken");
    assert_eq!(check.result, result, "{status:?}");
    assert!(!check.detail.is_empty(), "{status:?}");
    assert_eq!((status.health, status.state), (Health::Down, State::Down));
}

const HTTP: &str = "type = \"http\", path = \"/healthz\"";
const QUICK: &str = "type = \"http\", path = \"/healthz\", timeout = \"200ms\"";

#[test]
fn a_good_answer_is_l7ok_and_a_plain_connect_l4ok() {
    let origin = Origin::start("s");
    let status = first_check(HTTP, origin.addr());
    let check = status.last_check.expect("it has spoken");
    assert_eq!((check.result, check.status), (CheckResult::L7OK, Some(200)));
    assert_eq!(status.health, Health::Up);

    let status = first_check("type = \"tcp\"", origin.addr());
    let check = status.last_check.expect("it has spoken");
    assert_eq!((check.result, check.status), (CheckResult::L4OK, None));
    assert_eq!(status.health, Health::Up);
}

#[test]
fn a_wrong_status_is_l7sts() {
    let origin = Origin::start("s");
    origin.set_health(Says::Status(404));
    let status = first_check(HTTP, origin.addr());
    assert_fails(&status, CheckResult::L7STS);
    assert_eq!(status.last_check.and_then(|c| c.status), Some(404));
}

#[test]
fn a_refused_connect_is_l4con() {
    let port = Port::new();
    assert_fails(&first_check(HTTP, port.addr()), CheckResult::L4CON);
    assert_fails(
        &first_check("type = \"tcp\"", port.addr()),
        CheckResult::L4CON,
    );
}

#[test]
fn a_connect_that_hangs_is_l4tout() {
    let port = SilentPort::new();
    assert_fails(&first_check(QUICK, port.addr()), CheckResult::L4TOUT);
    let tcp = "type = \"tcp\", timeout = \"200ms\"";
    assert_fails(&first_check(tcp, port.addr()), CheckResult::L4TOUT);
}

#[test]
fn an_answer_that_does_not_come_is_l7tout() {
    let origin = Origin::start("s");
    origin.set_health(Says::Hang);
    assert_fails(&first_check(QUICK, origin.addr()), CheckResult::L7TOUT);
}

#[test]
fn an_answer_that_is_no_http_is_l7rsp() {
    for bytes in ["garbage\r\n\r\n", "", "HTTP/1.1 20"] {
        let origin = RawOrigin::answering(bytes);
        assert_fails(&first_check(HTTP, origin.addr()), CheckResult::L7RSP);
    }
}

#[test]
fn expect_says_which_statuses_are_good() {
    for (expect, status, health) in [
        ("", 200, Health::Up),
        ("", 302, Health::Up),
        ("", 399, Health::Up),
        ("", 400, Health::Down),
        (", expect = \"200\"", 204, Health::Down),
        (", expect = \"200,204\"", 204, Health::Up),
        (", expect = \"401-403\"", 403, Health::Up),
        (", expect = \"401-403\"", 200, Health::Down),
    ] {
        let origin = Origin::start("s");
        origin.set_health(Says::Status(status));
        let seen = first_check(&format!("{HTTP}{expect}"), origin.addr());
        assert_eq!(seen.health, health, "{status} with {expect:?}");
    }
}

#[test]
fn a_probe_asks_as_configured() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let origin = RawOrigin::start(move |peer| {
        let head = peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let _ = tell.lock().expect("one at a time").send(head);
    });
    let lines = "type = \"http\", method = \"HEAD\", path = \"/up?deep=1\", host = \"app.local\"";
    let lbd = Lbd::start(app_at(&check(lines), [("s", origin.addr())]));
    lbd.wait_until_healthy("app/s");
    let head = told.recv_timeout(LIMIT).expect("it was probed");
    assert!(head.starts_with("HEAD /up?deep=1 HTTP/1.1\r\n"), "{head}");
    let hosts: Vec<_> = head
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("host:"))
        .collect();
    assert_eq!(hosts.len(), 1, "{head}");
    assert!(hosts[0].ends_with("app.local"), "{head}");
}

#[test]
fn the_first_probe_counts_at_once_and_later_ones_by_fall_and_rise() {
    let origins = Origin::start_all(["dead", "b"]);
    origins[0].set_health(Says::Status(500));
    let slow = "health = { type = \"http\", path = \"/healthz\", interval = \"1h\", timeout = \"60s\", fall = 3 }";
    let lbd = Lbd::start(app(slow, &origins));
    lbd.wait_for_state("app/dead", State::Down);
    lbd.wait_until_healthy("app/b");
    assert_eq!((origins[0].probes(), origins[1].probes()), (1, 1));
}

#[test]
fn it_takes_fall_failures_to_go_down_and_rise_successes_to_come_up() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(
        "health = { type = \"http\", path = \"/healthz\", interval = \"50ms\", timeout = \"60s\", rise = 4, fall = 4 }",
        &origins,
    ));
    lbd.wait_until_healthy("app/a");
    let before = origins[0].probes();
    origins[0].set_health(Says::Status(500));
    lbd.wait_for_state("app/a", State::Down);
    let failed = origins[0].probes() - before;
    // One probe may have been under way when the origin's word changed.
    assert!(failed >= 3, "down after {failed} failures");

    let before = origins[0].probes();
    origins[0].set_health(Says::Status(200));
    lbd.wait_for_state("app/a", State::Up);
    let good = origins[0].probes() - before;
    assert!(good >= 3, "up after {good} successes");
}

#[test]
fn a_server_without_checks_is_unchecked_and_takes_traffic() {
    let origin = Origin::start("a");
    let address = origin.addr();
    let lbd = Lbd::start(format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
         [backend.app]\n{QUICK_CHECK}\n\
         servers = [{{ name = \"a\", address = \"{address}\", check = false }}]\n"
    ));
    for _ in 0..5 {
        assert_eq!(get(lbd.addr(), "/").status, 200);
    }
    let a = lbd.server("app/a");
    assert_eq!(
        (a.health, a.state, a.check),
        (Health::Unchecked, State::Up, false)
    );
    assert_eq!(a.last_check, None);
    assert_eq!(origin.probes(), 0);
}

#[test]
fn a_server_that_goes_down_keeps_its_running_session_and_loses_its_idle_connections() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    for server in ["app/a", "app/b"] {
        lbd.wait_until_healthy(server);
    }
    origins.iter().for_each(|origin| origin.hold("/held"));
    let mut held: Vec<Wire> = (0..4)
        .map(|_| {
            let mut wire = Wire::connect(lbd.addr());
            wire.send(request("GET", "/held"));
            wire
        })
        .collect();
    eventually("two are in flight to each", || {
        is((origins[0].in_flight(), origins[1].in_flight()), (2, 2))
    });
    for _ in 0..10 {
        get(lbd.addr(), "/");
    }
    origins[0].set_health(Says::Status(500));
    lbd.wait_for_state("app/a", State::Down);
    origins.iter().for_each(Origin::release);
    for wire in &mut held {
        assert_eq!(wire.response().status, 200, "a running session was cut");
    }
    // Probes come and go; between two of them nothing is open.
    eventually("no idle connection to it is kept", || {
        is(origins[0].open_connections(), 0)
    });
    assert!(origins[1].open_connections() > 0, "b's pool went too");
}
