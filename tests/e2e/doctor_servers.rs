//! `lbctl doctor` about servers: asked as lbd asks them, and what their answers give away.

use lb_proto::state::State;
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app, app_at};
use lb_tests::origin::Health;
use lb_tests::wire::request;
use lb_tests::{Authority, Http2Origin, Lbd, Origin, RawOrigin, Setup, TlsFront, Wire, eventually};

use crate::doctor::{Findings, doctor, text, why, without_daemon};
use crate::tls_to_servers::{self, CA, check, knowing};

#[test]
fn a_check_path_that_answers_404_is_shown_with_one_that_does_answer() {
    let origins = Origin::start_all(["web01", "web02"]);
    for origin in &origins {
        origin.set_health(Health::Status(404));
    }
    let setup = Setup::new(app(
        &QUICK_CHECK.replace("timeout", "expect = \"200\", timeout"),
        &origins,
    ));
    let alone = without_daemon(&setup);
    let lbd = setup.start();
    lbd.wait_for_state("app/web01", State::Down);
    lbd.wait_for_state("app/web02", State::Down);
    for found in [alone, doctor(&lbd, 1)] {
        let what = "every server of app fails its check: GET /healthz answered 404, expected 200";
        let problem = found.problem("servers", what);
        let seen = why(problem);
        assert!(
            seen.contains("came back: HTTP/1.1 404 Not Found"),
            "{problem:#}"
        );
        assert!(seen.contains("came back: health"), "{problem:#}");
        for origin in &origins {
            assert!(seen.contains(&origin.addr().to_string()), "{problem:#}");
        }
        let remedy = text(&problem["remedy"]);
        assert!(
            remedy.contains("set path = \"/\" in `health` of [backend.app]"),
            "{problem:#}"
        );
        let command = text(&problem["command"]);
        assert_eq!(
            command,
            format!("curl -i http://{}/healthz", origins[0].addr())
        );
    }
}

#[test]
fn a_server_that_is_gone_and_one_that_is_silent_are_told_apart() {
    let mut origins = Origin::start_all(["web01", "web02", "web03"]);
    // The one that is well is given all the time that it needs.
    let check = QUICK_CHECK.replace("60s", "300ms");
    let well = format!(
        "[backend.well]\n{QUICK_CHECK}\nservers = [{{ name = \"web03\", address = \"{}\" }}]\n",
        origins[2].addr()
    );
    let lbd = Lbd::start(app(&check, &origins[..2]) + &well);
    lbd.wait_until_healthy("well/web03");
    origins[0].kill();
    origins[1].set_health(Health::Hang);
    lbd.wait_for_state("app/web01", State::Down);
    lbd.wait_for_state("app/web02", State::Down);
    let found = doctor(&lbd, 1);
    found.problem("servers", "app/web01 fails its check: connection refused");
    found.problem(
        "servers",
        "app/web02 fails its check: GET /healthz got no answer within 300ms",
    );
    assert_eq!(found.with("problem", "servers").len(), 2, "{:#?}", found.0);
}

#[test]
fn a_backend_whose_servers_were_all_taken_out_is_a_problem() {
    let origin = Origin::start("web01");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    lbd.lbctl(["maint", "app/web01"]).exits(0);
    let found = doctor(&lbd, 1);
    let problem = found.problem("servers", "no server of app takes new requests");
    assert_eq!(problem["command"], "lbctl ready app/web01");
}

#[test]
fn servers_with_tls_are_asked_as_lbd_asks_them() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let origin = Origin::start("a");
    let lines = check("type = \"http\", path = \"/healthz\"");
    let start = |by: &Authority| {
        let front = TlsFront::showing(&by.issue(&["127.0.0.1"])).before(origin.addr());
        let lbd = tls_to_servers::start(knowing(&authority), &lines, CA, front.addr());
        (front, lbd)
    };
    let (front, lbd) = start(&authority);
    lbd.wait_until_healthy("app/a");
    doctor(&lbd, 0);
    origin.set_health(Health::Status(500));
    lbd.wait_for_state("app/a", State::Down);
    let found = doctor(&lbd, 1);
    let problem = found.problem("servers", "GET /healthz answered 500");
    let curl = format!("curl -ik https://{}/healthz", front.addr());
    assert_eq!(text(&problem["command"]), curl);
    assert!(
        text(&problem["remedy"]).contains("its own log"),
        "{problem:#}"
    );

    let (_front, lbd) = start(&stranger);
    lbd.wait_for_state("app/a", State::Down);
    doctor(&lbd, 1).problem(
        "servers",
        "no TLS: its certificate is signed by another issuer",
    );
}

#[test]
fn of_servers_of_http2_lbds_word_is_taken() {
    let origin = Http2Origin::named("a");
    let check = check("type = \"http\", path = \"/healthz\", expect = \"204\"");
    let lines = format!("protocol = \"h2\"\n{check}");
    let lbd = Lbd::start(app_at(&lines, [("a", origin.addr())]));
    lbd.wait_for_state("app/a", State::Down);
    let found = doctor(&lbd, 1);
    let what = "app/a is down: GET /healthz answered 200, expected 204";
    found.problem("servers", what);
    assert_eq!(found.with("fine", "servers").len(), 0, "{:#?}", found.0);
    assert_eq!(
        found.with("not_looked_at", "servers").len(),
        1,
        "{:#?}",
        found.0
    );
}

#[test]
fn a_name_that_leads_nowhere_is_told() {
    let origin = Origin::start("web01");
    let config = app(NO_CHECK, [&origin]);
    let more = "servers = [\n  { name = \"lost\", address = \"no-such-name.invalid:80\" },";
    let lbd = Lbd::start(config.replace("servers = [", more));
    let found = eventually("doctor misses the name", || {
        let output = lbd.lbctl(["doctor", "--json"]);
        match output.code {
            Some(1) => Ok(Findings::of(&output)),
            _ => Err(format!("{output:#?}")),
        }
    });
    let problem = found.problem("names", "the name no-such-name.invalid cannot be looked up");
    assert_eq!(problem["command"], "getent ahosts no-such-name.invalid");
}

#[test]
fn session_cookies_of_a_backend_that_is_not_sticky_are_noticed() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nset-cookie: theme=dark\r\n\
        set-cookie: JSESSIONID=abc; Path=/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let origins = [(); 2].map(|()| RawOrigin::answering(ANSWER));
    let at = ["web01", "web02"]
        .into_iter()
        .zip(origins.iter().map(RawOrigin::addr));
    let config = app_at(NO_CHECK, at);
    let mut lbd = Lbd::start(config.clone());
    assert_eq!(lbd.server("app/web01").session_cookie, None);
    doctor(&lbd, 0);
    let ask = |lbd: &Lbd| {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(request("GET", "/"));
        wire.response();
    };
    ask(&lbd);
    let cookie = lbd.server("app/web01").session_cookie;
    assert_eq!(cookie.as_deref(), Some("JSESSIONID"));
    assert_eq!(lbd.server("app/web02").session_cookie, None);
    let found = doctor(&lbd, 1);
    let problem = found.problem("sessions", "users of app are logged out at random");
    assert!(
        why(problem).contains("app/web01 set the cookie JSESSIONID"),
        "{problem:#}"
    );
    assert!(
        text(&problem["remedy"]).contains("sticky = { cookie = \"SRVID\" }"),
        "{problem:#}"
    );

    // Clients are tied to their servers, or any server will do.
    for sticky in ["{ cookie = \"SRVID\" }", "false"] {
        lbd.rewrite(config.replace(NO_CHECK, &format!("{NO_CHECK}\nsticky = {sticky}")));
        lbd.reload().exits(0);
        ask(&lbd);
        assert_eq!(lbd.server("app/web01").session_cookie, None);
        doctor(&lbd, 0);
    }
}
