//! The forwarded headers, and what of the request's own target and Host reaches the server.

use lb_tests::access_log::wait_for_lines;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::ask;
use lb_tests::{Lbd, Origin, Setup};
use serde_json::Value;

/// The values of a header as the origin saw them, in order.
fn values<'s>(seen: &'s Value, name: &str) -> Vec<&'s str> {
    seen["headers"]
        .as_array()
        .expect("echo lists the headers")
        .iter()
        .filter(|header| header[0] == name)
        .map(|header| header[1].as_str().expect("a text"))
        .collect()
}

fn echo(lbd: &Lbd, request: &str) -> Value {
    let response = ask(lbd.addr(), request);
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

fn trusting(origin: &Origin) -> Lbd {
    let config = app(NO_CHECK, [origin]);
    Lbd::start(config.replace(
        "default_backend",
        "trusted_proxies = [\"127.0.0.0/8\"]\ndefault_backend",
    ))
}

#[test]
fn all_four_are_set_on_every_request() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let seen = echo(&lbd, "GET /echo HTTP/1.1\r\nhost: shop.example:81\r\n\r\n");
    let port = lbd.addr().port().to_string();
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example:81"),
        ("x-forwarded-port", &port),
        ("host", "shop.example:81"),
    ] {
        assert_eq!(values(&seen, name), [value], "{name}");
    }
}

const LIES: &str = "x-forwarded-for: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nx-forwarded-proto: https\r\n\
     x-forwarded-host: other\r\nx-forwarded-port: 443\r\n";

#[test]
fn what_a_stranger_claims_is_replaced() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let seen = echo(
        &lbd,
        &format!("GET /echo HTTP/1.1\r\nhost: t\r\n{LIES}\r\n"),
    );
    let port = lbd.addr().port().to_string();
    assert_eq!(values(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["t"]);
    assert_eq!(values(&seen, "x-forwarded-port"), [port.as_str()]);
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_appended_to() {
    let origin = Origin::start("a");
    let lbd = trusting(&origin);
    let seen = echo(
        &lbd,
        &format!("GET /echo HTTP/1.1\r\nhost: t\r\n{LIES}\r\n"),
    );
    let hops = values(&seen, "x-forwarded-for").join(", ");
    assert_eq!(hops, "1.2.3.4, 5.6.7.8, 127.0.0.1");
    assert_eq!(values(&seen, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["other"]);
    assert_eq!(values(&seen, "x-forwarded-port"), ["443"]);
}

#[test]
fn a_trusted_proxy_that_says_nothing_is_the_client() {
    let origin = Origin::start("a");
    let lbd = trusting(&origin);
    let seen = echo(&lbd, "GET /echo HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!(values(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["t"]);
}

#[test]
fn naming_them_in_connection_takes_none_away() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let seen = echo(
        &lbd,
        "GET /echo HTTP/1.1\r\nhost: t\r\n\
         connection: keep-alive, X-Forwarded-For, x-forwarded-proto, x-forwarded-host, \
         x-forwarded-port, host\r\n\r\n",
    );
    assert_eq!(values(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["t"]);
    assert_eq!(values(&seen, "x-forwarded-port").len(), 1);
    assert_eq!(values(&seen, "host"), ["t"]);
}

#[test]
fn the_target_passes_as_it_came() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    for target in [
        "/echo?a=b&c=%2F%20d",
        "/echo?",
        "/echo?q=a//b/../c",
        "/echo?x={y}|z",
    ] {
        let seen = echo(&lbd, &format!("GET {target} HTTP/1.1\r\nhost: t\r\n\r\n"));
        assert_eq!(seen["target"], target);
    }
    for path in ["/a//b", "/a/../b", "/a/./b", "/%41", "/a%2Fb", "/;x=1"] {
        let response = ask(
            lbd.addr(),
            format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"),
        );
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(origin.requests_of("GET", path), 1, "{path} was changed");
    }
}

/// RFC 9112, 3.2.2: the target's authority counts and Host is replaced by it.
#[test]
fn a_target_in_absolute_form_says_the_host() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let seen = echo(
        &lbd,
        "GET http://real.example:81/echo?q HTTP/1.1\r\nhost: lie.example\r\n\r\n",
    );
    assert_eq!(seen["target"], "/echo?q");
    assert_eq!(values(&seen, "host"), ["real.example:81"]);
    assert_eq!(values(&seen, "x-forwarded-host"), ["real.example:81"]);
}

#[test]
fn options_star_passes() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let response = ask(lbd.addr(), "OPTIONS * HTTP/1.1\r\nhost: t\r\n\r\n");
    assert_eq!((response.status, response.origin()), (200, Some("a")));
    assert_eq!(origin.requests_of("OPTIONS", "*"), 1);
}

#[test]
fn headers_of_the_client_pass_in_number_order_and_bytes() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let seen = echo(
        &lbd,
        "GET /echo HTTP/1.1\r\nHost: t\r\nX-Many: 1\r\nx-other: o\r\nx-many: 2\r\n\
         x-empty:\r\nX-MANY:  3 \r\ncookie: a=b; c=\"d\"\r\nauthorization: Basic eDp5\r\n\r\n",
    );
    assert_eq!(values(&seen, "x-many"), ["1", "2", "3"]);
    assert_eq!(values(&seen, "x-empty"), [""]);
    assert_eq!(values(&seen, "cookie"), ["a=b; c=\"d\""]);
    assert_eq!(values(&seen, "authorization"), ["Basic eDp5"]);
}

#[test]
fn each_request_has_an_id_and_its_place_in_a_trace() {
    let origin = Origin::start("a");
    let setup = Setup::new(app(NO_CHECK, [&origin]));
    let path = setup.folder().join("access.log");
    let log = format!("access_log = {{ path = {path:?}, format = \"json\" }}");
    let lbd = setup.global(&log).start();
    let ask = |fields: &str| {
        let seen = echo(
            &lbd,
            &format!("GET /echo HTTP/1.1\r\nhost: t\r\n{fields}\r\n"),
        );
        let id = values(&seen, "x-request-id").join(",");
        (id, seen)
    };
    // A client may not have it taken away either (RFC 9110, 7.6.1).
    let taken = ask("connection: x-request-id\r\n").0;
    let made = ask("").0;
    assert!(taken != made && taken.len() == 32 && made.len() == 32);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let fields = format!(
        "x-request-id: from/the edge\r\ntraceparent: {trace}\r\ntracestate: a=1\r\n\
         tracestate: b=2\r\n"
    );
    let (kept, seen) = ask(&fields);
    assert_eq!(kept, "from/the edge");
    assert_eq!(values(&seen, "traceparent"), [trace]);
    assert_eq!(values(&seen, "tracestate"), ["a=1", "b=2"]);
    let mut logged: Vec<String> = wait_for_lines(&path, 3)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"))
        .map(|line| line["request_id"].as_str().unwrap_or_default().to_owned())
        .collect();
    // Threads hand their lines over each when it is time.
    logged.sort();
    let mut sent = [taken, made, kept];
    sent.sort();
    assert_eq!(logged, sent);
}
