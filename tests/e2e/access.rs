//! Whom a frontend serves: `allow` and `deny`, and whose address counts behind a proxy.

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::{Response, ask, request, upload};
use lb_tests::{Lbd, Origin, Wire};

/// A frontend `web` with these lines.
fn guarded(origin: &Origin, lines: &str) -> String {
    app(NO_CHECK, [origin]).replace("default_backend", &format!("{lines}\ndefault_backend"))
}

fn behind(lbd: &Lbd, forwarded_for: &str) -> Response {
    let head = format!("GET / HTTP/1.1\r\nhost: t\r\nx-forwarded-for: {forwarded_for}\r\n\r\n");
    ask(lbd.addr(), head)
}

#[test]
fn a_denied_client_gets_403_and_no_server_hears_of_it() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(guarded(&origin, "deny = [\"127.0.0.0/8\"]"));
    let mut wire = Wire::connect(lbd.addr());
    let response = wire.send(request("GET", "/")).response();
    assert_eq!(response.status, 403);
    assert!(response.keeps_alive());
    let again = wire.send(upload("POST", "/", b"body")).response();
    assert_eq!(again.status, 403);
    assert_eq!(origin.requests(), 0);
    let status = lbd.status();
    assert_eq!(status.frontends[0].requests_total, 2);
}

#[test]
fn only_those_allowed_are_served_and_a_reload_counts_at_once() {
    let origin = Origin::start("a");
    let mut lbd = Lbd::start(guarded(&origin, "allow = [\"192.0.2.0/24\", \"::1\"]"));
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(wire.send(request("GET", "/")).response().status, 403);
    lbd.rewrite(guarded(&origin, "allow = [\"127.0.0.1\"]"));
    lbd.reload().exits(0);
    assert_eq!(wire.send(request("GET", "/")).response().status, 200);
    lbd.rewrite(guarded(
        &origin,
        "allow = [\"127.0.0.1\"]\ndeny = [\"127.0.0.0/8\"]",
    ));
    lbd.reload().exits(0);
    assert_eq!(wire.send(request("GET", "/")).response().status, 403);
}

#[test]
fn behind_a_trusted_proxy_the_client_counts_and_not_the_proxy() {
    let origin = Origin::start("a");
    let lines = "trusted_proxies = [\"127.0.0.0/8\"]\nallow = [\"192.0.2.0/24\"]";
    let lbd = Lbd::start(guarded(&origin, lines));
    assert_eq!(behind(&lbd, "192.0.2.7").status, 200);
    assert_eq!(behind(&lbd, "198.51.100.1").status, 403);
    // What the client itself wrote stands left of what the proxy saw.
    assert_eq!(behind(&lbd, "192.0.2.7, 198.51.100.1").status, 403);
    assert_eq!(behind(&lbd, "198.51.100.1, 192.0.2.7").status, 200);
    assert_eq!(ask(lbd.addr(), request("GET", "/")).status, 403);
}

#[test]
fn a_stranger_cannot_borrow_an_address() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(guarded(&origin, "allow = [\"192.0.2.0/24\"]"));
    assert_eq!(behind(&lbd, "192.0.2.7").status, 403);
}
