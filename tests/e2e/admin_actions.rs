//! `[admin] actions`: who may change a server's state by HTTP, and that nobody else does.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use lb_proto::audit::{Audit, Outcome};
use lb_proto::event::Event;
use lb_proto::reply::SetState;
use lb_proto::request;
use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::{End, Response};
use lb_tests::{Lbd, Origin, Wire, eventually, is, wire};

const ON_A: &str = "/api/v1/servers/app/a/state";
const DRAIN: &str = r#"{"admin":"drain"}"#;

fn start(lines: &str, origins: &[Origin]) -> Lbd {
    let app = app(NO_CHECK, origins);
    Lbd::start(format!("[admin]\nbind = \"127.0.0.1:0\"\n{lines}\n{app}"))
}

fn acting(origins: &[Origin]) -> Lbd {
    start("actions = true", origins)
}

fn token(lbd: &Lbd) -> String {
    let path = lbd.folder().join("state/admin.token");
    let token = std::fs::read_to_string(&path).expect("it was made at the start");
    let mode = path.metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    token.trim().to_owned()
}

/// A change that is asked for.
fn post(target: &str, headers: &[&str], body: &str) -> String {
    let length = body.len();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    format!("POST {target} HTTP/1.1\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

const HOST: &str = "host: localhost:8404";
const JSON: &str = "content-type: application/json";

fn code(response: &Response) -> String {
    let code = &response.json()["error"]["code"];
    code.as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn refused(admin: SocketAddr, request: String, status: u16) -> Response {
    let response = wire::ask(admin, request);
    assert_eq!(response.status, status, "{}", response.text());
    assert!(!code(&response).is_empty());
    response
}

/// What is on record.
pub(crate) fn audit(lbd: &Lbd) -> Vec<Audit> {
    let call = request::Events {
        audit: true,
        ..Default::default()
    };
    let kept = lbd.client().call(&call).expect("audit records");
    let records = kept.events.into_iter().map(|event| match event {
        Event::Audit(record) => record,
        other => panic!("no record: {other:?}"),
    });
    records.collect()
}

#[test]
fn the_token_drains_and_it_is_known_who_did_it() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = acting(&origins);
    let secret = token(&lbd);
    let shown = format!("x-lbd-token: {secret}");
    let headers = [HOST, JSON, &shown, "origin: http://localhost:8404"];
    let body = r#"{"admin":"drain","reason":"kernel update","for_s":600}"#;
    let mut wire = Wire::connect(lbd.admin());
    wire.send(post(ON_A, &headers, body));
    let done = wire.response();
    assert_eq!(done.status, 200, "{}", done.text());
    let answered: SetState = serde_json::from_slice(&done.body).expect("as the call answers");
    assert_eq!(
        (answered.was, answered.server.state, answered.not_kept),
        (Admin::Ready, State::Drain, None)
    );
    let server = lbd.server("app/a");
    let set = server.overrides.admin.expect("it is marked");
    assert_eq!(set.by.to_string(), "dashboard (127.0.0.1)");
    assert_eq!(set.reason.as_deref(), Some("kernel update"));
    assert!(set.until.is_some());
    let records = audit(&lbd);
    let last = records.last().expect("a record");
    assert_eq!((last.outcome, &last.by), (Outcome::Done, &set.by));
    assert!(
        lbd.lbctl(["events", "--audit", "--no-follow"])
            .stdout
            .contains("by dashboard (127.0.0.1): kernel update")
    );

    wire.send(post(ON_A, &headers, r#"{"admin":"maint","kill":true}"#));
    assert_eq!(wire.response().status, 200, "the connection goes on");
    assert_eq!(lbd.server("app/a").state, State::Maint);

    // It outlives the process, and so does the token.
    lbd.stop();
    lbd.start_again();
    let server = lbd.server("app/a");
    assert_eq!(server.state, State::Maint);
    assert_eq!(server.overrides.admin.expect("it is marked").by, set.by);
    assert_eq!(token(&lbd), secret);
    let ready = post(ON_A, &headers, r#"{"admin":"ready"}"#);
    assert_eq!(wire::ask(lbd.admin(), ready).status, 200);
    assert_eq!(lbd.server("app/a").state, State::Up);
}

#[test]
fn whoever_has_no_right_changes_nothing() {
    let origins = Origin::start_all(["a"]);
    let lbd = acting(&origins);
    let (admin, token) = (lbd.admin(), token(&lbd));
    let shown = format!("x-lbd-token: {token}");
    let with = |more: &[&str]| post(ON_A, &[&[HOST, JSON][..], more].concat(), DRAIN);

    let missing = refused(admin, with(&[]), 403);
    assert_eq!(code(&missing), "not_allowed");
    for wrong in ["x-lbd-token: 00", "x-lbd-token:", &shown[..shown.len() - 1]] {
        refused(admin, with(&[wrong]), 403);
    }
    refused(admin, with(&["x-lbd-token: 00", &shown]), 403);
    let in_target = format!("{ON_A}?x-lbd-token={token}&token={token}");
    refused(admin, post(&in_target, &[HOST, JSON], DRAIN), 403);
    let get = format!("GET {ON_A}?token={token}&admin=drain HTTP/1.1\r\n{HOST}\r\n{shown}\r\n\r\n");
    assert_eq!(refused(admin, get, 405).header("allow"), Some("POST"));

    for foreign in [
        "origin: http://evil.example",
        "origin: null",
        "origin: http://localhost:8405",
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
    ] {
        refused(admin, with(&[&shown, foreign]), 403);
    }
    let rebound = post(ON_A, &["host: evil.example:8404", JSON, &shown], DRAIN);
    refused(admin, rebound, 421);
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let kind = format!("content-type: {kind}");
        refused(admin, post(ON_A, &[HOST, &kind, &shown], DRAIN), 415);
    }
    refused(admin, post(ON_A, &[HOST, &shown], DRAIN), 415);
    assert_eq!(lbd.server("app/a").admin, Admin::Ready);
    eventually("refusals are in the log", || {
        let log = lbd.log();
        let by = "by=dashboard (127.0.0.1) server=\"app/a\"";
        let told = log.contains(&format!("{by} error=x-lbd-token is missing\n"));
        let counted = log.contains(" more were refused within ");
        is((told, counted), (true, true))
    });
    // Whoever reaches the address could fill it with them.
    assert_eq!(audit(&lbd), []);
    assert!(!lbd.log().contains(&token));
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let origins = Origin::start_all(["a"]);
    let lbd = acting(&origins);
    let admin = lbd.admin();
    let shown = format!("x-lbd-token: {}", token(&lbd));
    let headers = [HOST, JSON, &shown];
    for body in [
        "",
        "drain",
        "[]",
        r#"{"admin":"drained"}"#,
        r#"{"admin":"drain","weight":3}"#,
        r#"{"admin":"drain","server":"app/b"}"#,
        r#"{"admin":"ready","admin":"drain"}"#,
        r#"{"admin":"drain","reason":"a\nb"}"#,
        r#"{"admin":"drain","kill":true}"#,
    ] {
        let response = refused(admin, post(ON_A, &headers, body), 400);
        assert_eq!(code(&response), "bad_request", "{body}");
    }
    for (server, named) in [
        ("app/z", "app/z"),
        ("nobody/a", "nobody/a"),
        ("app/%3Cscript%3E", "<script>"),
        ("app/a/b", "app/a/b"),
    ] {
        let target = format!("/api/v1/servers/{server}/state");
        let response = refused(admin, post(&target, &headers, DRAIN), 404);
        assert_eq!(code(&response), "no_such_server");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(response.text().contains(named), "{}", response.text());
    }
    let encoded = post("/api/v1/servers/app/%61/state", &headers, DRAIN);
    assert_eq!(wire::ask(admin, encoded).status, 200);
}

#[test]
fn a_body_that_is_large_or_late_is_refused() {
    let origins = Origin::start_all(["a"]);
    let lbd = acting(&origins);
    let admin = lbd.admin();
    let shown = format!("x-lbd-token: {}", token(&lbd));
    let headers = [HOST, JSON, &shown];
    let reason = "a".repeat(100_000);
    let large = post(ON_A, &headers, &format!(r#"{{"reason":"{reason}"}}"#));
    refused(admin, large, 413);
    let head = format!("POST {ON_A} HTTP/1.1\r\n{HOST}\r\n{JSON}\r\n{shown}\r\n");
    refused(
        admin,
        format!("{head}content-length: 9999999999\r\n\r\n"),
        413,
    );
    refused(
        admin,
        format!("{head}transfer-encoding: chunked\r\n\r\nx\r\n"),
        400,
    );

    let mut late = Wire::connect(admin);
    late.send(format!("{head}content-length: 17\r\n\r\n{{\"admin\":"));
    let response = late.response();
    assert_eq!(
        (response.status, code(&response)),
        (408, "timed_out".into())
    );
    assert_eq!(late.rest().1, End::Eof);
    assert_eq!(lbd.server("app/a").admin, Admin::Ready);
}

#[test]
fn the_connection_goes_on_after_a_refusal() {
    let origins = Origin::start_all(["a"]);
    let lbd = acting(&origins);
    let mut wire = Wire::connect(lbd.admin());
    let wrong = post(ON_A, &[HOST, JSON, "x-lbd-token: wrong"], DRAIN);
    // In two pieces: its body comes later than its head is judged.
    let (head, body) = wrong.split_at(wrong.len() - 5);
    for _ in 0..3 {
        wire.send(head);
        wire.send(body);
        assert_eq!(wire.response().status, 403);
    }
    wire.send(format!("GET /api/v1/status HTTP/1.1\r\n{HOST}\r\n\r\n"));
    assert_eq!(wire.response().status, 200);
}

#[test]
fn nothing_is_changed_unless_the_configuration_says_so() {
    let origins = Origin::start_all(["a"]);
    let mut lbd = start("", &origins);
    let request = |token: &str| {
        let shown = format!("x-lbd-token: {token}");
        post(ON_A, &[HOST, JSON, &shown], DRAIN)
    };
    let response = refused(lbd.admin(), request(""), 403);
    assert!(response.text().contains("actions = true"));
    assert!(!lbd.folder().join("state/admin.token").exists());

    lbd.rewrite_with(|text| text.replace("[admin]\n", "[admin]\nactions = true\n"));
    lbd.reload().exits(0);
    eventually("there is a token", || {
        let there = lbd.folder().join("state/admin.token").exists();
        there.then_some(()).ok_or("none")
    });
    let secret = token(&lbd);
    assert_eq!(wire::ask(lbd.admin(), request(&secret)).status, 200);
    lbd.rewrite_with(|text| text.replace("actions = true\n", ""));
    lbd.reload().exits(0);
    refused(lbd.admin(), request(&secret), 403);
}

#[test]
fn every_answer_binds_the_browser() {
    let origins = Origin::start_all(["a"]);
    let lbd = acting(&origins);
    for target in ["/healthz", "/metrics", "/api/v1/status", "/nowhere", ON_A] {
        let response = wire::ask(
            lbd.admin(),
            format!("GET {target} HTTP/1.1\r\n{HOST}\r\n\r\n"),
        );
        let policy = response.header("content-security-policy");
        let policy = policy.expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "));
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(response.header(name), Some(value), "{target}");
        }
        assert_eq!(response.header("strict-transport-security"), None);
    }
}
