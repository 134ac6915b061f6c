//! Drain: nothing new goes there, what runs finishes, and the command ends when it has.

use std::time::{Duration, Instant};

use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::{Lbd, Load, Origin, Process, eventually, held, is, lbctl, wire};

#[test]
fn the_slow_request_finishes_and_the_command_ends_after_it() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    let held = held::one_each(lbd.addr(), &origins);
    origins[0].release();
    origins[2].release();

    let load = Load::on(lbd.addr()).start();
    load.go_on_for(200);
    let mut drain = lbd.lbctl_in_background(["drain", "app/b", "--timeout", "5m"]);
    eventually("only the slow request is left on b", || {
        let b = lbd.server("app/b");
        is((b.state, b.sessions), (State::Drain, 1))
    });
    let before = origins[1].requests();
    let started = Instant::now();
    load.go_on_for(500);
    eventually("three seconds of the slow request", || {
        if started.elapsed() < Duration::from_secs(3) {
            return Err(format!("{:?}", started.elapsed()));
        }
        Ok(())
    });
    assert_eq!(origins[1].requests(), before, "a new session went to b");
    assert_eq!(lbd.server("app/b").sessions, 1);
    assert!(drain.is_running(), "the command ended before the request");

    origins[1].release();
    drain.wait().exits(0).says("app/b");
    let b = lbd.server("app/b");
    assert_eq!(
        (b.state, b.admin, b.sessions),
        (State::Drain, Admin::Drain, 0)
    );
    load.stop().assert_clean();
    let mut answered: Vec<_> = held
        .into_iter()
        .map(|mut wire| wire.response())
        .map(|response| (response.status, response.text()))
        .collect();
    answered.sort();
    assert_eq!(answered, ["a", "b", "c"].map(|name| (200, name.to_owned())));
}

#[test]
fn after_its_timeout_it_exits_7_and_the_server_stays_drained() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let _held = held::one_each(lbd.addr(), &origins);
    let output = lbd.lbctl(["drain", "app/a", "--timeout", "200ms"]);
    output.exits(7).says("app/a");
    let a = lbd.server("app/a");
    assert_eq!((a.state, a.sessions), (State::Drain, 1));
}

#[test]
fn after_its_timeout_it_can_go_on_to_maint() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let mut held = held::one_each(lbd.addr(), &origins);
    lbd.lbctl([
        "drain",
        "app/a",
        "--timeout",
        "200ms",
        "--on-timeout",
        "maint",
    ])
    .exits(0);
    let a = lbd.server("app/a");
    assert_eq!((a.state, a.sessions), (State::Maint, 1));
    origins.iter().for_each(Origin::release);
    for wire in &mut held {
        assert_eq!(wire.response().status, 200, "maint cut a running session");
    }
}

#[test]
fn no_wait_returns_while_a_request_is_in_flight() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let _held = held::one_each(lbd.addr(), &origins);
    lbd.lbctl(["drain", "app/a", "--no-wait"]).exits(0);
    let a = lbd.server("app/a");
    assert_eq!((a.state, a.sessions), (State::Drain, 1));
}

#[test]
fn several_servers_drain_together() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let _held = held::one_each(lbd.addr(), &origins);
    let mut drain = lbd.lbctl_in_background(["drain", "app/a", "app/b"]);
    for server in ["app/a", "app/b"] {
        lbd.wait_for_state(server, State::Drain);
    }
    origins[0].release();
    eventually("a is empty", || is(lbd.server("app/a").sessions, 0));
    assert!(drain.is_running(), "b has a session and the command ended");
    assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("c"));
    origins[1].release();
    drain.wait().exits(0);
}

#[test]
fn a_second_drain_of_the_same_server_waits_too() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let _held = held::one_each(lbd.addr(), &origins);
    lbd.lbctl(["drain", "app/a", "--no-wait"]).exits(0);
    let drain = lbd.lbctl_in_background(["drain", "app/a"]);
    origins[0].release();
    drain.wait().exits(0);
    assert_eq!(lbd.server("app/a").sessions, 0);
}

#[test]
fn a_server_that_a_reload_takes_away_meanwhile_is_said_to_be_removed() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    let held = held::one_each(lbd.addr(), &origins);
    let drain = lbd.lbctl_in_background(["drain", "app/b"]);
    eventually("b is drained", || {
        is(lbd.server("app/b").state, State::Drain)
    });
    lbd.rewrite(app(NO_CHECK, &origins[..1]));
    lbd.reload().exits(0);
    drain.wait().exits(6).says("app/b was removed");
    origins.iter().for_each(Origin::release);
    for mut wire in held {
        assert_eq!(wire.response().status, 200);
    }
}

#[test]
fn with_every_server_drained_the_answer_is_503() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["drain", "app/a"]).exits(0);
    assert_eq!(wire::get(lbd.addr(), "/").status, 503);
    assert_eq!(origins[0].requests(), 0);
    lbd.lbctl(["ready", "app/a"]).exits(0);
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
}

#[test]
fn checks_go_on_while_a_server_is_drained() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    lbd.wait_until_healthy("app/a");
    lbd.lbctl(["drain", "app/a"]).exits(0);
    let before = origins[0].probes();
    eventually("a is probed while drained", || {
        let probes = origins[0].probes();
        if probes > before + 2 {
            Ok(())
        } else {
            Err(format!("{probes} probes"))
        }
    });
    assert_eq!(lbd.server("app/a").state, State::Drain);
}

/// What is pasted from it leads to the same daemon.
#[test]
fn advice_leads_to_where_the_command_was_led() {
    let origin = Origin::start("a");
    let mut lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let _held = held::one(lbd.addr(), &origin);
    let socket = lbd.socket();
    let there = format!("--socket {}", socket.display());
    let run = |args: &[&str]| {
        let mut command = lbctl::bare();
        command.arg("--socket").arg(&socket).args(args);
        Process::run(command)
    };
    let said = run(&["drain", "app/a", "--timeout", "1ms"]).exits(7);
    said.says(&format!("lbctl {there} maint app/a"));
    let said = run(&["explain", "app/a"]).exits(0);
    let ready = format!("lbctl {there} ready app/a --wait");
    assert!(said.stdout.contains(&ready), "{said:?}");
    let said = run(&["drain", "nobody/a"]).exits(6);
    said.says(&format!("lbctl {there} status shows all names"));
    lbd.rewrite_with(|config| config.replace("health = false", "health = false\nretries = 1"));
    let said = run(&["doctor"]).exits(1);
    let reload = format!("sudo lbctl {there} reload");
    assert!(said.stdout.contains(&reload), "{said:?}");
}
