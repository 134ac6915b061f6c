//! `lbctl rollback` and `lbctl reload --rollback-if-down`: the way back, by hand and by itself.

use std::fs;
use std::net::TcpListener;

use lb_proto::request::Reload;
use lb_proto::state::Admin;
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app, app_at};
use lb_tests::origin::Health;
use lb_tests::port::Port;
use lb_tests::process::close;
use lb_tests::{
    Authority, Dns, FullDisk, Lbd, Load, Origin, Setup, Wire, eventually, held, is, wire,
};
use rustix::process::Signal;

use crate::confirm::servers;
use crate::tls;

#[test]
fn it_goes_back_step_by_step_under_load() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins[..1]));
    let load = Load::on(lbd.addr()).start();
    for many in [2, 3] {
        lbd.rewrite(app(NO_CHECK, &origins[..many]));
        lbd.reload().exits(0);
        load.go_on_for(20);
    }
    let file = fs::read(lbd.config_file()).expect("it is ours");
    lbd.lbctl(["rollback"])
        .exits(0)
        .says("- server c")
        .says("generation 4 is running")
        .says("is not touched and says something else");
    assert_eq!(servers(&lbd), ["a", "b"]);
    load.go_on_for(20);
    lbd.lbctl(["rollback"]).exits(0);
    assert_eq!(servers(&lbd), ["a"]);
    load.go_on_for(20);
    lbd.lbctl(["rollback"])
        .exits(1)
        .says("no configuration is kept from before")
        .says("generation 5) is untouched");
    load.stop().assert_clean();
    assert_eq!(fs::read(lbd.config_file()).expect("it is ours"), file);
    lbd.lbctl(["events", "--audit", "--no-follow"])
        .exits(0)
        .says("rollback generation 3 → generation 4");

    // What runs is what a restart begins with, though the file says something else.
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a"]);
    // The next one comes after it.
    lbd.rewrite(app(NO_CHECK, &origins[1..]));
    lbd.reload().exits(0);
    lbd.lbctl(["rollback", "--json"]).exits(0);
    assert_eq!(servers(&lbd), ["a"]);
}

#[test]
fn what_has_made_room_for_others_is_no_fault_of_the_disk() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins[..1]));
    for many in [2, 3] {
        lbd.rewrite(app(NO_CHECK, &origins[..many]));
        lbd.reload().exits(0);
    }
    let first = lbd.folder().join("state/configs/000001.toml");
    fs::remove_file(first).expect("it is kept there");
    lbd.lbctl(["rollback"]).exits(0);
    lbd.lbctl(["rollback"])
        .exits(1)
        .says("no configuration is kept from before the one that runs")
        .says("hint: write the file as it should be");
}

#[test]
fn one_that_could_not_be_kept_goes_back_to_the_last_one_that_was() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins[..1]));
    let full = FullDisk::of(&lbd);
    for many in [2, 3] {
        lbd.rewrite(app(NO_CHECK, &origins[..many]));
        lbd.reload()
            .exits(0)
            .says("the configuration is not kept: cannot write");
    }
    lbd.lbctl(["rollback"]).exits(0).says("- server c");
    assert_eq!(servers(&lbd), ["a"]);
    lbd.reload().exits(0);
    drop(full);
    // What ran is kept as well, and all comes after the last one that was.
    lbd.rewrite(app(NO_CHECK, &origins[1..]));
    lbd.reload().exits(0);
    for before in [&["a", "b", "c"][..], &["a"]] {
        lbd.lbctl(["rollback"]).exits(0);
        assert_eq!(servers(&lbd), before);
    }
}

#[test]
fn what_is_on_trial_goes_at_once() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.rewrite(app(NO_CHECK, &origins[1..]));
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    lbd.lbctl(["rollback"]).exits(0).says("+ server a");
    assert_eq!(servers(&lbd), ["a", "b"]);
    assert_eq!(lbd.status().daemon.config.trial, None);
    lbd.lbctl(["confirm"]).exits(1);
}

#[test]
fn a_server_that_comes_back_is_as_it_was_set() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["maint", "app/a"]).exits(0);
    lbd.lbctl(["weight", "app/b", "7"]).exits(0);
    lbd.rewrite(app(NO_CHECK, &origins[1..]));
    let trial = ["reload", "--confirm-within", "1h"];
    lbd.lbctl(trial)
        .exits(0)
        .says("app/a is gone: what was set on it is kept until this is confirmed");
    lbd.lbctl(["rollback"]).exits(0);
    assert_eq!(lbd.server("app/a").admin, Admin::Maint);
    assert_eq!(lbd.server("app/b").weight, 7);
    // Nor does a crash forget it.
    lbd.lbctl(trial).exits(0);
    lbd.kill9();
    lbd.start_again();
    assert_eq!(lbd.server("app/a").admin, Admin::Maint);
    // Once it is confirmed that the server is gone, it is forgotten.
    lbd.lbctl(trial).exits(0);
    lbd.lbctl(["confirm"]).exits(0);
    lbd.lbctl(["rollback"]).exits(0);
    assert_eq!(lbd.server("app/a").admin, Admin::Ready);
}

#[test]
fn a_weight_that_a_trial_ends_counts_again_after_it() {
    let origins = Origin::start_all(["a", "b"]);
    let config = app(NO_CHECK, &origins);
    let mut lbd = Lbd::start(&config);
    lbd.lbctl(["weight", "app/a", "7", "--reason", "a big one"])
        .exits(0);
    let weighing = |n: u16| config.replace("name = \"a\"", &format!("name = \"a\", weight = {n}"));
    let trial = |lbd: &mut Lbd, n: u16| {
        lbd.rewrite(weighing(n));
        lbd.lbctl(["reload", "--confirm-within", "1h"])
            .exits(0)
            .says("does not count meanwhile, and ends when this is confirmed");
        let server = lbd.server("app/a");
        assert_eq!((server.weight, server.overrides.weight), (n, None));
    };
    let is_back = |lbd: &Lbd| {
        let server = lbd.server("app/a");
        let reason = server.overrides.weight.and_then(|set| set.reason);
        assert_eq!((server.weight, reason.as_deref()), (7, Some("a big one")));
    };
    // One in the place of another, then back.
    trial(&mut lbd, 3);
    trial(&mut lbd, 4);
    lbd.lbctl(["rollback"]).exits(0);
    is_back(&lbd);
    trial(&mut lbd, 3);
    lbd.kill9();
    lbd.start_again();
    is_back(&lbd);
    trial(&mut lbd, 3);
    lbd.lbctl(["confirm"]).exits(0).says("the weight 7 set by");
    lbd.lbctl(["rollback"]).exits(0);
    let server = lbd.server("app/a");
    assert_eq!((server.weight, server.overrides.weight), (1, None));
}

#[test]
fn a_backend_left_without_a_server_brings_the_former_one_back() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(QUICK_CHECK, &origins));
    lbd.wait_until_healthy("app/a");
    let nobody = Port::new();
    lbd.rewrite(app_at(QUICK_CHECK, [("c", nobody.addr())]));
    lbd.lbctl(["reload", "--rollback-if-down"])
        .exits(0)
        .says("leave a backend without a server");
    eventually("the former configuration is back", || {
        is(servers(&lbd), vec!["a".to_owned(), "b".to_owned()])
    });
    lbd.wait_for_log("backend app was left without a server: going back");
    eventually("it serves", || is(wire::get(lbd.addr(), "/").status, 200));
    let last = lbd.status().daemon.config.last_reload;
    assert!(last.is_some_and(|last| !last.ok));
}

/// Their servers are down from the first moment on.
#[test]
fn names_that_lead_nowhere_bring_the_former_one_back() {
    let (dns, origins) = (Dns::new(), Origin::start_all(["a", "b"]));
    for (check, fine) in [(QUICK_CHECK, true), (QUICK_CHECK, false), (NO_CHECK, false)] {
        let mut config = app(check, &origins);
        if fine {
            let (check, addr) = (QUICK_CHECK, origins[0].addr());
            let other = format!("{{ name = \"c\", address = \"{addr}\" }}");
            config += &format!("[backend.fine]\n{check}\nservers = [{other}]\n");
        }
        let mut lbd = Setup::new(&config).global(&dns.line()).start();
        if check == QUICK_CHECK {
            lbd.wait_until_healthy("app/a");
        }
        let lost = origins.iter().fold(config, |config, origin| {
            let nowhere = format!("nope.internal:{}", origin.addr().port());
            config.replacen(&origin.addr().to_string(), &nowhere, 1)
        });
        lbd.rewrite(lost);
        lbd.lbctl(["reload", "--rollback-if-down"])
            .exits(0)
            .says("leave a backend without a server");
        lbd.wait_for_log("backend app was left without a server: going back");
        eventually("it serves", || is(wire::get(lbd.addr(), "/").status, 200));
        assert_eq!(lbd.status().daemon.config.trial, None);
    }
}

#[test]
fn one_that_holds_is_kept() {
    let origins = Origin::start_all(["a", "b"]);
    let quick = QUICK_CHECK.replace("60s", "2s");
    let mut lbd = Lbd::start(app(&quick, &origins));
    lbd.rewrite(app(&quick, &origins[1..]));
    lbd.lbctl(["reload", "--rollback-if-down"]).exits(0);
    lbd.wait_for_log("kept: no backend was left without a server");
    let config = lbd.status().daemon.config;
    assert_eq!((config.generation, config.trial), (2, None));
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["b"]);
}

#[test]
fn a_plain_reload_says_that_nobody_watches_any_more() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(QUICK_CHECK, &origins));
    lbd.rewrite(app(QUICK_CHECK, &origins[1..]));
    lbd.lbctl(["reload", "--rollback-if-down"]).exits(0);
    assert!(lbd.status().daemon.config.trial.is_some());
    // The same file ends nothing.
    lbd.reload().exits(0).says("nothing changed");
    assert!(lbd.status().daemon.config.trial.is_some());
    lbd.rewrite(app(QUICK_CHECK, &origins[..1]));
    lbd.reload().exits(0).says("is no longer watched");
    assert_eq!(lbd.status().daemon.config.trial, None);
}

#[test]
fn a_backend_that_was_down_before_is_no_reason_and_both_conditions_count() {
    let origins = Origin::start_all(["a", "b"]);
    origins
        .iter()
        .for_each(|o| o.set_health(Health::Status(500)));
    let quick = QUICK_CHECK.replace("60s", "2s");
    let mut lbd = Lbd::start(app(&quick, &origins));
    for server in ["app/a", "app/b"] {
        lbd.wait_for_state(server, lb_proto::state::State::Down);
    }
    lbd.rewrite(app(&quick, &origins[1..]));
    lbd.lbctl(["reload", "--rollback-if-down"])
        .exits(0)
        .says("there is nothing to watch");
    lbd.wait_for_log("kept: no backend was left without a server");
    assert_eq!(servers(&lbd), ["b"]);

    origins[1].set_health(Health::Status(200));
    lbd.wait_until_healthy("app/b");
    lbd.rewrite(app(&format!("retries = 1\n{quick}"), &origins[1..]));
    lbd.lbctl(["reload", "--rollback-if-down", "--confirm-within", "1h"])
        .exits(0);
    eventually("the watch is over", || {
        let trial = lbd.status().daemon.config.trial;
        is(trial.map(|trial| trial.watched_until), Some(None))
    });
    assert!(!lbd.status().daemon.config.confirmed);
    lbd.lbctl(["confirm"]).exits(0);
}

#[test]
fn the_way_back_does_not_need_the_certificate_files_of_before() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let mut lbd = tls::start(&tls::config("", origin.addr()), &[("a.pem", &issued)]);
    let addr = lbd.addr();
    let plain = app(NO_CHECK, [&origin]).replace("127.0.0.1:0", &addr.to_string());
    lbd.rewrite(plain);
    lbd.lbctl(["reload", "--confirm-within", "1s"]).exits(0);
    fs::remove_file(lbd.folder().join("certs/a.pem")).expect("it is ours");
    lbd.wait_for_log("going back");
    eventually("TLS is spoken again", || {
        let client = lb_tests::tls::Client::new(&authority, "a.test");
        client
            .shake(lbd.addr())
            .map(|_| ())
            .map_err(|e| e.to_string())
    });
}

/// A trial that gave up an address, is over, and cannot go back for who listens there.
fn blocked(origin: &Origin, address: &Port) -> (Lbd, TcpListener) {
    let config = app(NO_CHECK, [origin]);
    let bind = format!("bind = [\"127.0.0.1:0\", \"{}\"]", address.addr());
    let mut lbd = Lbd::start(config.replace("bind = [\"127.0.0.1:0\"]", &bind));
    lbd.rewrite(config);
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    let holder = eventually("the address is let go", || address.listen());
    // Only now is it to go back.
    lbd.lbctl(["reload", "--confirm-within", "1s"]).exits(0);
    lbd.wait_for_log("cannot go back, trying again");
    (lbd, holder)
}

#[test]
fn a_way_back_that_is_blocked_is_tried_until_it_is_free() {
    let (origin, address) = (Origin::start("a"), Port::new());
    let (lbd, holder) = blocked(&origin, &address);
    let last = lbd.status().daemon.config.last_reload;
    let error = last.and_then(|last| last.error).expect("it has failed");
    assert!(error.contains("which fails: cannot listen on"), "{error}");
    close(holder);
    eventually("it is listened on again", || {
        Wire::try_connect(address.addr()).map(drop)
    });
    eventually("the trial is over", || {
        is(lbd.status().daemon.config.trial, None)
    });
}

#[test]
fn one_that_cannot_go_back_and_is_confirmed_is_no_failure_any_more() {
    let (origin, address) = (Origin::start("a"), Port::new());
    let (lbd, _holder) = blocked(&origin, &address);
    lbd.lbctl(["confirm"]).exits(0);
    let config = lbd.status().daemon.config;
    let last = config.last_reload.expect("there was one");
    assert_eq!((last.ok, last.error), (true, None));
    assert_eq!((config.trial, config.confirmed), (None, true));
}

#[test]
fn nothing_goes_back_while_lbd_stops_and_the_next_start_begins_with_what_was() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.rewrite(app(NO_CHECK, &origins[1..]));
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    let mut held = held::one(lbd.addr(), &origins[1]);
    // Nothing stands between this and the stop.
    let (confirm_within_s, rollback_if_down) = (Some(3), false);
    let soon = Reload {
        confirm_within_s,
        rollback_if_down,
    };
    lbd.client().call(&soon).expect("it is the same");
    lbd.signal(Signal::TERM);
    lbd.wait_for_log("stopping");
    eventually("the time to confirm is over", || {
        let trial = lbd.status().daemon.config.trial;
        is(trial.and_then(|trial| trial.confirm_left_s), Some(0))
    });
    origins[1].release();
    assert_eq!(held.response().status, 200);
    assert_eq!(lbd.stop(), Some(0));
    assert!(!lbd.log().contains("going back"), "{}", lbd.log());
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a", "b"]);
}
