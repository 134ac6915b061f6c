//! `lbctl plan`: what a reload would change, to the last key, and it changes nothing.

use std::fs;

use lb_proto::error::ErrorCode;
use lb_proto::plan::{Effect, Kind, Part, Section};
use lb_proto::request::Plan;
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::port::Port;
use lb_tests::process::close;
use lb_tests::wire::request;
use lb_tests::{Authority, Lbd, Origin, Wire, eventually, is};

use crate::tls::{config, start};

#[test]
fn it_counts_the_sessions_that_a_change_touches_and_changes_nothing() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins[..1]));
    origins[0].hold("/held");
    let mut held = Wire::connect(lbd.addr());
    held.send(request("GET", "/held"));
    eventually("it is in flight", || is(origins[0].in_flight(), 1));

    let port = Port::new();
    let extra = port.addr();
    let frontend = format!("[frontend.extra]\nbind = \"{extra}\"\ndefault_backend = \"app\"\n");
    lbd.rewrite(frontend + &app("retries = 1\nhealth = false", &origins[1..]));
    let before = lbd.status();
    let plan = lbd.client().call(&Plan::default()).expect("it is valid");
    assert!(plan.changed);
    let told: Vec<_> = plan
        .changes
        .iter()
        .map(|c| (c.change, c.place.name.as_str(), c.effect, c.sessions))
        .collect();
    let expected = [
        (Kind::Added, "extra", Effect::Listens, None),
        (Kind::Changed, "app", Effect::NewRequests, None),
        (Kind::Removed, "app", Effect::SessionsFinish, Some(1)),
        (Kind::Added, "app", Effect::Joins, None),
    ];
    assert_eq!(told, expected, "{plan:#?}");
    let gone = Part::Server("a".parse().expect("a name"));
    assert_eq!(plan.changes[2].place.part, Some(gone));

    let planned = lbd
        .lbctl(["plan"])
        .exits(0)
        .says("which keeps running")
        .says("- server a:")
        .says("the session there finishes; nothing new goes there");
    let after = lbd.status();
    assert_eq!(after.daemon.config, before.daemon.config);
    assert_eq!(after.backends, before.backends);
    assert!(Wire::try_connect(extra).is_err(), "it listens already");

    // What the reload prints is what was planned.
    let reloaded = lbd.reload().exits(0);
    assert_eq!(reloaded.stdout, planned.stdout);
    lbd.lbctl(["plan"]).exits(0).says("nothing would change");
    origins[0].release();
    assert_eq!(held.response().status, 200);
}

#[test]
fn another_file_is_judged_under_its_own_name_and_by_what_the_daemon_can_see() {
    let origins = Origin::start_all(["a"]);
    let good = app(NO_CHECK, &origins);
    let lbd = Lbd::start(good.clone());
    let other = lbd.folder().join("other.toml");
    let plan = || lbd.lbctl(["plan", other.to_str().expect("it is text")]);
    let whole = fs::read_to_string(lbd.config_file()).expect("it is ours");
    fs::write(&other, whole.replace("health = false", "retries = 7")).expect("the folder is ours");
    plan().exits(0).says("retries: 3 -> 7").says("other.toml");
    fs::write(&other, format!("# by hand\n{whole}")).expect("the folder is ours");
    plan().exits(0).says("the text alone is another");
    fs::write(&other, whole.replace("\"app\"", "\"ap\"")).expect("the folder is ours");
    plan()
        .exits(3)
        .says("other.toml:")
        .says("there is no backend `ap`");
    fs::write(&other, [0xff, 0xfe]).expect("the folder is ours");
    plan().exits(3).says("not UTF-8");
    fs::write(&other, whole + &"#".repeat(1 << 20)).expect("the folder is ours");
    plan().exits(1).says("larger than the control socket takes");
    fs::remove_file(&other).expect("it is ours");
    plan().exits(1).says("cannot read");
    assert_eq!(lbd.status().daemon.config.generation, 1);
}

#[test]
fn no_client_can_have_the_daemon_read_another_file() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let named = Plan {
        text: None,
        file: Some("/etc/passwd".to_owned()),
    };
    let refused = lbd
        .client()
        .call(&named)
        .expect_err("it reads only its own");
    assert_eq!(refused.code, ErrorCode::BadRequest);
}

#[test]
fn an_invalid_file_exits_3_with_every_problem() {
    let origins = Origin::start_all(["a"]);
    let good = app(NO_CHECK, &origins);
    let mut lbd = Lbd::start(good.clone());
    lbd.rewrite(good.replace("\"app\"", "\"ap\"") + "blance = 1\n");
    let output = lbd.lbctl(["plan"]).exits(3).says("`ap`").says("blance");
    assert!(output.stdout.is_empty(), "{output:#?}");
    lbd.lbctl(["plan", "--json"]).exits(3);
    assert_eq!(lbd.status().daemon.config.last_reload, None);
}

#[test]
fn an_address_that_somebody_else_has_is_told_before_a_reload_fails_for_it() {
    let origins = Origin::start_all(["a"]);
    let config = app(NO_CHECK, &origins);
    let mut lbd = Lbd::start(config.clone());
    let taken = Port::new();
    let addr = taken.addr();
    lbd.rewrite(config.replace("127.0.0.1:0", &addr.to_string()));
    let free = lbd.lbctl(["plan"]).exits(0);
    assert!(!free.stderr.contains("would fail"), "{free:#?}");
    let holder = taken.listen().expect("it is free");
    lbd.lbctl(["plan"])
        .exits(0)
        .says(&format!("a reload would fail: cannot listen on {addr}"))
        .says(&std::process::id().to_string());
    lbd.reload().exits(1);
    close(holder);
    lbd.reload().exits(0);
    // What it listens on itself is in nobody's way.
    let wider = format!("0.0.0.0:{}", addr.port());
    lbd.rewrite(config.replace("127.0.0.1:0", &wider));
    let plan = lbd.client().call(&Plan::default()).expect("it is valid");
    assert_eq!(plan.obstacles, [""; 0]);
}

#[test]
fn a_frontend_that_is_renamed_keeps_its_connections_and_the_plan_says_so() {
    let origins = Origin::start_all(["a"]);
    let port = Port::new();
    let config = app(NO_CHECK, &origins).replace("127.0.0.1:0", &port.addr().to_string());
    let mut lbd = Lbd::start(config.clone());
    let mut kept = Wire::connect(port.addr());
    assert_eq!(kept.send(request("GET", "/")).response().status, 200);
    lbd.rewrite(config.replace("frontend.web", "frontend.site"));
    let plan = lbd.client().call(&Plan::default()).expect("it is valid");
    let told: Vec<_> = plan.changes.iter().map(|c| (c.change, c.effect)).collect();
    let expected = [
        (Kind::Removed, Effect::NewRequests),
        (Kind::Added, Effect::NewRequests),
    ];
    assert_eq!(told, expected);
    lbd.reload().exits(0);
    assert_eq!(kept.send(request("GET", "/")).response().status, 200);
}

#[test]
fn what_takes_effect_at_a_restart_says_so() {
    let origins = Origin::start_all(["a"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.rewrite_global("threads = 3");
    lbd.lbctl(["plan"])
        .exits(0)
        .says("threads: 2 -> 3")
        .says("when lbd is restarted");
}

#[test]
fn a_renewed_certificate_is_a_change_by_its_fingerprint() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [old, new] = [(); 2].map(|()| authority.issue(&["a.test"]));
    let lbd = start(&config("", origin.addr()), &[("a.pem", &old)]);
    new.write(&lbd.folder().join("certs"), "a.pem");
    let plan = lbd.client().call(&Plan::default()).expect("it is valid");
    let [change] = &*plan.changes else {
        panic!("{plan:#?}");
    };
    assert_eq!(change.place.section, Section::Certificate);
    assert!(change.place.name.ends_with("a.pem"));
    for (told, issued) in [(&change.was, &old), (&change.now, &new)] {
        let told = told.as_deref().unwrap_or_default();
        assert!(told.contains("a.test, 89 days left"), "{told}");
        assert!(told.contains(&issued.fingerprint()[..16]), "{told}");
    }
    lbd.reload().exits(0).says("in handshakes that begin then");
    lbd.lbctl(["plan"]).exits(0).says("nothing would change");
}

#[test]
fn a_new_address_of_a_server_is_told_with_what_it_means() {
    let origins = Origin::start_all(["a", "b"]);
    let config = app(QUICK_CHECK, &origins[..1]);
    let mut lbd = Lbd::start(config.clone());
    let (old, new) = (origins[0].addr().to_string(), origins[1].addr().to_string());
    lbd.rewrite(config.replace(&old, &new));
    lbd.lbctl(["plan"])
        .exits(0)
        .says(&format!("~ server a address: {old} -> {new}"))
        .says("its health starts over");
}
