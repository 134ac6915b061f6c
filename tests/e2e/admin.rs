//! `maint` and `ready`: what the operator says, and what becomes of health.

use lb_proto::state::{Admin, Health, State};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::origin::Health as Says;
use lb_tests::wire::request;
use lb_tests::{Lbd, Origin, Wire, eventually, is, wire};

/// Waits until an origin has been probed some more times.
fn probed_again(origin: &Origin) {
    let before = origin.probes();
    eventually(&format!("{} is probed", origin.name()), || {
        let probes = origin.probes();
        if probes >= before + 4 {
            Ok(())
        } else {
            Err(format!("{probes} probes"))
        }
    });
}

#[test]
fn in_maint_a_server_takes_nothing_and_its_checks_stop() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    for server in ["app/a", "app/b"] {
        lbd.wait_until_healthy(server);
    }
    lbd.lbctl(["maint", "app/a"]).exits(0);
    let a = lbd.server("app/a");
    assert_eq!((a.admin, a.state), (Admin::Maint, State::Maint));
    // A probe that was under way may still arrive; by b's next ones it has.
    probed_again(&origins[1]);
    let (requests, probes) = (origins[0].requests(), origins[0].probes());
    for _ in 0..10 {
        assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("b"));
    }
    probed_again(&origins[1]);
    assert_eq!(
        (origins[0].requests(), origins[0].probes()),
        (requests, probes)
    );
}

#[test]
fn a_running_session_survives_maint() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    origins[0].hold("/held");
    let mut held = Wire::connect(lbd.addr());
    held.send(request("GET", "/held"));
    eventually("it is in flight", || is(origins[0].in_flight(), 1));
    lbd.lbctl(["maint", "app/a"]).exits(0);
    assert_eq!(wire::get(lbd.addr(), "/").status, 503);
    origins[0].release();
    assert_eq!(held.response().text(), "a");
}

#[test]
fn after_maint_a_server_is_down_until_fresh_checks_say_otherwise() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    for server in ["app/a", "app/b"] {
        lbd.wait_until_healthy(server);
    }
    lbd.lbctl(["maint", "app/a"]).exits(0);
    origins[0].set_health(Says::Hang);
    lbd.lbctl(["ready", "app/a"]).exits(0);
    let a = lbd.server("app/a");
    assert_eq!(
        (a.admin, a.health, a.state),
        (Admin::Ready, Health::Down, State::Down)
    );
    for _ in 0..10 {
        assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("b"));
    }
    origins[0].set_health(Says::Status(200));
    lbd.wait_for_state("app/a", State::Up);
}

#[test]
fn after_maint_the_only_server_takes_traffic_unchecked() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    lbd.wait_until_healthy("app/a");
    lbd.lbctl(["maint", "app/a"]).exits(0);
    origins[0].set_health(Says::Hang);
    lbd.lbctl(["ready", "app/a"]).exits(0);
    let a = lbd.server("app/a");
    assert_eq!((a.health, a.state), (Health::Unchecked, State::Up));
    assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("a"));
}

#[test]
fn ready_wait_ends_when_the_server_is_up_and_not_before() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    for server in ["app/a", "app/b"] {
        lbd.wait_until_healthy(server);
    }
    lbd.lbctl(["maint", "app/a"]).exits(0);
    origins[0].set_health(Says::Status(503));
    let mut ready = lbd.lbctl_in_background(["ready", "app/a", "--wait"]);
    eventually("a is ready again", || {
        is(lbd.server("app/a").admin, Admin::Ready)
    });
    probed_again(&origins[0]);
    assert!(ready.is_running(), "the command ended while a is down");
    origins[0].set_health(Says::Status(200));
    ready.wait().exits(0);
    assert_eq!(lbd.server("app/a").state, State::Up);
}

#[test]
fn ready_ends_a_drain_and_keeps_its_health() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    lbd.wait_until_healthy("app/a");
    lbd.lbctl(["drain", "app/a"]).exits(0);
    lbd.lbctl(["ready", "app/a"]).exits(0);
    let a = lbd.server("app/a");
    assert_eq!(
        (a.admin, a.health, a.state),
        (Admin::Ready, Health::Up, State::Up)
    );
}
