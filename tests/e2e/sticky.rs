//! Stickiness: the cookie leads a client back, and nobody but the client and lbd sees it.

use lb_proto::state::{Admin, State};
use lb_tests::access_log::{Line, wait_for_lines};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app, app_at};
use lb_tests::wire::{Response, ask, request};
use lb_tests::{Lbd, Origin, RawOrigin, Setup, Wire, eventually, is};
use serde_json::Value;

pub(crate) fn sticky(lines: &str) -> String {
    format!("{lines}\nsticky = {{ cookie = \"SRVID\" }}")
}

/// A GET with these lines of header.
pub(crate) fn ask_with(lbd: &Lbd, target: &str, lines: &str) -> Response {
    ask(
        lbd.addr(),
        format!("GET {target} HTTP/1.1\r\nhost: t\r\n{lines}\r\n"),
    )
}

pub(crate) fn with_cookie(lbd: &Lbd, value: &str) -> Response {
    ask_with(lbd, "/", &format!("cookie: SRVID={value}\r\n"))
}

fn set_cookies(response: &Response) -> Vec<&str> {
    let all = response.headers.iter();
    let set = all.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    set.map(|(_, value)| value.as_str()).collect()
}

/// The origin that answered a request which was led back to it: no cookie was set.
#[track_caller]
pub(crate) fn kept(response: &Response) -> &str {
    assert_eq!(set_cookies(response), [""; 0], "{response:?}");
    assert_eq!(response.header("cache-control"), None);
    response.origin().expect("an origin answered")
}

/// The origin that answered a request whose client was given the cookie of that origin.
#[track_caller]
pub(crate) fn given(response: &Response) -> &str {
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
fn an_upgrade_gives_the_cookie_and_comes_back_by_it_in_drain() {
    let echo = |name: &'static str| {
        RawOrigin::start(move |peer| {
            let head = peer.head();
            assert!(!head.contains("SRVID"), "{head}");
            peer.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\
                 x-origin: {name}\r\n\r\n"
            ));
            let ping = peer.bytes(4);
            peer.send(ping);
        })
    };
    let origins = ["a", "b"].map(|name| (name, echo(name)));
    let at = origins
        .each_ref()
        .map(|(name, origin)| (*name, origin.addr()));
    let lbd = Lbd::start(app_at(&sticky(NO_CHECK), at));
    let upgrade = |lines: &str| {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(format!(
            "GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: echo\r\n{lines}\r\n"
        ));
        let head = wire.head().expect("a head");
        assert_eq!(head.status, 101);
        wire.send("ping");
        assert_eq!(wire.bytes(4).expect("an echo"), b"ping");
        head
    };
    let server = given(&upgrade("")).to_owned();
    let id = format!("app/{server}");
    lbd.lbctl(["drain", &id]).exits(0);
    for _ in 0..2 {
        let again = upgrade(&format!("cookie: SRVID={server}\r\n"));
        assert_eq!(kept(&again), server);
    }
    eventually("the tunnels are closed", || is(lbd.server(&id).sessions, 0));
}

#[test]
fn the_access_log_tells_what_the_cookie_did() {
    let mut origins = Origin::start_all(["a", "b"]);
    let setup = Setup::new(app(&sticky(NO_CHECK), &origins));
    let path = setup.folder().join("access.log");
    let lbd = setup
        .global(&format!("access_log = {{ path = {path:?} }}"))
        .start();
    let mut seen = 0;
    let mut flags = |cookie: &str| {
        ask_with(&lbd, "/", cookie);
        seen += 1;
        let line = &wait_for_lines(&path, seen)[seen - 1];
        Line::parse(line).flags
    };
    assert_eq!(flags(""), "--NI");
    assert_eq!(flags("cookie: SRVID=gone\r\n"), "--II");
    assert_eq!(flags("cookie: SRVID=a\r\n"), "--VN");
    lbd.lbctl(["drain", "app/a"]).exits(0);
    assert_eq!(flags("cookie: SRVID=a\r\n"), "--VN", "in drain it is valid");
    lbd.lbctl(["maint", "app/a"]).exits(0);
    assert_eq!(flags("cookie: SRVID=a\r\n"), "--DI");
    lbd.lbctl(["ready", "app/a"]).exits(0);
    origins[0].kill();
    assert_eq!(flags("cookie: SRVID=a\r\n"), "--DI", "redispatched");
    lbd.lbctl(["maint", "app/a", "app/b"]).exits(0);
    assert_eq!(flags("cookie: SRVID=a\r\n"), "SCDN");
    assert_eq!(flags(""), "SCNN");
}
