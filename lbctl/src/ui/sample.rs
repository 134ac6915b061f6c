//! A daemon's state for tests: a server of each kind.

use lb_proto::state::{Admin, Health, State};
use lb_proto::status::{
    BackendStatus, CheckResult, CheckStatus, ConfigStatus, Daemon, Errors, FrontendStatus,
    KeptStatus, Overrides, ServerStatus, Status,
};

pub(crate) fn status() -> Status {
    Status {
        schema: 1,
        daemon: Daemon {
            version: "0.1.0".to_owned(),
            pid: 4242,
            uptime_s: 11_520,
            started_at: Some("2026-11-23T20:31:11Z".to_owned()),
            config: ConfigStatus {
                path: "/etc/lbd/lbd.toml".to_owned(),
                generation: 3,
                loaded_at: "2026-11-23T20:31:11Z".to_owned(),
                sha256: "ab".repeat(32),
                file_differs: Some(false),
                confirmed: true,
                trial: None,
                last_reload: None,
            },
            connections: 12,
            connections_removed: 0,
            connections_limit: 20_000,
            handshakes: 0,
            handshakes_waiting: 0,
            handshakes_limit: 1000,
            access_log: None,
            kept: KeptStatus::default(),
            admin: None,
        },
        frontends: vec![FrontendStatus {
            name: "web".parse().unwrap(),
            mode: "http".to_owned(),
            binds: vec!["0.0.0.0:80".to_owned(), "0.0.0.0:443".to_owned()],
            connections: 12,
            sessions: 3,
            requests_total: 1_234_567,
            bytes_in: 314_572_800,
            bytes_out: 53_687_091_200,
            tls: Vec::new(),
        }],
        backends: vec![
            BackendStatus {
                name: "app".parse().unwrap(),
                balance: "roundrobin".to_owned(),
                queued: 0,
                rolling: None,
                servers: vec![
                    server("web01"),
                    down("web02"),
                    ServerStatus {
                        check: false,
                        health: Health::Unchecked,
                        last_check: None,
                        sessions: 0,
                        ..server("spare")
                    },
                ],
            },
            BackendStatus {
                name: "api".parse().unwrap(),
                balance: "roundrobin".to_owned(),
                queued: 2,
                rolling: None,
                servers: vec![ServerStatus {
                    admin: Admin::Drain,
                    state: State::Drain,
                    ..server("one")
                }],
            },
        ],
        certificates: Vec::new(),
    }
}

pub(crate) fn server(name: &str) -> ServerStatus {
    ServerStatus {
        name: name.parse().unwrap(),
        address: "10.0.0.11:8080".to_owned(),
        host: None,
        weight: 1,
        weight_configured: 1,
        backup: false,
        admin: Admin::Ready,
        health: Health::Up,
        state: State::Up,
        check: true,
        sticky_clients: None,
        move_sticky: false,
        sessions: 3,
        sessions_max: 40,
        sessions_total: 123_456,
        bytes_in: 104_857_600,
        bytes_out: 5_368_709_120,
        errors: Errors {
            connect: 1,
            response: 2,
        },
        last_check: Some(CheckStatus {
            at: "2026-11-23T20:31:11Z".to_owned(),
            result: CheckResult::L7OK,
            status: Some(200),
            latency_ms: 1.24,
            detail: "200 OK".to_owned(),
        }),
        rising: None,
        changed_s: 192,
        session_cookie: None,
        ejected: None,
        overrides: Overrides::default(),
    }
}

pub(crate) fn down(name: &str) -> ServerStatus {
    ServerStatus {
        address: "10.0.0.12:8080".to_owned(),
        health: Health::Down,
        state: State::Down,
        sessions: 0,
        last_check: Some(CheckStatus {
            at: "2026-11-23T20:31:11Z".to_owned(),
            result: CheckResult::L4CON,
            status: None,
            latency_ms: 0.31,
            detail: "connection refused by 10.0.0.12:8080".to_owned(),
        }),
        changed_s: 7_500,
        ..server(name)
    }
}
