//! The dashboard in Debian's Chromium, by Playwright: live, and without JavaScript.

use std::process::Command;
use std::time::Duration;

use lb_proto::state::State;
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::port::Port;
use lb_tests::wire::request;
use lb_tests::{Lbd, Origin, Process, Wire, eventually, eventually::within, is};
use serde_json::Value;

use crate::app_servers::node;

const ADMIN: &str = "[admin]\nbind = \"127.0.0.1:0\"\nrefresh = \"1s\"\n";
pub(crate) const ACTING: &str = "[admin]\nbind = \"127.0.0.1:0\"\nactions = true\n";

pub(crate) fn browser(action: &str, lbd: &Lbd, args: &[&str]) -> Command {
    let mut command = node("browser.js");
    command
        .arg(action)
        .arg(format!("http://{}/", lbd.admin()))
        .args(args);
    command
}

fn lines(stdout: &str) -> Vec<Value> {
    let lines = stdout.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// What a browser may take beside tests that keep every core busy; its own waits are as long.
const BROWSER_LIMIT: Duration = Duration::from_secs(240);

/// Waits until the browser has said so many lines, and gives the last.
#[track_caller]
pub(crate) fn line(browser: &mut Process, number: usize) -> Value {
    within(
        BROWSER_LIMIT,
        &format!("the browser says line {number}"),
        || {
            let said = lines(&browser.stdout.so_far());
            match said.get(number - 1) {
                Some(line) => Ok(line.clone()),
                None if browser.is_running() => Err(format!("{said:?}")),
                None => panic!("the browser ended: {}", browser.stderr.so_far()),
            }
        },
    )
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn the_page_follows_what_happens_and_runs_nothing_that_it_is_told() {
    const EVIL: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(format!("{ADMIN}{}", app(NO_CHECK, &origins)));
    let mut browser = Process::spawn(browser("live", &lbd, &["app/a", "drain"]));
    assert_eq!(line(&mut browser, 1)["before"], "up");
    lbd.lbctl(["drain", "app/a", "--reason", EVIL]).exits(0);
    let after = line(&mut browser, 2);
    assert_eq!(
        (&after["after"], &after["look"]),
        (&"drain".into(), &"drain".into())
    );
    assert_eq!(after["wrong"], Value::Array(Vec::new()));
    for (place, wanted) in [("said", "app/a"), ("event", EVIL)] {
        let text = after[place].as_str().unwrap_or_default();
        assert!(text.contains(wanted), "{place}: {text}");
    }
    browser.wait().exits(0);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn a_server_is_drained_by_its_button_and_the_sessions_count_down() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(format!("{ACTING}{}", app(NO_CHECK, &origins)));
    for origin in &origins {
        origin.hold("/held");
    }
    let mut held: Vec<Wire> = (0..9)
        .map(|_| {
            let mut wire = Wire::connect(lbd.addr());
            wire.send(request("GET", "/held"));
            wire
        })
        .collect();
    eventually("each has three", || is(origins[0].in_flight(), 3));
    let mut browser = Process::spawn(browser("act", &lbd, &["app/a", "Drain"]));
    let asks = line(&mut browser, 1);
    let will = [
        "3 sessions will finish; none is cut.",
        "It takes no new ones.",
        "2 of 3 servers of app stay up.",
    ];
    assert_eq!(
        (&asks["will"], &asks["last"]),
        (&will.as_slice().into(), &"".into())
    );
    let done = line(&mut browser, 2);
    assert_eq!(
        (&done["word"], &done["left"]),
        (&"drain".into(), &"3 sessions left".into())
    );
    let status = lbd.lbctl(["status"]).exits(0).stdout;
    let row = status.lines().find(|line| line.starts_with("a "));
    let row = row.expect("a row of a");
    assert!(
        row.contains(" drain ") && row.contains("kernel update"),
        "{status}"
    );
    for origin in &origins {
        origin.release();
    }
    for held in &mut held {
        assert_eq!(held.response().status, 200);
    }
    let empty = line(&mut browser, 3);
    assert_eq!(
        (&empty["focus"], &empty["wrong"]),
        (&"Maint app/a".into(), &Value::Array(Vec::new()))
    );
    browser.wait().exits(0);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn of_the_last_server_it_is_said_so_before() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ACTING}{}", app(NO_CHECK, [&origin])));
    let mut browser = Process::spawn(browser("act", &lbd, &["app/a", "Maint"]));
    let asks = line(&mut browser, 1);
    assert_eq!(
        asks["last"],
        "It is the last server of app that is up: its clients will be refused."
    );
    line(&mut browser, 3);
    browser.wait().exits(0);
    assert_eq!(lbd.server("app/a").state, State::Maint);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn an_answer_that_is_no_json_is_told_by_its_status() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ACTING}{}", app(NO_CHECK, [&origin])));
    let mut browser = Process::spawn(browser("cut", &lbd, &["app/a", "Drain"]));
    let told = &line(&mut browser, 1)["told"];
    assert_eq!(*told, "Not done: the answer is 502 Bad Gateway");
    browser.wait().exits(0);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn servers_are_found_sorted_and_explained() {
    let origins = Origin::start_all(["s0", "s1", "s10", "s2"]);
    let lbd = Lbd::start(format!("{ADMIN}{}", app(QUICK_CHECK, &origins)));
    for origin in &origins {
        lbd.wait_until_healthy(&format!("app/{}", origin.name()));
    }
    lbd.lbctl(["drain", "app/s1"]).exits(0);
    lbd.lbctl(["maint", "app/s2"]).exits(0);
    let seen = Process::run(browser("arrange", &lbd, &[])).exits(0).stdout;
    let seen = lines(&seen);
    let rows = |line: usize| {
        let rows = seen[line]["rows"].as_array().expect("rows");
        let names = rows
            .iter()
            .filter_map(|row| row.as_str()?.strip_prefix("app/"));
        names.collect::<Vec<_>>()
    };
    assert_eq!(rows(0), ["s0", "s1", "s10", "s2"]);
    assert_eq!(
        (rows(1), &seen[1]["found"]),
        (vec!["s10"], &"1 of 4".into())
    );
    assert_eq!(rows(2), ["s1", "s2"]);
    // The worst first, others as configured.
    for line in [3, 4] {
        assert_eq!(rows(line), ["s2", "s1", "s0", "s10"]);
        assert_eq!(seen[line]["sort"], "ascending");
    }
    assert_eq!(seen[5]["hidden"], true);
    let detail = seen[6]["detail"].as_str().unwrap_or_default();
    assert!(detail.ends_with("GET /healthz answered 200"), "{detail}");
    assert_eq!(seen[6]["seen"], "detail", "something lies over it");
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn a_page_that_has_lost_lbd_says_so_and_comes_back() {
    let origin = Origin::start("a");
    let admin = Port::new();
    let config = format!(
        "[admin]\nbind = \"{}\"\n{}",
        admin.addr(),
        app(NO_CHECK, [&origin])
    );
    let mut lbd = Lbd::start(config);
    let mut browser = Process::spawn(browser("lost", &lbd, &[]));
    line(&mut browser, 1);
    lbd.kill9();
    let stale = line(&mut browser, 2);
    let text = stale["text"].as_str().unwrap_or_default();
    assert!(text.contains("This is how it was at "), "{text}");
    assert_eq!(stale["inSight"], true, "{stale}");
    lbd.start_again();
    line(&mut browser, 3);
    browser.wait().exits(0);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn one_dashboard_too_many_says_so_and_is_loaded_again() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ADMIN}{}", app(NO_CHECK, [&origin])));
    let others: Vec<Wire> = (0..32)
        .map(|_| {
            let mut wire = Wire::connect(lbd.admin());
            wire.send("GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n");
            assert_eq!(wire.head().expect("a stream").status, 200);
            wire
        })
        .collect();
    let mut browser = Process::spawn(browser("full", &lbd, &[]));
    let why = line(&mut browser, 1);
    let text = why["text"].as_str().unwrap_or_default();
    assert!(text.contains("every 1s: as many dashboards"), "{why}");
    assert_eq!(why["state"], "still");
    line(&mut browser, 2);
    drop(others);
    line(&mut browser, 3);
    browser.wait().exits(0);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn without_javascript_it_is_loaded_again() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ADMIN}{}", app(NO_CHECK, [&origin])));
    let seen = Process::run(browser("still", &lbd, &["app/a"]))
        .exits(0)
        .stdout;
    let seen = &lines(&seen)[0];
    assert_eq!(
        (&seen["word"], &seen["tools"], &seen["again"]),
        (&"up".into(), &false.into(), &true.into())
    );
}
