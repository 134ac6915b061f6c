//! Stickiness: the cookie leads a client back, and nobody but the client and lbd sees it.

use lb_proto::error::ErrorCode;
use lb_proto::event::Event;
use lb_proto::request::SetState;
use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app, app_at};
use lb_tests::eventually::LIMIT;
use lb_tests::wire::{Response, ask, request};
use lb_tests::{Lbd, Origin, RawOrigin, Wire, eventually, is};
use serde_json::Value;

fn sticky(lines: &str) -> String {
    format!("{lines}\nsticky = {{ cookie = \"SRVID\" }}")
}

/// A GET with these lines of header.
fn ask_with(lbd: &Lbd, target: &str, lines: &str) -> Response {
    ask(
        lbd.addr(),
        format!("GET {target} HTTP/1.1\r\nhost: t\r\n{lines}\r\n"),
    )
}

fn with_cookie(lbd: &Lbd, value: &str) -> Response {
    ask_with(lbd, "/", &format!("cookie: SRVID={value}\r\n"))
}

fn set_cookies(response: &Response) -> Vec<&str> {
    let all = response.headers.iter();
    let set = all.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    set.map(|(_, value)| value.as_str()).collect()
}

/// The origin that answered a request which was led back to it: no cookie was set.
#[track_caller]
fn kept(response: &Response) -> &str {
    assert_eq!(set_cookies(response), [""; 0], "{response:?}");
    assert_eq!(response.header("cache-control"), None);
    response.origin().expect("an origin answered")
}

/// The origin that answered a request whose client was given the cookie of that origin.
#[track_caller]
fn given(response: &Response) -> &str {
    let origin = response.origin().expect("an origin answered");
    let wanted = format!("SRVID={origin}; Path=/; HttpOnly");
    assert_eq!(set_cookies(response), [wanted], "{response:?}");
    assert_eq!(response.header("cache-control"), Some("private"));
    origin
}

fn cookies_seen(echo: &Value) -> Vec<&str> {
    let headers = echo["headers"].as_array().expect("echo lists the headers");
    let cookies = headers.iter().filter(|header| header[0] == "cookie");
    cookies
        .map(|header| header[1].as_str().expect("a text"))
        .collect()
}

#[test]
fn a_client_without_cookie_gets_one_and_comes_back_to_its_server() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    let mut first: Vec<String> = Vec::new();
    for _ in 0..3 {
        first.push(given(&ask_with(&lbd, "/", "")).to_owned());
    }
    first.sort();
    assert_eq!(first, ["a", "b", "c"], "those without cookie take turns");
    for origin in ["c", "a", "b", "a"] {
        for _ in 0..4 {
            assert_eq!(kept(&with_cookie(&lbd, origin)), origin);
        }
    }
    // One connection may carry several clients' requests, as behind another proxy.
    let mut wire = Wire::connect(lbd.addr());
    for origin in ["c", "a", "b", "a"] {
        let with = format!("GET / HTTP/1.1\r\nhost: t\r\ncookie: SRVID={origin}\r\n\r\n");
        assert_eq!(kept(&wire.send(with).response()), origin);
    }
}

#[test]
fn the_server_never_sees_the_cookie_and_all_of_the_others() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(&sticky(NO_CHECK), [&origin]));
    for (lines, seen) in [
        ("cookie: SRVID=a\r\n", &[][..]),
        ("Cookie: x=1; SRVID=a;  y=\"2\"\r\n", &["x=1;  y=\"2\""]),
        (
            "cookie: x=1\r\nCOOKIE: SRVID=a\r\ncookie: y=2; SRVID=gone\r\n",
            &["x=1", "y=2"],
        ),
        ("cookie: srvid=a; SRVID2=a\r\n", &["srvid=a; SRVID2=a"]),
    ] {
        let echo = ask_with(&lbd, "/echo", lines).json();
        assert_eq!(cookies_seen(&echo), seen, "{lines:?}");
    }
}

#[test]
fn a_value_that_means_nobody_is_replaced() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    for value in ["gone", "", "A", "\"a"] {
        given(&with_cookie(&lbd, value));
    }
    assert_eq!(kept(&with_cookie(&lbd, "\"b\"")), "b");
}

#[test]
fn servers_have_the_cookies_that_the_file_says() {
    let origins = Origin::start_all(["a", "b"]);
    let config = app(&sticky(NO_CHECK), &origins);
    let marked = config.replace("name = \"b\",", "name = \"b\", cookie = \"second\",");
    let lbd = Lbd::start(marked);
    assert_eq!(with_cookie(&lbd, "second").origin(), Some("b"));
    let unknown = with_cookie(&lbd, "b");
    assert_eq!(set_cookies(&unknown).len(), 1);
    let to_b = [unknown, with_cookie(&lbd, "b")];
    let to_b = to_b.iter().find(|response| response.origin() == Some("b"));
    let to_b = to_b.expect("two without a server reach both");
    assert_eq!(set_cookies(to_b), ["SRVID=second; Path=/; HttpOnly"]);
}

#[test]
fn a_server_that_dies_loses_its_clients_and_they_get_the_cookie_of_another() {
    let mut origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    assert_eq!(kept(&with_cookie(&lbd, "a")), "a");
    origins[0].kill();
    // No check has noticed: the connection is refused, and the retry goes elsewhere.
    assert_eq!(given(&with_cookie(&lbd, "a")), "b");
    origins[0].revive();
    assert_eq!(kept(&with_cookie(&lbd, "a")), "a");
}

#[test]
fn a_cookie_of_a_server_that_is_down_or_in_maint_is_replaced() {
    let mut origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(&sticky(QUICK_CHECK), &origins));
    lbd.wait_until_healthy("app/b");
    lbd.wait_until_healthy("app/a");
    lbd.lbctl(["maint", "app/a"]).exits(0);
    assert_eq!(given(&with_cookie(&lbd, "a")), "b");
    lbd.lbctl(["ready", "app/a", "--wait"]).exits(0);
    assert_eq!(kept(&with_cookie(&lbd, "a")), "a");
    origins[0].kill();
    lbd.wait_for_state("app/a", State::Down);
    let before = lbd.server("app/a").errors;
    assert_eq!(given(&with_cookie(&lbd, "a")), "b");
    assert_eq!(lbd.server("app/a").errors, before, "it was not even tried");
}

#[test]
fn in_drain_a_client_keeps_its_server_and_nobody_new_comes() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    lbd.lbctl(["drain", "app/a"]).exits(0);
    for _ in 0..4 {
        assert_eq!(kept(&with_cookie(&lbd, "a")), "a");
        assert_eq!(given(&ask_with(&lbd, "/", "")), "b");
    }
    let a = lbd.server("app/a");
    assert_eq!(
        (a.admin, a.state, a.sessions_total),
        (Admin::Drain, State::Drain, 4)
    );
}

#[test]
fn a_server_of_weight_0_keeps_its_clients() {
    let origins = Origin::start_all(["a", "b"]);
    let config = app(&sticky(NO_CHECK), &origins);
    let lbd = Lbd::start(config.replace("name = \"a\",", "name = \"a\", weight = 0,"));
    for _ in 0..3 {
        assert_eq!(kept(&with_cookie(&lbd, "a")), "a");
        assert_eq!(given(&ask_with(&lbd, "/", "")), "b");
    }
}

#[test]
fn without_redispatch_a_client_of_a_dead_server_waits_for_it_and_keeps_its_cookie() {
    let mut origins = Origin::start_all(["a", "b"]);
    let lines = "retries = 1\nredispatch = false\ntimeouts = { connect = \"20ms\" }";
    let lbd = Lbd::start(app(&sticky(&format!("{NO_CHECK}\n{lines}")), &origins));
    lbd.lbctl(["drain", "app/a"]).exits(0);
    origins[0].kill();
    let refused = with_cookie(&lbd, "a");
    assert_eq!((refused.status, set_cookies(&refused)), (503, vec![]));
    assert_eq!(origins[1].requests(), 0);
    assert_eq!(
        lbd.server("app/a").errors.connect,
        2,
        "drained, it was tried again"
    );
}

#[test]
fn what_the_server_says_under_our_name_is_lost_and_the_rest_arrives() {
    let origin = RawOrigin::answering(
        "HTTP/1.1 200 OK\r\nset-cookie: app=1; Path=/\r\nSet-Cookie: SRVID=evil; Path=/\r\n\
         set-cookie: b=2\r\ncache-control: public, max-age=60, s-maxage=600\r\n\
         cdn-cache-control: max-age=600\r\ncontent-length: 0\r\n\r\n",
    );
    let lbd = Lbd::start(app_at(&sticky(NO_CHECK), [("s", origin.addr())]));
    let first = ask_with(&lbd, "/", "");
    assert_eq!(
        set_cookies(&first),
        ["app=1; Path=/", "b=2", "SRVID=s; Path=/; HttpOnly"]
    );
    assert_eq!(first.header("cache-control"), Some("private, max-age=60"));
    assert_eq!(first.header("cdn-cache-control"), None);
    let again = ask_with(&lbd, "/", "cookie: SRVID=s\r\n");
    assert_eq!(set_cookies(&again), ["app=1; Path=/", "b=2"]);
    assert_eq!(
        again.header("cache-control"),
        Some("public, max-age=60, s-maxage=600"),
        "what sets no cookie may be kept"
    );
}

#[test]
fn rules_that_remove_cookies_do_not_remove_ours() {
    let origin =
        RawOrigin::answering("HTTP/1.1 200 OK\r\nset-cookie: app=1\r\ncontent-length: 0\r\n\r\n");
    let lines = format!(
        "{NO_CHECK}\nresponse_headers = {{ remove = [\"set-cookie\", \"cache-control\"] }}"
    );
    let lbd = Lbd::start(app_at(&sticky(&lines), [("s", origin.addr())]));
    let response = ask_with(&lbd, "/", "");
    assert_eq!(set_cookies(&response), ["SRVID=s; Path=/; HttpOnly"]);
    assert_eq!(response.header("cache-control"), Some("private"));
}

#[test]
fn answers_of_lbd_itself_set_no_cookie() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    lbd.lbctl(["maint", "app/a"]).exits(0);
    for lines in ["", "cookie: SRVID=a\r\n"] {
        let refused = ask_with(&lbd, "/", lines);
        assert_eq!((refused.status, set_cookies(&refused)), (503, vec![]));
    }
    eventually("no session is left", || is(lbd.server("app/a").sessions, 0));
}

#[test]
fn a_reload_that_takes_the_server_away_replaces_its_cookie() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(&sticky(NO_CHECK), &origins));
    assert_eq!(kept(&with_cookie(&lbd, "a")), "a");
    lbd.rewrite(app(&sticky(NO_CHECK), &origins[1..]));
    lbd.reload().exits(0);
    assert_eq!(given(&with_cookie(&lbd, "a")), "b");
    lbd.rewrite(app(NO_CHECK, &origins));
    lbd.reload().exits(0);
    let mut wire = Wire::connect(lbd.addr());
    let plain = wire.send(request("GET", "/")).response();
    assert_eq!(set_cookies(&plain), [""; 0]);
    let echo = ask_with(&lbd, "/echo", "cookie: SRVID=a\r\n").json();
    assert_eq!(cookies_seen(&echo), ["SRVID=a"], "not ours any more");
}

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
            move_sticky,
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
