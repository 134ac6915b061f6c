//! What the page says of a status, as JSON has it.

use lb_proto::event::Event;
use lb_proto::status::{BackendStatus, Status};
use serde_json::{Value, json};

use super::*;
use crate::admin::history::History;

fn server(name: &str, changes: &Value) -> Value {
    let mut server = json!({
        "name": name, "address": "10.0.0.1:80", "weight": 1, "weight_configured": 1, "admin": "ready",
        "health": "up", "state": "up", "check": true, "sessions": 2, "sessions_max": 3, "sessions_total": 4,
        "bytes_in": 0, "bytes_out": 0, "errors": {"connect": 0, "response": 0}, "changed_s": 61, "overrides": {}
    });
    merge(&mut server, changes);
    server
}

fn certificate(name: &str, days: i64, state: &str) -> Value {
    json!({
        "file": format!("/certs/{name}"), "names": name.split(", ").collect::<Vec<_>>(), "issuer": "ca", "not_before": "2026-01-01T00:00:00Z",
        "not_after": "2026-12-31T00:00:00Z", "days_left": days, "state": state, "fingerprint": "", "binds": []
    })
}

fn merge(into: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn clock() -> Clock {
    Clock {
        now: "2026-11-27T12:30:00Z".parse().unwrap(),
        zone: TimeZone::UTC,
    }
}

/// With these servers of `app`; `changes` are those of `daemon.config`.
fn view(servers: Vec<Value>, changes: &Value, certificates: Vec<Value>, events: &[Event]) -> View {
    let mut status = json!({
        "schema": 1,
        "daemon": {
            "version": "1", "pid": 1, "uptime_s": 9, "connections": 1, "connections_limit": 100,
            "config": {"path": "/c", "generation": 3, "loaded_at": "2026-11-27T12:00:00Z", "sha256": "00"}
        },
        "frontends": [],
        "backends": [{"name": "app", "balance": "roundrobin", "queued": 0, "servers": servers}],
        "certificates": certificates
    });
    merge(&mut status["daemon"]["config"], changes);
    shown(status, events)
}

fn shown(status: Value, events: &[Event]) -> View {
    let status: Status = serde_json::from_value(status).unwrap();
    View::of(&Seen {
        status: &status,
        history: &History::default().read(),
        events,
        clock: &clock(),
        host: "lb1",
        stopping: false,
    })
}

fn attention(view: &View) -> Vec<(&str, &str)> {
    let lines = view.attention.iter();
    lines
        .map(|line| (line.get("level"), line.get("text")))
        .collect()
}

#[test]
fn what_is_well_needs_no_attention() {
    let view = view(
        vec![server("a", &json!({}))],
        &json!({}),
        vec![certificate("x", 60, "valid")],
        &[],
    );
    assert_eq!(attention(&view), []);
    assert_eq!(view.daemon.cells.get("title"), "lb1 · lbd");
    let cells = &view.pools[0].servers[0].cells;
    assert_eq!(
        (cells.get("look"), cells.get("why"), cells.get("since")),
        ("up", "", "1m 1s")
    );
}

#[test]
fn connections_that_take_all_places_are_told_with_those_of_no_frontend() {
    let daemon = json!({
        "version": "1", "pid": 1, "uptime_s": 9, "connections": 95, "connections_removed": 90, "connections_limit": 100,
        "config": {"path": "/c", "generation": 3, "loaded_at": "2026-11-27T12:00:00Z", "sha256": "00"}
    });
    let view = shown(
        json!({"schema": 1, "daemon": daemon, "frontends": [], "backends": []}),
        &[],
    );
    let told =
        "95 client connections are open, of 100 that may be; 90 are of frontends that were removed";
    assert_eq!(attention(&view), [("warn", told)]);
}

#[test]
fn the_worst_comes_first() {
    let check = json!({"at": "2026-11-27T12:29:59Z", "result": "L7STS", "status": 404, "latency_ms": 1.0, "detail": "GET / answered 404"});
    let set = json!({"admin": {"at": "2026-11-27T12:00:00Z", "age_s": 1800, "by": {"user": "ops"}, "reason": "kernel", "until": "2026-11-27T13:00:00Z"}});
    let servers = vec![
        server(
            "drains",
            &json!({"admin": "drain", "state": "drain", "overrides": set}),
        ),
        server(
            "ejected",
            &json!({"ejected": {"left_s": 12, "reason": "10 errors within 10s"}}),
        ),
        server(
            "down",
            &json!({"health": "down", "state": "down", "last_check": check}),
        ),
        server(
            "rising",
            &json!({"health": "down", "state": "down", "rising": {"has": 1, "needs": 2}}),
        ),
    ];
    let config = json!({
        "trial": {"by": "ops", "confirm_until": "2026-11-27T12:31:00Z", "confirm_left_s": 60},
        "last_reload": {"at": "2026-11-27T12:01:00Z", "ok": false, "error": "line 3"}
    });
    let certificates = vec![
        certificate("soon", 29, "valid"),
        certificate("now", 6, "valid"),
        certificate("old", -1, "expired"),
        certificate("a, b, c, d, e, f, g", 1, "valid"),
    ];
    let view = view(servers, &config, certificates, &[]);
    assert_eq!(
        attention(&view),
        [
            ("bad", "app/down is down: L7STS: GET / answered 404"),
            ("bad", "certificate of now: 6 days left"),
            ("bad", "certificate of old: expired"),
            ("bad", "certificate of a, b, c, d, e and 2 more: 1 day left"),
            (
                "warn",
                "configuration 3 is on trial, by ops; confirm it until 12:31:00 (in 1m): lbctl confirm"
            ),
            (
                "warn",
                "the reload of 12:01:00 failed, the former configuration runs: line 3"
            ),
            (
                "warn",
                "app/ejected is ejected: left alone for 12s: 10 errors within 10s"
            ),
            (
                "warn",
                "app/rising is down: it waits for its checks: 1 of 2 succeeded"
            ),
            ("warn", "certificate of soon: 29 days left"),
            (
                "note",
                "app/drains is in drain: 2 sessions left · by ops: kernel, until 13:00:00"
            ),
        ]
    );
    assert_eq!(view.daemon.cells.get("title"), "(4) lb1 · lbd");
    let drains = &view.pools[0].servers[0].cells;
    // For as long as the operator has wanted it.
    assert_eq!((drains.get("word"), drains.get("since")), ("drain", "30m"));
    assert_eq!(drains.get("left"), "2 sessions left");
    assert_eq!(drains.get("held"), "by ops: kernel, until 13:00:00");
    assert_eq!(view.pools[0].servers[1].cells.get("held"), "");
}

#[test]
fn a_rolling_maintenance_has_the_server_whose_turn_it_is() {
    let turns = json!([{"server": "a", "phase": "done"}, {"server": "b", "phase": "maint"}, {"server": "c", "phase": "to_do"}]);
    let hook = json!({"pid": 1, "started": 2, "host": "lb1", "boot": "3"});
    let held = |running: bool, hook: &Value| {
        let rolling = json!({
            "since": "2026-11-27T12:00:00Z", "by": {"user": "ops"}, "running": running, "turns": turns, "hook": hook
        });
        let servers = ["a", "b", "c"].map(|name| server(name, &json!({})));
        let backend = json!({"name": "app", "balance": "roundrobin", "queued": 0, "servers": servers, "rolling": rolling});
        let backend: BackendStatus = serde_json::from_value(backend).unwrap();
        let held = backend.servers.iter();
        let held = held.map(|server| server::held(&backend, server, &clock()));
        held.collect::<Vec<_>>()
    };
    for (running, hook, told) in [
        (true, &hook, "has its command at work there"),
        (true, &Value::Null, "is at it"),
        (false, &hook, "stopped there"),
    ] {
        let told = format!("a rolling maintenance by ops {told}");
        assert_eq!(held(running, hook), ["", &told, ""]);
    }
}

#[test]
fn nobody_up_is_the_worst_of_all_and_what_is_alike_is_one_line() {
    let down = json!({"health": "down", "state": "down"});
    let servers = (0..60).map(|n| server(&format!("s{n}"), &down)).collect();
    let view = view(servers, &json!({}), Vec::new(), &[]);
    let lines = [
        (
            "bad",
            "app has no server that takes sessions: its clients are refused",
        ),
        ("bad", "60 servers of app (s0, s1, s2, …) are down"),
    ];
    assert_eq!(attention(&view), lines);
    assert_eq!(view.attention[1].get("link"), "#backend-app");
}

#[test]
fn the_list_has_an_end() {
    let ejected = |n: u64| json!({"ejected": {"left_s": n, "reason": "errors"}});
    let servers = (0..60)
        .map(|n| server(&format!("s{n}"), &ejected(n)))
        .collect();
    let view = view(servers, &json!({}), Vec::new(), &[]);
    let lines = attention(&view);
    assert_eq!(lines.len(), 41);
    assert_eq!(lines.last(), Some(&("note", "and 20 more: lbctl status")));
}

#[test]
fn the_latest_event_is_the_first_and_what_was_done_is_told_once() {
    let events: Vec<Event> = (1..=40)
        .map(|generation| Event::Config {
            at: format!("2026-11-27T12:00:{generation:02}Z"),
            generation,
            reason: "by ops".to_owned(),
        })
        .collect();
    let view = view(Vec::new(), &json!({}), Vec::new(), &events);
    assert_eq!(view.events.len(), 30);
    assert_eq!(view.events[0].get("text"), "generation 40: by ops");
    assert_eq!(view.events[0].get("clock"), "12:00:40");
}
