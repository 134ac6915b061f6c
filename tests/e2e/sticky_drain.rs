//! Who comes back by cookie is counted, and `drain --move-sticky` sends them elsewhere.

use lb_proto::error::ErrorCode;
use lb_proto::event::Event;
use lb_proto::request::SetState;
use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::eventually::LIMIT;
use lb_tests::{Lbd, Origin};

use crate::sticky::{ask_with, given, kept, sticky, with_cookie};

#[test]
fn status_counts_the_clients_that_came_back_in_the_last_minute() {
    let origins = Origin::start_all(["a", "b"]);
    let config = app(&sticky(NO_CHECK), &origins);
    let lbd = Lbd::start(config.replace(
        "default_backend",
        "trusted_proxies = [\"127.0.0.0/8\"]\ndefault_backend",
    ));
    let counted = || ["app/a", "app/b"].map(|server| lbd.server(server).sticky_clients);
    assert_eq!(counted(), [Some(0), Some(0)]);
    for _ in 0..3 {
        ask_with(&lbd, "/", "");
        ask_with(&lbd, "/", "cookie: SRVID=gone\r\n");
    }
    assert_eq!(counted(), [Some(0), Some(0)], "nobody came back yet");
    for _ in 0..3 {
        for client in [
            "x-forwarded-for: 192.0.2.1\r\nuser-agent: x\r\n",
            "x-forwarded-for: 192.0.2.1\r\nuser-agent: y\r\n",
            "x-forwarded-for: 192.0.2.2\r\nuser-agent: x\r\n",
            "x-forwarded-for: 192.0.2.2\r\n",
        ] {
            ask_with(&lbd, "/", &format!("cookie: SRVID=a\r\n{client}"));
        }
        with_cookie(&lbd, "b");
    }
    assert_eq!(counted(), [Some(4), Some(1)]);
    lbd.lbctl(["maint", "app/b"]).exits(0);
    ask_with(&lbd, "/", "cookie: SRVID=b\r\nuser-agent: z\r\n");
    assert_eq!(
        counted(),
        [Some(4), Some(1)],
        "who came to a for b is not of a"
    );
}

#[test]
fn a_backend_that_is_not_sticky_counts_nobody() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    with_cookie(&lbd, "a");
    assert_eq!(lbd.server("app/a").sticky_clients, None);
}

#[test]
fn drain_tells_of_the_clients_that_may_come_again() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    let silent = lbd.lbctl(["drain", "app/b"]);
    assert!(!silent.exits(0).stderr.contains("sticky"));
    for agent in ["x", "y"] {
        ask_with(
            &lbd,
            "/",
            &format!("cookie: SRVID=a\r\nuser-agent: {agent}\r\n"),
        );
    }
    let told = "2 sticky clients came to app/a in the last minute";
    lbd.lbctl(["drain", "app/a"]).exits(0).says(told);
    lbd.lbctl(["drain", "app/a", "--no-wait"])
        .exits(0)
        .says(told);
    let json = lbd.lbctl(["drain", "app/a", "--json"]);
    json.exits(0).says("\"sticky_clients\":2");
    lbd.lbctl(["status"]).exits(0).says("STICKY");
    let moved = lbd.lbctl(["drain", "app/a", "--move-sticky"]);
    assert!(!moved.exits(0).stderr.contains("sticky clients came"));
}

#[test]
fn drain_with_move_sticky_sends_them_elsewhere_until_the_server_is_ready() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    lbd.lbctl(["drain", "app/a"]).exits(0);
    assert_eq!(kept(&with_cookie(&lbd, "a")), "a");
    let mut watch = lbd.client().watch().expect("the daemon streams");
    lbd.lbctl(["drain", "app/a", "--move-sticky"]).exits(0);
    let event = watch.next(LIMIT).expect("the daemon streams");
    let Some(Event::Server {
        state,
        move_sticky,
        reason,
        ..
    }) = event
    else {
        panic!("not of a server: {event:?}");
    };
    assert_eq!((state, move_sticky), (State::Drain, true));
    assert!(reason.contains("sticky clients are moved"), "{reason}");
    assert!(lbd.server("app/a").move_sticky);
    assert_eq!(given(&with_cookie(&lbd, "a")), "b");
    // Nothing but `ready` takes it back.
    lbd.lbctl(["drain", "app/a"]).exits(0);
    assert_eq!(given(&with_cookie(&lbd, "a")), "b");
    lbd.lbctl(["maint", "app/a"]).exits(0);
    lbd.lbctl(["drain", "app/a"]).exits(0);
    assert_eq!(given(&with_cookie(&lbd, "a")), "b");
    lbd.lbctl(["ready", "app/a"]).exits(0);
    assert!(!lbd.server("app/a").move_sticky);
    assert_eq!(kept(&with_cookie(&lbd, "a")), "a");
}

#[test]
fn with_every_server_moving_its_clients_the_answer_is_503() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    lbd.lbctl(["drain", "app/a", "--move-sticky"]).exits(0);
    assert_eq!(with_cookie(&lbd, "a").status, 503);
    assert_eq!(origins[0].requests(), 0);
}

#[test]
fn moving_goes_with_drain_alone() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    let set = |admin, move_sticky| {
        lbd.client().call(&SetState {
            server: "app/a".parse().expect("a server's name"),
            admin,
            was: None,
            move_sticky,
            reason: None,
            for_s: None,
            kill: false,
        })
    };
    for admin in [Admin::Ready, Admin::Maint] {
        let error = set(admin, Some(true)).expect_err("it makes no sense");
        assert_eq!(error.code, ErrorCode::BadRequest);
    }
    assert_eq!(lbd.server("app/a").admin, Admin::Ready);
    set(Admin::Drain, Some(true)).expect("a drain");
    set(Admin::Drain, Some(false)).expect("a drain that is taken back in part");
    let a = lbd.server("app/a");
    assert_eq!((a.admin, a.move_sticky), (Admin::Drain, false));
}
