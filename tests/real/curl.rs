//! curl, as people and scripts use it.

use std::process::Command;

use lb_tests::daemon::NO_CHECK;
use lb_tests::pattern::pattern;
use lb_tests::process::Output;
use lb_tests::{Lbd, Process};

use crate::origin::{Nginx, balanced};

fn start() -> (Nginx, Lbd) {
    let origin = Nginx::start("a");
    let lbd = Lbd::start(balanced(NO_CHECK, std::slice::from_ref(&origin)));
    (origin, lbd)
}

/// `curl ARGS http://LBD/TARGET`, silent but for errors.
fn curl(lbd: &Lbd, args: &[&str], target: &str) -> Output {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail"])
        .args(args)
        .arg(format!("http://{}/{target}", lbd.addr()));
    Process::run(command)
}

#[test]
#[ignore = "needs nginx and curl"]
fn curl_gets_what_nginx_serves_in_every_version_it_speaks() {
    let (origin, lbd) = start();
    let file: String = pattern(100_000)
        .into_iter()
        .map(|byte| char::from(byte % 64 + 32))
        .collect();
    origin.serve("file", file.as_bytes());
    for version in ["--http1.0", "--http1.1"] {
        assert_eq!(curl(&lbd, &[version], "").exits(0).stdout, "a\n");
        assert_eq!(
            curl(&lbd, &[version], "file").exits(0).stdout,
            file,
            "{version}"
        );
        let part = curl(&lbd, &[version, "--range", "10-19"], "file").exits(0);
        assert_eq!(part.stdout, file[10..20]);
        let head = curl(&lbd, &[version, "--head"], "file").exits(0);
        assert!(
            head.stdout
                .to_lowercase()
                .contains("content-length: 100000"),
            "{head:?}"
        );
    }
    curl(&lbd, &[], "none").exits(22).says("404");
}

#[test]
#[ignore = "needs nginx and curl"]
fn curl_uploads_with_a_length_with_chunks_and_after_100_continue() {
    let (origin, lbd) = start();
    let body: Vec<u8> = pattern(3_000_000);
    let file = lbd.folder().join("upload");
    std::fs::write(&file, &body).expect("the folder is ours");
    let file = file.display().to_string();
    for (name, header) in [
        ("sized", "expect:"),
        ("chunked", "transfer-encoding: chunked"),
        ("asked", "expect: 100-continue"),
    ] {
        let args = ["--upload-file", &file, "--header", header];
        curl(&lbd, &args, &format!("dav/{name}")).exits(0);
        assert!(
            origin.uploaded(name).is_some_and(|whole| whole == body),
            "{name}"
        );
    }
}

#[test]
#[ignore = "needs nginx and curl"]
fn curl_keeps_its_connection() {
    let (_origin, lbd) = start();
    let urls = vec![format!("http://{}/", lbd.addr()); 5];
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--write-out",
            "%{num_connects}\n",
        ])
        .args(urls);
    let output = Process::run(command).exits(0);
    assert_eq!(output.stdout, "a\n1\na\n0\na\n0\na\n0\na\n0\n");
}

#[test]
#[ignore = "needs nginx and curl"]
fn curl_keeps_its_server_by_a_jar_of_cookies() {
    let origins = ["a", "b"].map(Nginx::start);
    let sticky = format!("{NO_CHECK}\nsticky = {{ cookie = \"SRVID\" }}");
    let lbd = Lbd::start(balanced(&sticky, &origins));
    let jar = lbd.folder().join("cookies");
    let jar = jar.to_str().expect("a plain path");
    let ask = || curl(&lbd, &["--cookie", jar, "--cookie-jar", jar], "").exits(0);
    let server = ask().stdout;
    for _ in 0..3 {
        assert_eq!(ask().stdout, server);
    }
    let id = format!("app/{}", server.trim());
    lbd.lbctl(["drain", &id]).exits(0);
    assert_eq!(ask().stdout, server, "in drain it keeps its server");
    lbd.lbctl(["drain", &id, "--move-sticky"]).exits(0);
    let other = ask().stdout;
    assert_ne!(other, server);
    lbd.lbctl(["ready", &id]).exits(0);
    for _ in 0..3 {
        assert_eq!(ask().stdout, other, "it has the other's cookie now");
    }
}
