//! Passive health: a server that fails too often is left alone for a while.

use std::time::Duration;

use lb_proto::event::Event;
use lb_proto::state::State;
use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::wire::{ask, get};
use lb_tests::{Lbd, Origin, RawOrigin, eventually, is};

/// Three errors, whenever they were; out for as long as a test lasts.
const LONG: &str = "outlier = { errors = 3, window = \"1h\", eject = \"1h\" }";

fn failing() -> RawOrigin {
    RawOrigin::answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
}

fn config(rule: &str, good: &Origin, bad: &RawOrigin) -> String {
    let servers = [("good", good.addr()), ("bad", bad.addr())];
    app_at(&format!("{NO_CHECK}\n{rule}"), servers)
}

#[track_caller]
fn wait_until_ejected(lbd: &Lbd, server: &str) {
    eventually("it is ejected", || {
        get(lbd.addr(), "/");
        is(lbd.server(server).ejected.is_some(), true)
    });
}

#[test]
fn a_server_that_answers_5xx_is_left_alone_and_says_why() {
    let (good, bad) = (Origin::start("good"), failing());
    let lbd = Lbd::start(config(LONG, &good, &bad));
    let mut events = lbd.client().watch().expect("events can be watched");
    wait_until_ejected(&lbd, "app/bad");
    let seen = lbd.server("app/bad");
    assert_eq!(seen.state, State::Up);
    let ejected = seen.ejected.expect("it is ejected");
    assert_eq!(ejected.reason, "3 errors within 3600s");
    assert!(ejected.left_s > 3000 && ejected.left_s <= 3600);

    let before = bad.connections();
    for _ in 0..20 {
        assert_eq!(get(lbd.addr(), "/").status, 200);
    }
    assert_eq!(bad.connections(), before);
    lbd.wait_for_log("server ejected");
    lbd.lbctl(["status"])
        .exits(0)
        .says("2 of 2 servers up, 1 of them ejected")
        .says("up, ejected ");
    let event = events
        .next(Duration::from_secs(60))
        .expect("the daemon answers")
        .expect("there was an event");
    let Event::Server {
        server, ejected, ..
    } = event
    else {
        panic!("not of a server: {event:?}");
    };
    assert_eq!((server.to_string().as_str(), ejected), ("app/bad", true));
}

#[test]
fn a_server_that_refuses_connections_is_left_alone_without_any_check() {
    let mut origins = Origin::start_all(["a", "b"]);
    let servers = [("a", origins[0].addr()), ("b", origins[1].addr())];
    let lbd = Lbd::start(app_at(&format!("{NO_CHECK}\n{LONG}"), servers));
    origins[0].kill();
    eventually("it is ejected", || {
        assert_eq!(get(lbd.addr(), "/").status, 200);
        is(lbd.server("app/a").ejected.is_some(), true)
    });
    let errors = lbd.server("app/a").errors.connect;
    for _ in 0..20 {
        assert_eq!(get(lbd.addr(), "/").status, 200);
    }
    assert_eq!(lbd.server("app/a").errors.connect, errors);
}

#[test]
fn it_comes_back_by_itself_without_a_request() {
    let (good, bad) = (Origin::start("good"), failing());
    let rule = "outlier = { errors = 3, window = \"1h\", eject = \"200ms\" }";
    let lbd = Lbd::start(config(rule, &good, &bad));
    let mut events = lbd.client().watch().expect("events can be watched");
    for _ in 0..6 {
        get(lbd.addr(), "/");
    }
    let mut ejected = || {
        let event = events.next(Duration::from_secs(60));
        match event.expect("the daemon answers") {
            Some(Event::Server { ejected, .. }) => ejected,
            other => panic!("not of a server: {other:?}"),
        }
    };
    assert!(ejected());
    assert!(!ejected(), "it comes back");
    let before = bad.connections();
    eventually("it gets requests again", || {
        get(lbd.addr(), "/");
        is(bad.connections() > before, true)
    });
}

#[test]
fn half_of_a_backend_is_never_left_alone_and_a_lone_server_never() {
    let bad = [failing(), failing(), failing()];
    let three = bad.iter().zip(["a", "b", "c"]).map(|(o, n)| (n, o.addr()));
    let one = format!(
        "[frontend.lone]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"lone\"\n\
         [backend.lone]\n{NO_CHECK}\n{LONG}\nservers = [{{ name = \"only\", address = \"{}\" }}]\n",
        bad[0].addr()
    );
    let three = app_at(&format!("{NO_CHECK}\n{LONG}"), three);
    let lbd = Lbd::start(format!("{three}\n{one}"));
    let count = || {
        let status = lbd.status();
        let servers = status.backends.iter().flat_map(|b| &b.servers);
        servers.filter(|server| server.ejected.is_some()).count()
    };
    eventually("one is ejected", || {
        get(lbd.addr(), "/");
        is(count(), 1)
    });
    for _ in 0..30 {
        assert_eq!(get(lbd.addr(), "/").status, 500);
        assert_eq!(get(lbd.addr_of("lone"), "/").status, 500);
    }
    assert_eq!(count(), 1);
}

#[test]
fn an_ejected_server_is_better_than_none() {
    let (good, bad) = (Origin::start("good"), failing());
    let lbd = Lbd::start(config(LONG, &good, &bad));
    wait_until_ejected(&lbd, "app/bad");
    lbd.lbctl(["maint", "app/good"]).exits(0);
    assert_eq!(get(lbd.addr(), "/").status, 500);
    lbd.lbctl(["ready", "app/good"]).exits(0);
    for _ in 0..10 {
        assert_eq!(get(lbd.addr(), "/").status, 200);
    }
}

#[test]
fn a_cookie_does_not_lead_to_an_ejected_server() {
    let (good, bad) = (Origin::start("good"), failing());
    let rule = format!("{LONG}\nsticky = {{ cookie = \"SRVID\" }}");
    let lbd = Lbd::start(config(&rule, &good, &bad));
    let returning = || {
        let head = "GET / HTTP/1.1\r\nhost: t\r\ncookie: SRVID=bad\r\n\r\n";
        ask(lbd.addr(), head)
    };
    eventually("it is ejected", || {
        returning();
        is(lbd.server("app/bad").ejected.is_some(), true)
    });
    let response = returning();
    assert_eq!(response.status, 200);
    let cookie = response.header("set-cookie").unwrap_or_default();
    assert!(cookie.contains("SRVID=good"), "{cookie}");
    // Where there is no other, it is used after all.
    lbd.lbctl(["maint", "app/good"]).exits(0);
    assert_eq!(returning().status, 500);
}

#[test]
fn the_operator_and_a_reload_without_the_rule_end_it() {
    let (good, bad) = (Origin::start("good"), failing());
    let mut lbd = Lbd::start(config(LONG, &good, &bad));
    wait_until_ejected(&lbd, "app/bad");
    lbd.lbctl(["ready", "app/bad"]).exits(0);
    assert_eq!(lbd.server("app/bad").ejected, None);
    wait_until_ejected(&lbd, "app/bad");
    lbd.rewrite(config(&format!("{LONG}\nretries = 1"), &good, &bad));
    lbd.reload().exits(0);
    assert!(lbd.server("app/bad").ejected.is_some());
    lbd.rewrite(config("", &good, &bad));
    lbd.reload().exits(0);
    assert_eq!(lbd.server("app/bad").ejected, None);
    let before = bad.connections();
    get(lbd.addr(), "/");
    get(lbd.addr(), "/");
    assert_eq!(bad.connections(), before + 1);
}
