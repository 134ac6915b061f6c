//! What reads HAProxy's logs reads lbd's: a parser from PyPI and HAProxy's own `halog`; and logrotate
//! rotates it as `lbd/dist/lbd.logrotate` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lb_tests::access_log::lines;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::port::Port;
use lb_tests::process::Output;
use lb_tests::wire::{get, request, upload};
use lb_tests::{Lbd, Load, Origin, Process, Setup, Wire, eventually, programs};

/// A daemon that logs to `log/access.log` in its folder: `/` goes to the origin, `/refused` to a server
/// that is not there, `/own` is answered.
fn start(origin: &Origin, refused: &Port) -> (Lbd, PathBuf) {
    let config = format!(
        "{}\n[[frontend.web.routes]]\npath = \"/refused\"\nbackend = \"gone\"\n\
         [[frontend.web.routes]]\npath = \"/own\"\nrespond = {{ status = 403 }}\n\
         [backend.gone]\nhealth = false\nretries = 0\n\
         servers = [{{ name = \"s\", address = \"{}\" }}]\n",
        app(NO_CHECK, [origin]),
        refused.addr()
    );
    let setup = Setup::new(config);
    let folder = setup.folder().join("log");
    fs::create_dir(&folder).expect("the folder is ours");
    let path = folder.join("access.log");
    let global = format!("access_log = {{ path = {path:?} }}");
    (setup.global(&global).start(), path)
}

/// A log with lines of many kinds, and how many of each status.
fn write_log() -> (Lbd, PathBuf, [(&'static str, u64); 5]) {
    let origin = Origin::start("a");
    let refused = Port::new();
    let (mut lbd, path) = start(&origin, &refused);
    for target in ["/", "/?a=b&c=%20;~*()[]", "/umlaut/ü", "/bytes?n=100000"] {
        assert_eq!(get(lbd.addr(), target).status, 200);
    }
    let mut wire = Wire::connect(lbd.addr());
    wire.send(upload("POST", "/echo", b"hello")).response();
    for _ in 0..3 {
        assert_eq!(get(lbd.addr(), "/refused").status, 503);
    }
    for _ in 0..2 {
        assert_eq!(get(lbd.addr(), "/own").status, 403);
    }
    wire.send("garbage\r\n\r\n").response();
    origin.hold("/held");
    let mut gone = Wire::connect(lbd.addr());
    gone.send(request("GET", "/held"));
    eventually("it is on its way", || {
        if origin.in_flight() > 0 {
            Ok(())
        } else {
            Err("it is not")
        }
    });
    gone.abort();
    eventually("it is over", || {
        if origin.in_flight() == 0 {
            Ok(())
        } else {
            Err("it is not")
        }
    });
    assert_eq!(lbd.stop(), Some(0));
    let codes = [("200", 5), ("503", 3), ("403", 2), ("400", 1), ("-1", 1)];
    assert_eq!(
        lines(&path).len() as u64,
        codes.iter().map(|code| code.1).sum::<u64>()
    );
    (lbd, path, codes)
}

/// Where `.ci/run` installs what the scripts import.
pub(crate) fn python_packages() -> PathBuf {
    let folder = std::env::var_os("LB_TESTS_PYTHON_PACKAGES").map(PathBuf::from);
    folder.unwrap_or_else(|| programs::workspace().join("target/python"))
}

#[test]
#[ignore = "needs python3 and haproxy_log_analysis"]
fn a_parser_from_pypi_reads_the_log_without_complaint() {
    let (_lbd, path, codes) = write_log();
    let mut command = Command::new("python3");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("real/read_log.py"))
        .arg(&path)
        .env("PYTHONPATH", python_packages());
    let output = Process::run(command).exits(0);
    assert!(!output.stdout.contains("Could not process"), "{output:?}");
    let line = output.stdout.lines().last().unwrap_or_default();
    let read: serde_json::Value = serde_json::from_str(line).expect("the script prints JSON");
    assert_eq!(read["invalid"], 0, "{read}");
    for (code, count) in codes {
        assert_eq!(read["status"][code], count, "{read}");
    }
    assert_eq!(read["servers"]["app/a"], 6, "{read}");
    assert_eq!(read["servers"]["gone/s"], 3, "{read}");
    assert_eq!(read["servers"]["web/<NOSRV>"], 3, "{read}");
    assert_eq!(read["paths"]["/bytes?n=100000"], 1, "{read}");
}

#[test]
#[ignore = "needs halog"]
fn halog_of_haproxy_reads_the_log_without_complaint() {
    let (_lbd, path, codes) = write_log();
    let halog = |what: &str| -> Output {
        let mut command = Command::new("sh");
        command
            .args(["-c", "halog \"$0\" < \"$1\"", what])
            .arg(&path);
        Process::run(command).exits(0).says("0 parsing errors")
    };
    let by_status = halog("-st").stdout;
    for (code, count) in codes {
        let wanted = [code, &count.to_string()];
        let told = by_status
            .lines()
            .any(|line| line.split_whitespace().collect::<Vec<_>>() == wanted);
        assert!(told, "{wanted:?} is not in\n{by_status}");
    }
    let ends = halog("-tc").stdout;
    for end in ["-- 5", "SC 3", "LR 2", "PR 1", "CH 1"] {
        assert!(ends.contains(end), "{end} is not in\n{ends}");
    }
    let servers = halog("-srv").stdout;
    assert!(
        servers.contains("app/a") && servers.contains("gone/s"),
        "{servers}"
    );
}

#[test]
#[ignore = "needs logrotate"]
fn logrotate_rotates_with_the_example_and_no_line_is_lost() {
    let origin = Origin::start("a");
    let (mut lbd, path) = start(&origin, &Port::new());
    let example = fs::read_to_string(programs::workspace().join("lbd/dist/lbd.logrotate"))
        .expect("the example is there");
    let folder = path.parent().expect("it is in a folder");
    // The same but for what is of the host: the folder, the user and how the daemon is found.
    let mut example = example.replace("/var/log/lbd/", &format!("{}/", folder.display()));
    for (host, here) in [
        ("    su lbd lbd\n", String::new()),
        (
            "systemctl kill --kill-who=main --signal=SIGUSR1 lbd.service",
            format!("kill -USR1 {}", lbd.pid()),
        ),
    ] {
        assert!(example.contains(host), "{host:?} is not in the example");
        example = example.replace(host, &here);
    }
    let config = lbd.folder().join("logrotate.conf");
    fs::write(&config, example).expect("the folder is ours");
    let state = lbd.folder().join("logrotate.state");
    let load = Load::on(lbd.addr()).start();
    for _ in 0..3 {
        load.go_on_for(100);
        eventually("lines are in the file", || {
            let length = fs::metadata(&path).map_or(0, |file| file.len());
            if length > 0 {
                Ok(())
            } else {
                Err("there are none")
            }
        });
        let mut logrotate = Command::new("logrotate");
        logrotate
            .args(["--force", "--state"])
            .arg(&state)
            .arg(&config)
            .stdin(Stdio::null());
        Process::run(logrotate).exits(0);
        eventually("the file is there again", || {
            path.exists().then_some(()).ok_or("it is not")
        });
    }
    load.go_on_for(100);
    let tally = load.stop();
    tally.assert_clean();
    assert_eq!(lbd.status().daemon.config.generation, 1, "it was no reload");
    assert_eq!(lbd.stop(), Some(0));
    let mut unpack = Command::new("gzip");
    unpack.arg("--decompress");
    let rotated = |n: u32| path.with_extension(format!("log.{n}"));
    for n in [2, 3] {
        unpack.arg(format!("{}.gz", rotated(n).display()));
    }
    Process::run(unpack).exits(0);
    let files = [path.clone(), rotated(1), rotated(2), rotated(3)];
    let written: usize = files.iter().map(|file| lines(file).len()).sum();
    assert_eq!(written as u64, tally.ok);
}
