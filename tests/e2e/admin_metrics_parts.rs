//! `/metrics`: queues, connections to servers, TLS, reasons, threads, and a configuration on trial.

use std::collections::BTreeSet;

use lb_proto::state::State;
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app, app_at};
use lb_tests::metrics::{Metrics, metrics, sum};
use lb_tests::programs::workspace;
use lb_tests::wire::{ask, get, request};
use lb_tests::{Authority, Lbd, Origin, Setup, TlsFront, Wire, eventually, is, tls};

use crate::queue::{limited, wait_for_in_flight, wait_for_queued};
use crate::tls::setup;
use crate::tls_to_servers;

const ADMIN: &str = "[admin]\nbind = \"127.0.0.1:0\"\n";

fn errors(metrics: &Metrics, reason: &str) -> f64 {
    let reason = format!("reason=\"{reason}\"");
    sum(metrics, "lbd_frontend_errors_total", &reason)
}

/// How many handshakes came to each end: full, resumed, failed, abandoned.
fn handshakes(metrics: &Metrics, family: &str) -> [f64; 4] {
    ["full", "resumed", "failed", "abandoned"]
        .map(|result| sum(metrics, family, &format!("result=\"{result}\"")))
}

#[test]
fn who_waits_how_long_and_who_is_turned_away() {
    let origin = Origin::start("a");
    let lines = "queue = { max = 2 }\ntimeouts = { queue = \"1h\" }";
    let mut lbd = Lbd::start(format!("{ADMIN}{}", limited(lines, [(&origin, 1)])));
    let admin = lbd.admin();
    let waited = |metrics: &Metrics| sum(metrics, "lbd_backend_queue_seconds_count", "");
    assert_eq!(get(lbd.addr(), "/").status, 200);
    origin.hold("/held");
    let mut held: Vec<Wire> = (0..3)
        .map(|_| {
            let mut wire = Wire::connect(lbd.addr());
            wire.send(request("GET", "/held"));
            wire
        })
        .collect();
    wait_for_in_flight(&origin, 1);
    wait_for_queued(&lbd, 2);
    assert_eq!(get(lbd.addr(), "/").status, 503);
    let now = metrics(admin);
    let of_app = |family: &str| now[&format!("{family}{{backend=\"app\"}}")];
    assert_eq!(of_app("lbd_backend_queue"), 2.0);
    assert_eq!(of_app("lbd_backend_queue_limit"), 2.0);
    assert_eq!(of_app("lbd_backend_queue_refusals_total"), 1.0);
    assert_eq!(waited(&now), 0.0, "they wait still");
    // An account closes when its answer is out, which its client may see first.
    let told = |reason: &str| {
        let what = format!("one got {reason}");
        eventually(&what, || is(errors(&metrics(admin), reason), 1.0));
    };
    told("queue_full");

    // One leaves; the others are served one after the other.
    let last = held.pop().expect("there are three");
    last.abort();
    wait_for_queued(&lbd, 1);
    origin.release();
    for wire in &mut held {
        assert_eq!(wire.response().status, 200);
    }
    eventually("both that waited are counted", || {
        let now = metrics(admin);
        is(waited(&now), 2.0)?;
        is(sum(&now, "lbd_backend_queue", "app"), 0.0)
    });

    // In vain.
    lbd.rewrite_with(|config| config.replace("\"1h\"", "\"10ms\""));
    lbd.reload().exits(0);
    origin.hold("/held");
    let mut first = Wire::connect(lbd.addr());
    first.send(request("GET", "/held"));
    wait_for_in_flight(&origin, 1);
    assert_eq!(get(lbd.addr(), "/").status, 503);
    let now = metrics(admin);
    assert_eq!(sum(&now, "lbd_backend_queue_timeouts_total", ""), 1.0);
    told("queue_timeout");
    assert_eq!(waited(&now), 3.0);
    assert!(sum(&now, "lbd_backend_queue_seconds_sum", "") >= 0.01);
    origin.release();
    assert_eq!(first.response().status, 200);
}

#[test]
fn connections_to_servers_are_opened_kept_and_used_again() {
    let origin = Origin::start("a");
    let config = format!("{ADMIN}{}", app(NO_CHECK, [&origin]));
    let lbd = Setup::new(config).global("threads = 1").start();
    let admin = lbd.admin();
    for _ in 0..10 {
        assert_eq!(get(lbd.addr(), "/").status, 200);
    }
    let of_a = |family: &str| {
        let metrics = metrics(admin);
        metrics[&format!("{family}{{backend=\"app\",server=\"a\"}}")]
    };
    assert_eq!(of_a("lbd_server_connections_opened_total"), 1.0);
    assert_eq!(of_a("lbd_server_connects_total"), 1.0);
    assert_eq!(of_a("lbd_server_connection_reuses_total"), 9.0);
    eventually("it is kept", || {
        is(of_a("lbd_server_idle_connections"), 1.0)
    });
    origin.hold("/held");
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/held"));
    wait_for_in_flight(&origin, 1);
    assert_eq!(of_a("lbd_server_idle_connections"), 0.0);
    assert_eq!(
        sum(&metrics(admin), "lbd_thread_connections", "data-0"),
        1.0
    );
    origin.release();
    assert_eq!(wire.response().status, 200);
    eventually("it is kept", || {
        is(of_a("lbd_server_idle_connections"), 1.0)
    });
    // A server that leaves the rotation is let go of, and nothing is counted as kept.
    lbd.lbctl(["maint", "app/a"]).exits(0);
    eventually("nothing is kept", || {
        is(of_a("lbd_server_idle_connections"), 0.0)
    });
    let metrics = metrics(admin);
    let accepted = "lbd_frontend_connections_accepted_total{frontend=\"web\"}";
    assert_eq!(metrics[accepted], 11.0);
    for thread in ["data-0", "control"] {
        let name = format!("lbd_thread_cpu_seconds_total{{thread=\"{thread}\"}}");
        assert!(metrics.contains_key(&name), "{metrics:?}");
    }
    assert_eq!(of_a("lbd_server_state_changes_total"), 1.0);
}

#[test]
fn why_lbd_answers_itself() {
    let origin = Origin::start("a");
    let lines = "deny = [\"192.0.2.0/24\"]\nrate_limit = { requests = 3, per = \"24d\", key = \"ip\" }\n\
         trusted_proxies = [\"127.0.0.1\"]\n[[frontend.web.routes]]\nhost = \"t\"\nbackend = \"app\"\n\
         [[frontend.web.routes]]\nhost = \"dead\"\nbackend = \"dead\"\n";
    let app = app(NO_CHECK, [&origin]).replace("default_backend = \"app\"", lines);
    let dead = "[backend.dead]\nhealth = false\nretries = 0\n\
         servers = [{ name = \"d\", address = \"127.0.0.1:1\" }]\n";
    let lbd = Lbd::start(format!("{ADMIN}{app}{dead}"));
    let from = |client: &str, host: &str| {
        let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\nx-forwarded-for: {client}\r\n\r\n");
        ask(lbd.addr(), head).status
    };
    assert_eq!(from("192.0.2.1", "t"), 403);
    for status in [200, 200, 200, 429, 429] {
        assert_eq!(from("198.51.100.1", "t"), status);
    }
    assert_eq!(from("198.51.100.2", "elsewhere"), 404);
    assert_eq!(from("198.51.100.2", "dead"), 503);
    lbd.lbctl(["maint", "dead/d"]).exits(0);
    assert_eq!(from("198.51.100.2", "dead"), 503);
    assert_eq!(ask(lbd.addr(), "nonsense\r\n\r\n").status, 400);
    let long = format!("GET /{} HTTP/1.1\r\nhost: t\r\n\r\n", "a".repeat(100_000));
    assert_eq!(ask(lbd.addr(), long).status, 414);
    let broken = "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n";
    assert_eq!(ask(lbd.addr(), broken).status, 400);
    eventually("each is counted by its reason", || {
        let metrics = metrics(lbd.admin());
        for (reason, times) in [
            ("denied", 1.0),
            ("rate_limited", 2.0),
            ("no_route", 1.0),
            ("connect_failed", 1.0),
            ("no_server", 1.0),
            ("malformed", 2.0),
            ("too_large", 1.0),
        ] {
            is(errors(&metrics, reason), times).map_err(|e| format!("{reason}: {e}"))?;
        }
        is(sum(&metrics, "lbd_frontend_errors_total", ""), 9.0)
    });
}

#[test]
fn handshakes_are_counted_by_their_ends() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let config = crate::tls::config("", origin.addr());
    let issued = authority.issue(&["a.test"]);
    let lbd = setup(&format!("{ADMIN}{config}"), &[("a.pem", &issued)]).start();
    let client = tls::Client::new(&authority, "a.test");
    assert!(!client.shake(lbd.addr()).expect("it trusts it").resumed);
    assert!(client.shake(lbd.addr()).expect("it trusts it").resumed);
    Wire::connect(lbd.addr()).send("nonsense\r\n\r\n").rest();
    eventually("one full, one resumed, one that was none", || {
        let metrics = metrics(lbd.admin());
        let family = "lbd_frontend_tls_handshakes_total";
        is(handshakes(&metrics, family), [1.0, 1.0, 1.0, 0.0])
    });
}

#[test]
fn handshakes_with_servers_are_counted_too() {
    let (authority, origin) = (Authority::new(), Origin::start("a"));
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"])).before(origin.addr());
    let trusts = tls_to_servers::knowing(&authority);
    let config = tls_to_servers::config(&trusts, NO_CHECK, tls_to_servers::CA, front.addr());
    let lbd = trusts.config(format!("{ADMIN}{config}")).start();
    assert_eq!(get(lbd.addr(), "/").status, 200);
    let seen = |wanted| {
        let metrics = metrics(lbd.admin());
        is(
            handshakes(&metrics, "lbd_server_tls_handshakes_total"),
            wanted,
        )
    };
    eventually("one is full", || seen([1.0, 0.0, 0.0, 0.0]));

    // One that is not the server that it should be.
    let stranger = Authority::new().issue(&["127.0.0.1"]);
    let front = TlsFront::showing(&stranger).before(origin.addr());
    let trusts = tls_to_servers::knowing(&authority);
    let lines = format!("{NO_CHECK}\nretries = 0");
    let config = tls_to_servers::config(&trusts, &lines, tls_to_servers::CA, front.addr());
    let lbd = trusts.config(format!("{ADMIN}{config}")).start();
    assert_eq!(get(lbd.addr(), "/").status, 503);
    let metrics = metrics(lbd.admin());
    let family = "lbd_server_tls_handshakes_total";
    assert_eq!(handshakes(&metrics, family), [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(
        sum(&metrics, "lbd_server_connections_opened_total", ""),
        0.0
    );
}

#[test]
fn a_server_that_flaps_is_seen_to() {
    let mut origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ADMIN}{}", app(QUICK_CHECK, [&origin])));
    lbd.wait_until_healthy("app/a");
    for _ in 0..2 {
        origin.kill();
        lbd.wait_for_state("app/a", State::Down);
        origin.revive();
        lbd.wait_for_state("app/a", State::Up);
    }
    let metrics = metrics(lbd.admin());
    assert_eq!(sum(&metrics, "lbd_server_state_changes_total", ""), 4.0);
    assert!(sum(&metrics, "lbd_server_check_seconds", "") > 0.0);
}

#[test]
fn a_configuration_on_trial_is_told_of() {
    let nowhere = || app_at(NO_CHECK, [("a", ([127, 0, 0, 1], 1).into())]);
    let mut lbd = Lbd::start(format!("{ADMIN}{}", nowhere()));
    let admin = lbd.admin();
    let end = "lbd_config_trial_end_timestamp_seconds";
    let now = metrics(admin);
    assert_eq!(now["lbd_config_on_trial"], 0.0);
    assert!(!now.contains_key(end));
    lbd.rewrite(format!("{ADMIN}{}# changed\n", nowhere()));
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    let now = metrics(admin);
    assert_eq!(now["lbd_config_on_trial"], 1.0);
    let left = now[end] - now["lbd_config_last_reload_timestamp_seconds"];
    assert!((3500.0..=3601.0).contains(&left), "{left}");
    lbd.lbctl(["confirm"]).exits(0);
    assert_eq!(metrics(admin)["lbd_config_on_trial"], 0.0);
}

#[test]
fn the_readme_names_every_metric_and_no_other() {
    let nowhere = app_at(NO_CHECK, [("a", ([127, 0, 0, 1], 1).into())]);
    let lbd = Lbd::start(format!("{ADMIN}{nowhere}"));
    let text = get(lbd.admin(), "/metrics").text();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    let readme = std::fs::read_to_string(workspace().join("README.md")).expect("there is one");
    let (_, section) = readme
        .split_once("#### Metrics\n")
        .expect("it has the chapter");
    let (section, _) = section.split_once("\n### ").expect("others follow");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let words = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    assert_eq!(words.collect::<BTreeSet<_>>(), there);
}
