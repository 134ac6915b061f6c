//! A reload takes a server away, or its whole backend, and another one brings it back: the sessions
//! that it still has are its own. What runs at a removed frontend takes places meanwhile.

use std::net::SocketAddr;

use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app, app_at};
use lb_tests::metrics::{metrics, sum};
use lb_tests::port::Port;
use lb_tests::{Lbd, Origin, Setup, Wire, eventually, held, is, wire};

use crate::confirm::servers;
use crate::queue::{ask, limited, wait_for_in_flight, wait_for_queued};

/// Requests that hang at the servers, so many at each.
#[track_caller]
fn hang(lbd: &Lbd, origins: &[Origin], each: u64) -> Vec<Wire> {
    origins.iter().for_each(|origin| origin.hold("/held"));
    let all = each * origins.len() as u64;
    let wires = (0..all).map(|_| ask(lbd, "/held")).collect();
    for origin in origins {
        wait_for_in_flight(origin, each);
    }
    wires
}

#[track_caller]
fn load(lbd: &mut Lbd, config: &str) {
    lbd.rewrite(config);
    lbd.reload().exits(0);
}

#[track_caller]
fn all_end_well(origins: &[Origin], wires: Vec<Wire>) {
    origins.iter().for_each(Origin::release);
    for mut wire in wires {
        assert_eq!(wire.response().status, 200);
    }
}

#[test]
fn a_drain_waits_for_what_was_there_before() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(QUICK_CHECK, &origins));
    let held = hang(&lbd, &origins, 5);
    load(&mut lbd, &app(QUICK_CHECK, &origins[..1]));
    load(&mut lbd, &app(QUICK_CHECK, &origins));
    lbd.wait_until_healthy("app/b");
    assert_eq!(lbd.server("app/b").sessions, 5);
    let mut drain = lbd.lbctl_in_background(["drain", "app/b"]);
    lbd.wait_for_state("app/b", State::Drain);
    assert_eq!(lbd.server("app/b").sessions, 5);
    assert!(drain.is_running(), "it says that no sessions are running");
    all_end_well(&origins, held);
    drain.wait().exits(0);
    let b = lbd.server("app/b");
    assert_eq!((b.sessions, b.sessions_total), (0, 5));
}

#[test]
fn maint_closes_what_was_there_before() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    let held = hang(&lbd, &origins, 3);
    load(&mut lbd, &app(NO_CHECK, &origins[..1]));
    load(&mut lbd, &app(NO_CHECK, &origins));
    let said = lbd.lbctl(["maint", "app/b", "--kill"]).exits(0);
    said.says("app/b is in maint: 3 sessions closed");
    origins[0].release();
    let mut answers: Vec<_> = held.into_iter().map(|mut w| w.response().status).collect();
    answers.sort_unstable();
    assert_eq!(answers, [200, 200, 200, 503, 503, 503]);
}

#[test]
fn a_trial_that_goes_back_by_itself_brings_back_what_was_there_as_it_was_set() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    let held = hang(&lbd, &origins, 2);
    lbd.lbctl(["drain", "app/b", "--no-wait"]).exits(0);
    lbd.rewrite(app(NO_CHECK, &origins[..1]));
    lbd.lbctl(["reload", "--confirm-within", "1s"]).exits(0);
    eventually("it goes back", || is(servers(&lbd).len(), 2));
    let b = lbd.server("app/b");
    assert_eq!((b.admin, b.sessions), (Admin::Drain, 2));
    all_end_well(&origins, held);
    eventually("none is left", || is(lbd.server("app/b").sessions, 0));
}

#[test]
fn a_limit_holds_for_what_was_there_before_and_whoever_waits_gets_its_place() {
    let origins = Origin::start_all(["a"]);
    let config = limited("", [(&origins[0], 1)]);
    let elsewhere = Origin::start("elsewhere");
    let without = config
        .replace("backend.app", "backend.other")
        .replace("\"app\"", "\"other\"")
        .replace(
            &origins[0].addr().to_string(),
            &elsewhere.addr().to_string(),
        );
    let mut lbd = Lbd::start(config.clone());
    let held = hang(&lbd, &origins, 1);
    load(&mut lbd, &without);
    assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("elsewhere"));
    load(&mut lbd, &config);
    assert_eq!(lbd.server("app/a").sessions, 1);
    let next = ask(&lbd, "/");
    wait_for_queued(&lbd, 1);
    assert_eq!(origins[0].in_flight(), 1, "it has one more than it may");
    all_end_well(&origins, held.into_iter().chain([next]).collect());
}

#[test]
fn who_waits_since_before_gets_a_place_of_the_server_that_came_back() {
    let origins = Origin::start_all(["a", "b"]);
    let both = limited("", [(&origins[0], 1), (&origins[1], 1)]);
    let mut lbd = Lbd::start(both.clone());
    let held = hang(&lbd, &origins, 1);
    let waits = ask(&lbd, "/");
    wait_for_queued(&lbd, 1);
    load(&mut lbd, &limited("", [(&origins[0], 1)]));
    load(&mut lbd, &both);
    origins[1].release();
    let mut waits = waits;
    assert_eq!(waits.response().origin(), Some("b"));
    all_end_well(&origins, held);
}

#[test]
fn sessions_to_its_former_address_stay_its_own() {
    let origins = Origin::start_all(["a", "b"]);
    let moved = Origin::start("moved");
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    let held = hang(&lbd, &origins, 1);
    load(&mut lbd, &app(NO_CHECK, &origins[..1]));
    let at = |b: SocketAddr| app_at(NO_CHECK, [("a", origins[0].addr()), ("b", b)]);
    load(&mut lbd, &at(moved.addr()));
    let b = lbd.server("app/b");
    assert_eq!((b.address, b.sessions), (moved.addr().to_string(), 1));
    eventually("it takes requests there", || {
        is(wire::get(lbd.addr(), "/").origin(), Some("moved"))
    });
    all_end_well(&origins, held);
    // The connection of the former address is of no use.
    for _ in 0..4 {
        let answer = wire::get(lbd.addr(), "/");
        assert!(answer.origin() != Some("b"), "a kept connection is used");
    }
    eventually("none is left", || is(lbd.server("app/b").sessions, 0));
}

#[test]
fn a_frontend_that_comes_back_knows_the_connections_that_it_has() {
    let origin = Origin::start("a");
    let port = Port::new();
    let config = app(NO_CHECK, [&origin]);
    let extra = format!(
        "{config}\n[frontend.extra]\nbind = \"{}\"\ndefault_backend = \"app\"\n",
        port.addr()
    );
    let mut lbd = Lbd::start(extra.clone());
    let mut held = held::one(port.addr(), &origin);
    load(&mut lbd, &config);
    load(&mut lbd, &extra);
    let connections = |lbd: &Lbd| {
        let frontends = lbd.status().frontends;
        let extra = frontends.iter().find(|f| f.name.as_str() == "extra");
        extra.expect("it is back").connections
    };
    assert_eq!(connections(&lbd), 1);
    origin.release();
    assert_eq!(held.response().status, 200);
    drop(held);
    eventually("it is closed", || is(connections(&lbd), 0));
}

#[test]
fn connections_of_a_frontend_that_has_another_name_now_take_places_and_are_told() {
    let origin = Origin::start("a");
    let config = format!(
        "[admin]\nbind = \"127.0.0.1:0\"\n{}",
        app(NO_CHECK, [&origin])
    );
    let mut lbd = Setup::new(config.clone())
        .global("threads = 2\nmax_connections = 2")
        .start();
    let held = hang(&lbd, std::slice::from_ref(&origin), 2);
    let told = |lbd: &Lbd| {
        let daemon = lbd.status().daemon;
        (daemon.connections, daemon.connections_removed)
    };
    assert_eq!(told(&lbd), (2, 0));
    load(&mut lbd, &config.replace("frontend.web", "frontend.www"));
    assert_eq!(told(&lbd), (2, 2));
    lbd.lbctl(["status"])
        .exits(0)
        .says(", 2 of 2 connections\n")
        .says("2 of the connections are of frontends that were removed");
    let now = metrics(lbd.admin());
    assert_eq!(
        (now["lbd_connections"], now["lbd_connections_removed"]),
        (2.0, 2.0)
    );
    assert_eq!(sum(&now, "lbd_thread_connections", ""), 2.0);
    assert_eq!(now["lbd_frontend_connections{frontend=\"www\"}"], 0.0);
    origin.release();
    for mut wire in held {
        assert_eq!(wire.response().status, 200);
    }
    eventually("they are closed", || is(told(&lbd), (0, 0)));
}
