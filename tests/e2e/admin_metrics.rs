//! `/metrics`: the numbers are those of the access log, and thousands of servers are no trouble.

use lb_tests::access_log::{Line, lines};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::metrics::{metrics, sum};
use lb_tests::port::Port;
use lb_tests::wire::{get, request};
use lb_tests::{Lbd, Origin, Setup, Wire, eventually, is, wire};

const ADMIN: &str = "[admin]\nbind = \"127.0.0.1:0\"\n";

/// Requests that end in every way: answered, refused, given up by their clients.
fn traffic(lbd: &Lbd, origin: &Origin) {
    let web = lbd.addr();
    for _ in 0..50 {
        let mut kept = Wire::connect(web);
        for target in [
            "/",
            "/bytes?n=1000",
            "/status?code=404",
            "/status?code=503",
            "/forbidden",
        ] {
            kept.send(request("GET", target)).response();
        }
    }
    for head in [
        "GET / HTTP/1.1\r\nno header\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        Wire::connect(web).send(head).response();
    }
    for _ in 0..20 {
        let mut wire = Wire::connect(web);
        wire.send(request("GET", "/bytes?n=50000000"));
        wire.head().expect("it begins");
        wire.abort();
    }
    origin.hold("/held");
    let held: Vec<Wire> = (0..20)
        .map(|_| {
            let mut wire = Wire::connect(web);
            wire.send(request("GET", "/held"));
            wire
        })
        .collect();
    eventually("they are in flight", || is(origin.in_flight(), 20));
    held.into_iter().for_each(Wire::abort);
    eventually("none is in flight", || is(origin.in_flight(), 0));
    origin.release();
}

#[test]
fn the_numbers_are_those_of_the_access_log() {
    let (origin, dead) = (Origin::start("a"), Port::new());
    let servers = format!(
        "servers = [\n  {{ name = \"dead\", address = \"{}\", weight = 1 }},\n",
        dead.addr()
    );
    let app = app(NO_CHECK, [&origin]).replace("servers = [\n", &servers);
    let route = "[[frontend.web.routes]]\npath = \"/forbidden\"\nrespond = { status = 403 }\n";
    let setup = Setup::new(format!("{ADMIN}{app}{route}"));
    let path = setup.folder().join("access.log");
    let lbd = setup
        .global(&format!("threads = 2\naccess_log = {{ path = {path:?} }}"))
        .start();
    traffic(&lbd, &origin);

    let admin = lbd.admin();
    let expected = |class: &str, line: &Line| match line.status {
        -1 => class == "none",
        status => class == format!("{}xx", status / 100),
    };
    eventually("the numbers are those of the log", || {
        let written: Vec<Line> = lines(&path).iter().map(|line| Line::parse(line)).collect();
        let metrics = metrics(admin);
        let all = sum(&metrics, "lbd_frontend_requests_total", "");
        is(all, written.len() as f64)?;
        for class in ["none", "1xx", "2xx", "3xx", "4xx", "5xx"] {
            let logged = written.iter().filter(|line| expected(class, line)).count();
            let code = format!("code=\"{class}\"");
            let counted = sum(&metrics, "lbd_frontend_responses_total", &code);
            is(counted, logged as f64).map_err(|e| format!("{class}: {e}"))?;
        }
        let retries = |line: &Line| {
            let (_, last) = line.counts.rsplit_once('/').unwrap_or_default();
            last.trim_start_matches('+')
                .parse::<f64>()
                .unwrap_or_default()
        };
        let logged: f64 = written.iter().map(retries).sum();
        is(sum(&metrics, "lbd_server_retries_total", ""), logged)?;
        // There is another server to go to each time.
        is(sum(&metrics, "lbd_server_redispatches_total", ""), logged)?;
        let refused = written.iter().filter(|line| line.flags.starts_with("PR"));
        is(
            sum(&metrics, "lbd_frontend_errors_total", ""),
            refused.count() as f64,
        )?;
        // A session is over a moment after its line is written.
        is(sum(&metrics, "lbd_server_sessions", ""), 0.0)
    });

    let metrics = metrics(admin);
    let of_a = |family: &str, more: &str| {
        sum(
            &metrics,
            family,
            &format!("backend=\"app\",server=\"a\"{more}"),
        )
    };
    assert_eq!(of_a("lbd_server_requests_total", ",code=\"4xx\""), 50.0);
    assert_eq!(of_a("lbd_server_requests_total", ",code=\"5xx\""), 50.0);
    assert_eq!(of_a("lbd_server_requests_total", ",code=\"2xx\""), 120.0);
    assert_eq!(of_a("lbd_server_response_seconds_count", ""), 220.0);
    let frontend = "lbd_frontend_response_seconds_count";
    assert_eq!(sum(&metrics, frontend, ""), 220.0);
    let sent =
        of_a("lbd_server_connection_reuses_total", "") + of_a("lbd_server_connects_total", "");
    assert!(sent >= 240.0, "{sent}");
    assert!(of_a("lbd_server_response_seconds_sum", "") > 0.0);
    assert_eq!(of_a("lbd_server_connect_errors_total", ""), 0.0);
    let dead = "server=\"dead\"";
    let failed = sum(&metrics, "lbd_server_connect_errors_total", dead);
    assert!(failed > 0.0);
    assert_eq!(sum(&metrics, "lbd_server_connects_total", dead), failed);
    assert_eq!(sum(&metrics, "lbd_server_requests_total", dead), 0.0);
    assert_eq!(
        sum(&metrics, "lbd_frontend_responses_total", "code=\"none\""),
        20.0
    );
}

#[test]
fn without_a_log_the_same_is_counted() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ADMIN}{}", app(NO_CHECK, [&origin])));
    traffic(&lbd, &origin);
    let admin = lbd.admin();
    eventually("all are counted", || {
        let metrics = metrics(admin);
        let of = |code: &str| {
            sum(
                &metrics,
                "lbd_frontend_responses_total",
                &format!("\"{code}\""),
            )
        };
        let codes = ["none", "2xx", "4xx", "5xx"].map(of);
        // `/forbidden` has no route here.
        is(codes, [20.0, 170.0, 53.0, 50.0])?;
        is(sum(&metrics, "lbd_frontend_requests_total", ""), 293.0)
    });
}

#[test]
fn state_checks_and_reloads_are_told() {
    let (origin, dead) = (Origin::start("a"), Port::new());
    let app = app(QUICK_CHECK, [&origin]).replace(
        "servers = [\n",
        &format!(
            "servers = [\n  {{ name = \"dead\", address = \"{}\" }},\n",
            dead.addr()
        ),
    );
    let mut lbd = Lbd::start(format!("{ADMIN}{app}"));
    let admin = lbd.admin();
    eventually("checks have spoken", || {
        let metrics = metrics(admin);
        let state = |server: &str, state: &str| {
            let labels = format!("server=\"{server}\",state=\"{state}\"");
            sum(&metrics, "lbd_server_state", &labels)
        };
        is(state("a", "up"), 1.0)?;
        is([state("dead", "down"), state("dead", "up")], [1.0, 0.0])?;
        is(sum(&metrics, "lbd_server_up", ""), 1.0)?;
        let checks = |family: &str, server: &str| sum(&metrics, family, server);
        let failures = checks("lbd_server_check_failures_total", "server=\"dead\"");
        let of_a = checks("lbd_server_checks_total", "server=\"a\"");
        match failures >= 2.0 && of_a >= 1.0 {
            true => Ok(()),
            false => Err(format!("{failures} failures, {of_a} checks of a")),
        }
    });
    let now = metrics(admin);
    assert_eq!(
        sum(&now, "lbd_server_check_failures_total", "server=\"a\""),
        0.0
    );
    assert_eq!(now["lbd_config_last_reload_successful"], 1.0);
    assert_eq!(
        now[&format!("lbd_build_info{{version=\"{}\"}}", lb_proto::VERSION)],
        1.0
    );
    assert!(now["process_open_fds"] > 5.0 && now["process_resident_memory_bytes"] > 1e6);
    let began = now["process_start_time_seconds"];
    assert!(
        (began - now["lbd_config_last_reload_timestamp_seconds"]).abs() < 3600.0,
        "{began}"
    );

    lbd.rewrite("nonsense");
    lbd.reload().exits(3);
    let failed = metrics(admin);
    assert_eq!(failed["lbd_config_last_reload_successful"], 0.0);
    assert_eq!(failed["lbd_config_generation"], 1.0);
    lbd.rewrite(format!("{ADMIN}{app}# changed\n"));
    lbd.reload().exits(0);
    let reloaded = metrics(admin);
    assert_eq!(reloaded["lbd_config_last_reload_successful"], 1.0);
    assert_eq!(reloaded["lbd_config_generation"], 2.0);
}

#[test]
fn open_metrics_are_for_who_asks_and_any_name_will_do() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ADMIN}{}", app(NO_CHECK, [&origin])));
    let ask = |accept: &str| {
        let head =
            format!("GET /metrics HTTP/1.1\r\nhost: lb1.example\r\naccept: {accept}\r\n\r\n");
        let response = wire::ask(lbd.admin(), head);
        assert_eq!(response.status, 200);
        (
            response.header("content-type").map(str::to_owned),
            response.text(),
        )
    };
    let (kind, text) = ask("application/openmetrics-text; version=1.0.0");
    assert!(
        kind.is_some_and(|kind| kind.starts_with("application/openmetrics-text; version=1.0.0"))
    );
    assert!(text.ends_with("\n# EOF\n") && text.contains("# TYPE lbd_frontend_requests counter\n"));
    let (kind, text) = ask("*/*");
    assert!(kind.is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    assert!(
        !text.contains("# EOF") && text.contains("# TYPE lbd_frontend_requests_total counter\n")
    );
}

#[test]
fn ten_thousand_servers_are_told_while_requests_go_on() {
    let origin = Origin::start("a");
    let servers: String = (0..100)
        .map(|n| {
            format!(
                "  {{ name = \"s{n}\", address = \"{}\" }},\n",
                origin.addr()
            )
        })
        .collect();
    let backends: String = (0..100)
        .map(|n| format!("[backend.b{n}]\nhealth = false\nservers = [\n{servers}]\n"))
        .collect();
    let frontend = "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"b99\"\n";
    let lbd = Lbd::start(format!("{ADMIN}{frontend}{backends}"));
    let (admin, web) = (lbd.admin(), lbd.addr());
    let mut scrape = Wire::connect(admin);
    scrape.send(request("GET", "/metrics"));
    assert_eq!(get(web, "/").status, 200);
    assert_eq!(get(admin, "/healthz").status, 200);
    let text = scrape.response().text();
    let up = text
        .lines()
        .filter(|line| line.starts_with("lbd_server_up{"));
    assert_eq!(up.count(), 10_000);
}
