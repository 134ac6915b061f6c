//! Of `diagnosis.rs`.

use lb_proto::config::{self, Config};

use super::*;
use crate::cmd::doctor::finding::Severity;
use crate::ui::sample;

fn config() -> Config {
    let text = "[frontend.web]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\
        [backend.app]\nhealth = { type = \"http\", path = \"/healthz\", expect = \"200\" }\n\
        servers = [\n\
        { name = \"web01\", address = \"10.0.0.11:8080\" },\n\
        { name = \"web02\", address = \"10.0.0.12:8080\" },\n\
        { name = \"spare\", address = \"127.0.0.1:8080\", check = false },\n]\n";
    config::read("lbd.toml", text).unwrap()
}

fn asked<'a>(
    backend: &'a Backend,
    at: usize,
    result: CheckResult,
    status: Option<u16>,
    state: Option<&'a ServerStatus>,
) -> Asked<'a> {
    let server = &backend.servers[at];
    let detail = match status {
        Some(status) => format!("GET /healthz answered {status}, expected 200"),
        None => "connection refused".to_owned(),
    };
    Asked {
        backend: &backend.name,
        server: &server.name,
        address: server.address.to_string().parse().unwrap(),
        tls: false,
        kind: kind(backend, backend.health.as_ref().filter(|_| server.check)),
        seen: Some(Seen {
            result,
            status,
            detail,
            came_back: status
                .map(|s| format!("HTTP/1.0 {s}"))
                .into_iter()
                .collect(),
        }),
        state,
    }
}

#[test]
fn every_server_that_answers_404_is_one_problem_with_the_path_that_works() {
    let config = config();
    let backend = &config.backends[0];
    let both = [0, 1].map(|at| asked(backend, at, CheckResult::L7STS, Some(404), None));
    let elsewhere = Elsewhere {
        path: "/up".to_owned(),
        status: 200,
    };
    let found = diagnose(backend, &[&both[0], &both[1]], Some(&elsewhere));
    assert_eq!(found.len(), 1, "{found:?}");
    let problem = &found[0];
    assert_eq!(
        problem.what,
        "every server of app fails its check: GET /healthz answered 404, expected 200"
    );
    assert_eq!(
        problem.why,
        [
            "web01 (10.0.0.11:8080): L7STS, GET /healthz answered 404, expected 200",
            "web02 (10.0.0.12:8080): L7STS, GET /healthz answered 404, expected 200",
            "came back: HTTP/1.0 404",
        ]
    );
    let remedy = problem.remedy.as_deref().unwrap();
    assert!(
        remedy.starts_with("/up answers 200 there: set path = \"/up\""),
        "{remedy}"
    );
    let command = problem.command.as_deref();
    assert_eq!(command, Some("curl -i http://10.0.0.11:8080/healthz"));
}

#[test]
fn servers_that_fail_each_in_its_way_are_each_told_of_once() {
    let config = config();
    let backend = &config.backends[0];
    let lost = asked(backend, 0, CheckResult::L7STS, Some(404), None);
    let refused = asked(backend, 1, CheckResult::L4CON, None, None);
    let silent = asked(backend, 2, CheckResult::L4TOUT, None, None);
    let found = diagnose(backend, &[&lost, &refused, &silent], None);
    let whats: Vec<&str> = found.iter().map(|f| &*f.what).collect();
    assert_eq!(
        whats,
        [
            "app/web01 fails its check: GET /healthz answered 404, expected 200",
            "app/web02 fails its check: connection refused",
            "app/spare cannot be reached: connection refused",
        ]
    );
    let place = found[1].place.as_deref();
    let none = "backend app, none of whose 3 servers is well: 10.0.0.12:8080";
    assert_eq!(place, Some(none));
}

#[test]
fn one_ill_server_is_named_and_the_others_are_not_called_down() {
    let config = config();
    let backend = &config.backends[0];
    let well = asked(backend, 0, CheckResult::L7OK, Some(200), None);
    let refused = asked(backend, 1, CheckResult::L4CON, None, None);
    let unchecked = asked(backend, 2, CheckResult::L4TOUT, None, None);
    let found = diagnose(backend, &[&well, &refused, &unchecked], None);
    let whats: Vec<&str> = found.iter().map(|f| &*f.what).collect();
    assert_eq!(
        whats,
        [
            "app/web02 fails its check: connection refused",
            "app/spare cannot be reached: connection refused",
        ]
    );
    assert_eq!(found[0].command.as_deref(), Some("nc -zvw3 10.0.0.12 8080"));
    let connected = asked(backend, 2, CheckResult::L4OK, None, None);
    let found = diagnose(backend, &[&well, &connected], None);
    assert_eq!(found[0].severity, Severity::Fine);
    assert_eq!(
        found[0].what,
        "backend app: 1 server answered as expected, 1 server took a connection"
    );
}

#[test]
fn every_way_to_fail_has_its_own_advice() {
    let config = config();
    let backend = &config.backends[0];
    let advised = |result, status| {
        let asked = asked(backend, 0, result, status, None);
        advice(backend, &asked, Some((result, status)), None).0
    };
    for (result, status, what) in [
        (
            CheckResult::L7STS,
            Some(404),
            "have the application answer /healthz",
        ),
        (CheckResult::L7STS, Some(302), "set `host`"),
        (CheckResult::L7STS, Some(401), "without a login"),
        (CheckResult::L7STS, Some(503), "its own log"),
        (CheckResult::L7STS, Some(200), "`expect`"),
        (CheckResult::L4TOUT, None, "firewall"),
        (CheckResult::L6RSP, None, "remove `tls`"),
        (CheckResult::L7RSP, None, "`protocol = \"h2\"`"),
        (CheckResult::L7TOUT, None, "`timeout`"),
    ] {
        let remedy = advised(result, status);
        assert!(remedy.contains(what), "{result:?} {status:?}: {remedy}");
    }
}

#[test]
fn a_server_that_lbd_has_down_and_that_answers_is_a_warning() {
    let config = config();
    let backend = &config.backends[0];
    let down = sample::down("web01");
    let well = asked(backend, 0, CheckResult::L7OK, Some(200), Some(&down));
    let found = diagnose(backend, &[&well], None);
    assert_eq!(found[0].severity, Severity::Warning);
    assert_eq!(found[0].what, "app/web01 answers us, and lbd has it down");
    assert!(found[0].why[1].contains("L4CON"), "{found:?}");
}

#[test]
fn what_was_not_asked_is_not_well() {
    let config = config();
    let backend = &config.backends[0];
    let late = Asked {
        seen: None,
        ..asked(backend, 0, CheckResult::L7OK, Some(200), None)
    };
    let found = diagnose(backend, &[&late], None);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].severity, Severity::NotLookedAt);
    assert_eq!(diagnose(backend, &[], None), []);
}

#[test]
fn a_backend_whose_servers_are_all_taken_out_is_a_problem() {
    let name = "app".parse().unwrap();
    let maint = ServerStatus {
        admin: Admin::Maint,
        state: lb_proto::state::State::Maint,
        ..sample::server("web01")
    };
    let up = sample::server("web02");
    assert_eq!(nobody_left(&name, &[&maint, &up], &[]), None);
    assert_eq!(nobody_left(&name, &[], &[]), None);
    let found = nobody_left(&name, &[&maint], &[]).unwrap();
    assert_eq!(found.command.as_deref(), Some("lbctl ready app/web01"));
    let weightless = ServerStatus { weight: 0, ..up };
    let found = nobody_left(&name, &[&weightless], &[]).unwrap();
    assert!(found.why[0].contains("weight 0"), "{found:?}");
    // Told by the servers' own failures.
    let config = config();
    let backend = &config.backends[0];
    let refused = asked(backend, 0, CheckResult::L4CON, None, None);
    let down = sample::down("web01");
    assert_eq!(nobody_left(&name, &[&down], &[&refused]), None);
    assert!(nobody_left(&name, &[&down], &[]).is_some());
}
