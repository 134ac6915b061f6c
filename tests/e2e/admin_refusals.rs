//! Changes by HTTP that are refused: what of them is on record, and what becomes of the connection.

use lb_proto::audit::Outcome;
use lb_proto::state::Admin;
use lb_tests::wire::End;
use lb_tests::{Origin, Wire, eventually, is, wire};

use crate::admin_actions::audit;
use crate::admin_users::{login, start, user, with_users};

const ON_A: &str = "/api/v1/servers/app/a/state";
const DRAIN: &str = r#"{"admin":"drain"}"#;

fn head(target: &str, headers: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\
         content-length: {length}\r\n\r\n"
    )
}

fn post(target: &str, headers: &str) -> String {
    format!("{}{DRAIN}", head(target, headers, DRAIN.len()))
}

#[test]
fn nobody_by_name_and_no_page_of_another_site_fills_the_record() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    let no_name = format!("/api/v1/servers/a/{}/state", "%01".repeat(500));
    let (ops, eve) = (login("ops", "op secret"), login("eve", "view secret"));
    let foreign = format!("{ops}origin: http://evil.example\r\n");
    for target in [ON_A, &no_name] {
        assert_eq!(wire::ask(admin, post(target, "")).status, 401);
        assert_eq!(wire::ask(admin, post(target, &foreign)).status, 403);
    }
    eventually("they are in the log", || {
        let told = " more were refused within ";
        is(lbd.log().contains(told), true)
    });
    assert_eq!(audit(&lbd), []);
    assert!(!lbd.log().contains("\\u{1}") && !lbd.log().contains("%01"));

    assert_eq!(wire::ask(admin, post(&no_name, &eve)).status, 403);
    let refused = eventually("a user's is on record", || {
        audit(&lbd).pop().ok_or("no record")
    });
    assert_eq!(refused.outcome, Outcome::Refused);
    assert_eq!(refused.by.user.as_deref(), Some("eve"));
    assert_eq!(refused.on, None);
}

#[test]
fn a_connection_goes_on_behind_whoever_is_nobody() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.admin());
    for headers in [String::new(), login("ops", "wrong")] {
        let expects = format!("{headers}expect: 100-continue\r\n");
        wire.send(head(ON_A, &expects, DRAIN.len()));
        assert_eq!(wire.head().expect("it may be sent").status, 100);
        wire.send(DRAIN);
        let refused = wire.response();
        assert_eq!((refused.status, refused.header("connection")), (401, None));
    }
    wire.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert_eq!(wire.response().status, 200);
}

#[test]
fn a_body_that_no_page_takes_ends_the_connection_and_it_is_said() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    for target in ["/metrics", "/nowhere"] {
        let mut wire = Wire::connect(lbd.admin());
        wire.send(head(target, "", DRAIN.len()));
        let refused = wire.response();
        assert!(matches!(refused.status, 404 | 405), "{}", refused.status);
        assert_eq!(refused.header("connection"), Some("close"));
        assert_eq!(wire.rest().1, End::Eof);
    }
}

#[test]
fn who_may_act_is_asked_when_all_is_there() {
    let origin = Origin::start("a");
    let mut lbd = start(&origin);
    let expects = format!("{}expect: 100-continue\r\n", login("ops", "op secret"));
    let mut late = Wire::connect(lbd.admin());
    late.send(head(ON_A, &expects, DRAIN.len()));
    assert_eq!(late.head().expect("it may be sent").status, 100);
    let users = [user("ops", "op secret", "viewer")];
    lbd.rewrite(with_users(&users, &origin));
    lbd.reload().exits(0);
    late.send(DRAIN);
    assert_eq!(late.response().status, 403);
    assert_eq!(lbd.server("app/a").admin, Admin::Ready);
}

#[test]
fn what_another_has_set_meanwhile_is_not_overruled_unseen() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let ask = |body: &str| {
        let head = head(ON_A, &login("ops", "op secret"), body.len());
        wire::ask(lbd.admin(), format!("{head}{body}"))
    };
    lbd.lbctl(["maint", "app/a", "--reason", "disk swap, hands off"])
        .exits(0);
    let refused = ask(r#"{"admin":"drain","was":"ready"}"#);
    assert_eq!(refused.status, 409);
    let error = &refused.json()["error"];
    let message = error["message"].as_str().unwrap_or_default();
    assert_eq!(error["code"], "busy");
    assert!(
        message.starts_with("app/a is set to maint by now, by ")
            && message.ends_with(": disk swap, hands off"),
        "{message}"
    );
    assert_eq!(lbd.server("app/a").admin, Admin::Maint);
    assert_eq!(ask(r#"{"admin":"drain","was":"maint"}"#).status, 200);
    assert_eq!(ask(r#"{"admin":"maint"}"#).status, 200);
}
