//! Header rules of a backend: what servers are sent, what clients get, and what rules do not touch.

use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::wire::{Response, ask, get};
use lb_tests::{Lbd, Origin, RawOrigin};
use serde_json::Value;

/// The values of a header as the origin saw them, in order.
fn seen<'s>(echo: &'s Value, name: &str) -> Vec<&'s str> {
    let headers = echo["headers"].as_array().expect("echo lists the headers");
    let of_name = headers.iter().filter(|header| header[0] == name);
    of_name
        .map(|header| header[1].as_str().expect("a text"))
        .collect()
}

fn got<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    let of_name = response
        .headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name));
    of_name.map(|(_, value)| value.as_str()).collect()
}

fn with(rules: &str) -> String {
    format!("{NO_CHECK}\n{rules}")
}

#[test]
fn a_request_is_changed_on_its_way_to_the_server() {
    let origin = Origin::start("a");
    let rules = "request_headers = { remove = [\"X-Debug\", \"x-forwarded-port\"], \
         set = { x-env = \"prod\", Host = \"app.local:81\", x-forwarded-proto = \"https\" }, \
         add = { x-tag = [\"b\", \"c\"] } }";
    let lbd = Lbd::start(app(&with(rules), [&origin]));
    let response = ask(
        lbd.addr(),
        "GET /echo HTTP/1.1\r\nhost: shop.example\r\nx-debug: 1\r\nX-DEBUG: 2\r\nX-Env: dev\r\n\
         x-env: test\r\nX-Tag: a\r\nx-other: o\r\n\r\n",
    );
    let echo = response.json();
    for (name, values) in [
        ("x-debug", &[][..]),
        ("x-forwarded-port", &[]),
        ("x-env", &["prod"]),
        ("host", &["app.local:81"]),
        ("x-forwarded-host", &["shop.example"]),
        ("x-forwarded-proto", &["https"]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-tag", &["a", "b", "c"]),
        ("x-other", &["o"]),
    ] {
        assert_eq!(seen(&echo, name), values, "{name}");
    }
}

#[test]
fn a_response_is_changed_on_its_way_to_the_client() {
    let origin = RawOrigin::answering(
        "HTTP/1.1 200 OK\r\nServer: secret/1.0\r\nX-Powered-By: a\r\nx-powered-by: b\r\n\
         Strict-Transport-Security: max-age=1\r\nvary: accept\r\nx-kept: k\r\ncontent-length: 2\r\n\r\nok",
    );
    let rules = "response_headers = { remove = [\"server\", \"x-powered-by\"], \
         set = { strict-transport-security = \"max-age=31536000\" }, add = { vary = \"cookie\" } }";
    let lbd = Lbd::start(app_at(&with(rules), [("s", origin.addr())]));
    let response = get(lbd.addr(), "/");
    for (name, values) in [
        ("server", &[][..]),
        ("x-powered-by", &[]),
        ("strict-transport-security", &["max-age=31536000"]),
        ("vary", &["accept", "cookie"]),
        ("x-kept", &["k"]),
    ] {
        assert_eq!(got(&response, name), values, "{name}");
    }
    assert_eq!(response.text(), "ok");
}

#[test]
fn rules_see_what_lbd_changed_and_never_the_framing() {
    let origin = Origin::start("a");
    let rules = "request_headers = { set = { x-hop = \"ours\" } }\n\
         response_headers = { set = { x-hop = \"ours\" } }";
    let lbd = Lbd::start(app(&with(rules), [&origin]));
    let response = ask(
        lbd.addr(),
        "POST /echo HTTP/1.1\r\nhost: t\r\nconnection: x-hop\r\nx-hop: theirs\r\n\
         transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let echo = response.json();
    assert_eq!(seen(&echo, "x-hop"), ["ours"]);
    assert_eq!(echo["body_length"], 3);
    assert_eq!(got(&response, "x-hop"), ["ours"]);
}

#[test]
fn answers_of_lbd_itself_are_not_touched() {
    let origin = Origin::start("a");
    let rules = "response_headers = { set = { x-rule = \"1\" }, remove = [\"retry-after\"] }";
    let lbd = Lbd::start(app(&with(rules), [&origin]));
    assert_eq!(got(&get(lbd.addr(), "/"), "x-rule"), ["1"]);
    lbd.lbctl(["maint", "app/a"]).exits(0);
    let refused = get(lbd.addr(), "/");
    assert_eq!(refused.status, 503);
    assert!(got(&refused, "x-rule").is_empty());
    assert_eq!(got(&refused, "retry-after").len(), 1);
}

#[test]
fn a_reload_changes_the_rules_of_the_next_request() {
    let origin = Origin::start("a");
    let rule = |value| {
        with(&format!(
            "response_headers = {{ set = {{ x-rule = \"{value}\" }} }}"
        ))
    };
    let mut lbd = Lbd::start(app(&rule("1"), [&origin]));
    assert_eq!(got(&get(lbd.addr(), "/"), "x-rule"), ["1"]);
    lbd.rewrite(app(&rule("2"), [&origin]));
    lbd.reload().exits(0);
    assert_eq!(got(&get(lbd.addr(), "/"), "x-rule"), ["2"]);
}
