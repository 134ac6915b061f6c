//! HTTP/2 by the clients that people have: curl and h2load.

use std::fs;
use std::process::Command;

use lb_tests::daemon::NO_CHECK;
use lb_tests::pattern::pattern;
use lb_tests::process::Output;
use lb_tests::{Authority, Lbd, Process, Setup, eventually, is};

use crate::origin::{Nginx, balanced};

/// Ten thousand streams at once are more connections than nginx's backlog takes: what the kernel drops
/// it sends again, after one second, three and seven.
const PATIENT: &str = "health = false\ntimeouts = { connect = \"60s\" }";

/// A daemon that speaks HTTP/2 by TLS, and its authority's certificate beside its configuration.
fn secure(origin: &Nginx, lines: &str) -> Lbd {
    let setup = Setup::new("");
    let authority = Authority::new();
    authority
        .issue(&["lb.test"])
        .write(setup.folder(), "lb.pem");
    let root = setup.folder().join("root.crt");
    fs::write(root, authority.root()).expect("the folder is ours");
    let bind = format!(
        "bind = {{ address = \"127.0.0.1:0\", tls = {{ certs = {:?} }} }}",
        setup.folder().join("lb.pem")
    );
    let config = balanced(lines, std::slice::from_ref(origin));
    setup
        .config(config.replace("bind = [\"127.0.0.1:0\"]", &bind))
        .start()
}

fn clear(origin: &Nginx, lines: &str) -> Lbd {
    let bind = "bind = { address = \"127.0.0.1:0\", h2c = true }";
    let config = balanced(lines, std::slice::from_ref(origin));
    Lbd::start(config.replace("bind = [\"127.0.0.1:0\"]", bind))
}

/// `curl ARGS URL`, which says the version it got last.
fn curl(lbd: &Lbd, args: &[&str], scheme: &str, target: &str) -> Output {
    let port = lbd.addr().port();
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--write-out",
            "%{http_version}",
        ])
        .args(["--resolve", &format!("lb.test:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(lbd.folder().join("root.crt"))
        .args(args)
        .arg(format!("{scheme}://lb.test:{port}/{target}"));
    Process::run(command)
}

#[test]
#[ignore = "needs nginx and curl"]
fn curl_gets_what_nginx_serves_by_the_version_it_asks_for() {
    let origin = Nginx::start("a");
    let file: String = pattern(1_000_000)
        .into_iter()
        .map(|byte| char::from(byte % 64 + 32))
        .collect();
    origin.serve("file", file.as_bytes());
    let (secure, clear) = (secure(&origin, NO_CHECK), clear(&origin, NO_CHECK));
    for (lbd, version, scheme, got) in [
        (&secure, "--http1.1", "https", "1.1"),
        (&secure, "--http2", "https", "2"),
        (&secure, "--http2-prior-knowledge", "https", "2"),
        (&clear, "--http1.1", "http", "1.1"),
        // Asked to upgrade, lbd goes on as before.
        (&clear, "--http2", "http", "1.1"),
        (&clear, "--http2-prior-knowledge", "http", "2"),
    ] {
        let answer = curl(lbd, &[version], scheme, "").exits(0);
        assert_eq!(answer.stdout, format!("a\n{got}"), "{version} {scheme}");
        let answer = curl(lbd, &[version], scheme, "file").exits(0);
        assert_eq!(answer.stdout, format!("{file}{got}"), "{version} {scheme}");
        let part = curl(lbd, &[version, "--range", "10-19"], scheme, "file").exits(0);
        assert_eq!(part.stdout, format!("{}{got}", &file[10..20]));
        curl(lbd, &[version], scheme, "none").exits(22).says("404");
    }
}

#[test]
#[ignore = "needs nginx and h2load"]
fn a_hundred_connections_of_a_hundred_streams_lose_nothing() {
    let origin = Nginx::start("a");
    let (secure, clear) = (secure(&origin, PATIENT), clear(&origin, PATIENT));
    for (lbd, scheme) in [(secure, "https"), (clear, "http")] {
        let mut command = Command::new("h2load");
        command
            .args(["-n", "50000", "-c", "100", "-m", "100", "-t", "1"])
            .arg(format!("{scheme}://{}/", lbd.addr()));
        let told = Process::run(command).exits(0).stdout;
        assert!(
            told.contains("50000 succeeded, 0 failed, 0 errored"),
            "{told}\n{:#?}",
            lbd.status().backends
        );
        assert!(told.contains("50000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{told}");
        eventually("every count is zero", || {
            let status = lbd.status();
            let sessions = status.backends[0].servers[0].sessions;
            is((status.frontends[0].connections, sessions), (0, 0))
        });
        assert_eq!(lbd.status().frontends[0].requests_total, 50_000);
    }
}

/// It makes room for each frame that it gets, which are as small.
#[test]
#[ignore = "needs nginx and h2load"]
fn a_client_that_takes_few_bytes_at_a_time_floods_nobody() {
    let origin = Nginx::start("a");
    origin.serve("file", &[b'x'; 4096]);
    let lbd = clear(&origin, PATIENT);
    let mut command = Command::new("h2load");
    command
        .args(["-n", "200", "-c", "1", "-m", "100", "-w", "4", "-W", "16"])
        .arg(format!("http://{}/file", lbd.addr()));
    let told = Process::run(command).exits(0).stdout;
    assert!(
        told.contains("200 succeeded, 0 failed, 0 errored"),
        "{told}"
    );
}
