//! How often one client may ask: `rate_limit`.

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::{Response, ask, request};
use lb_tests::{Lbd, Origin, Wire, eventually, is};

/// Behind a proxy that is trusted, so that a test has as many clients as it wants.
fn limited(origin: &Origin, limit: &str) -> String {
    let lines = format!("trusted_proxies = [\"127.0.0.1\"]\nrate_limit = {limit}\ndefault_backend");
    app(NO_CHECK, [origin]).replace("default_backend", &lines)
}

fn from(lbd: &Lbd, client: &str) -> Response {
    let head = format!("GET / HTTP/1.1\r\nhost: t\r\nx-forwarded-for: {client}\r\n\r\n");
    ask(lbd.addr(), head)
}

/// Five at once, and none back while the test lasts.
const FIVE: &str = "{ requests = 5, per = \"24d\", key = \"ip\" }";

#[test]
fn the_burst_is_served_and_the_next_gets_429_with_the_time_to_wait() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(limited(&origin, FIVE));
    // Connections spread over the threads; the limit is one for all of them.
    for _ in 0..5 {
        assert_eq!(from(&lbd, "192.0.2.7").status, 200);
    }
    let refused = from(&lbd, "192.0.2.7");
    assert_eq!(refused.status, 429);
    let wait: u64 = refused
        .header("retry-after")
        .and_then(|value| value.parse().ok())
        .expect("it says when");
    let share = 24 * 24 * 3600 / 5;
    assert!(wait > share / 2 && wait <= share, "{wait}");
    assert_eq!(origin.requests(), 5);
    assert_eq!(from(&lbd, "192.0.2.8").status, 200, "another client");
    assert_eq!(from(&lbd, "2001:db8::1").status, 200, "another client");
}

#[test]
fn a_network_of_ipv6_is_one_client() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(limited(&origin, FIVE));
    for n in 0..5 {
        assert_eq!(from(&lbd, &format!("2001:db8:0:1::{n}")).status, 200);
    }
    assert_eq!(from(&lbd, "2001:db8:0:1:ffff::1").status, 429);
    assert_eq!(from(&lbd, "2001:db8:0:2::1").status, 200);
}

#[test]
fn the_connection_stays_and_is_served_again_later() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(limited(&origin, "{ requests = 2, per = \"2s\" }"));
    let mut wire = Wire::connect(lbd.addr());
    let mut status = || wire.send(request("GET", "/")).response().status;
    eventually("it is refused", || is(status(), 429));
    eventually("it is served again", || is(status(), 200));
}

#[test]
fn a_reload_that_leaves_the_limit_alone_forgives_nobody() {
    let origin = Origin::start("a");
    let config = limited(&origin, FIVE);
    let mut lbd = Lbd::start(config.clone());
    for _ in 0..5 {
        assert_eq!(from(&lbd, "192.0.2.7").status, 200);
    }
    lbd.rewrite(format!("# changed\n{config}"));
    lbd.reload().exits(0);
    assert_eq!(lbd.status().daemon.config.generation, 2);
    assert_eq!(from(&lbd, "192.0.2.7").status, 429);
    lbd.rewrite(limited(&origin, "{ requests = 6, per = \"24d\" }"));
    lbd.reload().exits(0);
    assert_eq!(from(&lbd, "192.0.2.7").status, 200);
}

#[test]
fn answers_of_lbd_itself_count_too() {
    let origin = Origin::start("a");
    let route = "routes = [{ path = \"/gone\", respond = { status = 410 } }]\ndefault_backend";
    let lbd = Lbd::start(limited(&origin, FIVE).replace("default_backend", route));
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..5 {
        assert_eq!(wire.send(request("GET", "/gone")).response().status, 410);
    }
    assert_eq!(wire.send(request("GET", "/gone")).response().status, 429);
}
