//! What people run behind a load balancer: Node.js with WebSocket and socket.io, and gunicorn.

use std::path::{Path, PathBuf};
use std::process::Command;

use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::pattern::pattern;
use lb_tests::process::Output;
use lb_tests::{Lbd, Process, eventually, is, programs};

use crate::program::Program;

/// A script of `tests/real/node` that listens.
pub(crate) fn server(script: &'static str, args: &'static [&str]) -> Program {
    Program::start(|port| {
        let mut command = node(script);
        let port = port.addr().port().to_string();
        for arg in args {
            command.arg(if *arg == "PORT" { &port } else { *arg });
        }
        command
    })
}

/// Node.js with a script of `tests/real/node`; `.ci/run` installs what the scripts require.
pub(crate) fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(here().join("node").join(script))
        .env("NODE_PATH", modules());
    command
}

fn modules() -> PathBuf {
    let folder = std::env::var_os("LB_TESTS_NODE_MODULES").map(PathBuf::from);
    folder.unwrap_or_else(|| programs::workspace().join("target/node/node_modules"))
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("real")
}

fn curl(lbd: &Lbd, args: &[&str], target: &str) -> Output {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error"])
        .args(args)
        .arg(format!("http://{}{target}", lbd.addr()));
    Process::run(command)
}

fn assert_no_session_is_left(lbd: &Lbd) {
    eventually("no session is left", || {
        let status = lbd.status();
        let servers = status.backends[0].servers.iter();
        is(servers.map(|s| s.sessions).sum::<u64>(), 0)
    });
}

#[test]
#[ignore = "needs node and npm packages"]
fn websockets_echo_on_many_connections() {
    let server = server("websocket.js", &["server", "PORT"]);
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", server.port.addr())]));
    let mut client = node("websocket.js");
    client.args(["client", &format!("ws://{}/echo", lbd.addr()), "20"]);
    assert_eq!(Process::run(client).exits(0).stdout, "whole 140\n");
    assert_no_session_is_left(&lbd);
    assert_eq!(lbd.server("app/s").sessions_total, 20);
}

#[test]
#[ignore = "needs node and npm packages"]
fn a_socket_io_chat_polls_and_upgrades_on_the_server_that_the_cookie_names() {
    let servers = [
        server("chat.js", &["server", "PORT", "a"]),
        server("chat.js", &["server", "PORT", "b"]),
    ];
    let lines = format!("{NO_CHECK}\nsticky = {{ cookie = \"SRVID\" }}");
    let names = ["a", "b"].into_iter().zip(servers.each_ref());
    let lbd = Lbd::start(app_at(&lines, names.map(|(name, s)| (name, s.port.addr()))));
    let mut clients = node("chat.js");
    clients.args(["clients", &format!("http://{}", lbd.addr()), "10"]);
    let heard = Process::run(clients).exits(0).stdout;
    let heard: serde_json::Value = serde_json::from_str(&heard).expect("it is JSON");
    let heard = heard.as_array().expect("a list");
    assert_eq!(heard.len(), 10);
    for (n, client) in heard.iter().enumerate() {
        let room = client["room"].as_str().expect("a room");
        assert_eq!(client["said"], format!("{room}: hello {n}"));
        assert_eq!(client["transports"], "polling then websocket");
    }
    for room in ["a", "b"] {
        assert!(
            heard.iter().any(|client| client["room"] == room),
            "{heard:?}"
        );
    }
    assert_no_session_is_left(&lbd);
}

#[test]
#[ignore = "needs node and curl"]
fn node_serves_what_http_1_1_has() {
    let server = server("origin.js", &["PORT"]);
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", server.port.addr())]));
    let hints = curl(&lbd, &["--include"], "/hints").exits(0).stdout;
    let (first, rest) = hints.split_once("\r\n\r\n").expect("two heads");
    assert!(first.starts_with("HTTP/1.1 103 Early Hints\r\n"), "{hints}");
    assert!(first.contains("link: </style.css>; rel=preload"), "{hints}");
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n"), "{hints}");
    assert!(rest.ends_with("hinted\n"), "{hints}");

    let trailing = ["--header", "te: trailers", "--header", "connection: te"];
    let trailing = [&trailing[..], &["--raw", "--include"]].concat();
    let trailed = curl(&lbd, &trailing, "/trailers").exits(0).stdout;
    assert!(trailed.ends_with("0\r\nx-sum: 42\r\n\r\n"), "{trailed}");

    assert_eq!(
        curl(&lbd, &[], "/stream").exits(0).stdout,
        "5\n4\n3\n2\n1\n"
    );

    let body: String = pattern(200_000)
        .into_iter()
        .map(|b| char::from(b % 64 + 32))
        .collect();
    let file = lbd.folder().join("upload");
    std::fs::write(&file, &body).expect("the folder is ours");
    let upload = format!("@{}", file.display());
    for header in [
        "expect: 100-continue",
        "expect:",
        "transfer-encoding: chunked",
    ] {
        let args = ["--data-binary", &upload, "--header", header];
        assert_eq!(curl(&lbd, &args, "/echo").exits(0).stdout, body, "{header}");
    }
    let args = ["--data-binary", &upload, "--header", "expect: 100-continue"];
    let args = [&args[..], &["--write-out", "%{http_code} %{size_upload}"]].concat();
    assert_eq!(curl(&lbd, &args, "/refuse").exits(0).stdout, "no\n413 0");
    assert_no_session_is_left(&lbd);
}

#[test]
#[ignore = "needs gunicorn and curl"]
fn gunicorn_serves_a_wsgi_application() {
    let server = Program::start(|port| {
        let mut command = Command::new("gunicorn");
        let (bind, here) = (port.addr().to_string(), here());
        command
            .args([
                "--bind",
                &bind,
                "--workers",
                "2",
                "--keep-alive",
                "5",
                "--chdir",
            ])
            .args([here.as_os_str(), "wsgi:application".as_ref()])
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", server.port.addr())]));
    let told = curl(&lbd, &["--header", "host: shop.example"], "/").exits(0);
    let expected = "HTTP_HOST=shop.example\nHTTP_X_FORWARDED_FOR=127.0.0.1\n\
        HTTP_X_FORWARDED_PROTO=http\nREQUEST_METHOD=GET\n";
    assert_eq!(told.stdout, expected);
    let numbers: String = (0..1000).map(|n| format!("{n}\n")).collect();
    for version in ["--http1.0", "--http1.1"] {
        assert_eq!(curl(&lbd, &[version], "/stream").exits(0).stdout, numbers);
    }
    for header in [
        "expect:",
        "transfer-encoding: chunked",
        "expect: 100-continue",
    ] {
        let args = ["--data-binary", "some words", "--header", header];
        assert_eq!(
            curl(&lbd, &args, "/echo").exits(0).stdout,
            "some words",
            "{header}"
        );
    }
    let failed = curl(
        &lbd,
        &["--write-out", "%{http_code}", "--output", "/dev/null"],
        "/fail",
    );
    assert_eq!(failed.exits(0).stdout, "500");
    assert_no_session_is_left(&lbd);
}
