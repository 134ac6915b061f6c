//! The access log: its fields, where it goes, and that it never stands in a request's way.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lb_tests::access_log::{Line, lines, wait_for_lines};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::{get, request};
use lb_tests::{Lbd, Load, Origin, Setup, Wire, eventually, is};
use rustix::fs::OFlags;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

/// Lines of `[global]` that log to `path`.
fn logging(path: &Path, format: &str) -> String {
    format!("threads = 2\naccess_log = {{ path = {path:?}, format = \"{format}\" }}")
}

/// A daemon that logs to a file in its folder.
fn start(origin: &Origin, format: &str) -> (Lbd, PathBuf) {
    let setup = Setup::new(app(NO_CHECK, [origin]));
    let path = setup.folder().join("access.log");
    let global = logging(&path, format);
    (setup.global(&global).start(), path)
}

/// A target that makes a line of some 3,000 bytes.
fn long_target() -> String {
    format!("/?{}", "é".repeat(490))
}

#[test]
fn a_request_has_a_line_of_text_with_haproxys_fields() {
    let origin = Origin::start("a");
    let (lbd, path) = start(&origin, "text");
    let mut wire = Wire::connect(lbd.addr());
    for (n, target) in ["/bytes?n=1000", "/"].into_iter().enumerate() {
        wire.send(request("GET", target));
        let head = wire.head().expect("it is answered");
        let length: usize = head
            .header("content-length")
            .and_then(|length| length.parse().ok())
            .expect("it has a length");
        wire.bytes(length).expect("the body comes");
        let written = wait_for_lines(&path, n + 1);
        let line = Line::parse(&written[n]);
        let pid = format!("lbd[{}]", lbd.pid());
        assert!(line.prefix.ends_with(&pid), "{line:?}");
        assert_eq!(line.client, wire.local_addr().to_string());
        assert_eq!(
            (line.frontend.as_str(), line.server.as_str()),
            ("web", "app/a")
        );
        assert_eq!((line.status, line.flags.as_str()), (200, "----"));
        assert_eq!(line.shape(), "00000");
        assert!(line.bytes > length as u64 && line.bytes < length as u64 + 1000);
        assert_eq!(
            (line.counts.as_str(), line.queues.as_str()),
            ("1/1/1/1/0", "0/0")
        );
        assert_eq!(line.request, format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn every_byte_to_the_client_is_in_a_line() {
    let origin = Origin::start("a");
    let (lbd, path) = start(&origin, "text");
    let mut received = 0;
    for target in ["/bytes?n=100000", "/bytes?n=100000&chunked", "/"] {
        let closing = format!("GET {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
        let mut wire = Wire::connect(lbd.addr());
        wire.send(closing);
        received += wire.rest().0.len() as u64;
    }
    let logged: u64 = wait_for_lines(&path, 3)
        .iter()
        .map(|line| Line::parse(line).bytes)
        .sum();
    assert_eq!(logged, received);
}

#[test]
fn a_line_of_json_has_the_same_fields_by_name() {
    let origin = Origin::start("a");
    let (lbd, path) = start(&origin, "json");
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/?umlaut=ü&back=\\")).response();
    let line: serde_json::Value =
        serde_json::from_str(&wait_for_lines(&path, 1)[0]).expect("a line is JSON");
    assert_eq!(line["client_port"], wire.local_addr().port());
    for (name, value) in [
        ("client_ip", "127.0.0.1"),
        ("frontend_name", "web"),
        ("backend_name", "app"),
        ("server_name", "a"),
        ("termination_state", "----"),
        ("http_request", "GET /?umlaut=#C3#BC&back=\\ HTTP/1.1"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!(
        (&line["status_code"], &line["retries"]),
        (&200.into(), &0.into())
    );
    assert!(line["time_active"].as_i64().is_some_and(|ms| ms >= 0));
}

#[test]
fn standard_output_is_a_log_too_and_has_none_unless_asked() {
    let origin = Origin::start("a");
    for (global, wanted) in [("access_log = { path = \"stdout\" }", 1), ("", 0)] {
        let mut lbd = Setup::new(app(NO_CHECK, [&origin])).global(global).start();
        assert_eq!(get(lbd.addr(), "/").status, 200);
        assert_eq!(lbd.stop(), Some(0));
        let said = lbd.stdout();
        assert_eq!(said.lines().count(), wanted, "{said}");
        said.lines().for_each(|line| drop(Line::parse(line)));
    }
}

#[test]
fn a_stop_writes_the_last_line() {
    let origin = Origin::start("a");
    let (mut lbd, path) = start(&origin, "text");
    let load = Load::on(lbd.addr()).start();
    load.go_on_for(100);
    let tally = load.stop();
    tally.assert_clean();
    assert_eq!(lbd.stop(), Some(0));
    assert_eq!(lines(&path).len() as u64, tally.ok);
}

#[test]
fn sigusr1_opens_the_file_anew_without_losing_a_line() {
    let origin = Origin::start("a");
    let (mut lbd, path) = start(&origin, "text");
    let load = Load::on(lbd.addr()).start();
    let mut rotated = Vec::new();
    for n in 0..5 {
        load.go_on_for(200);
        eventually("the file is there and written to", || {
            let length = fs::metadata(&path).map_or(0, |file| file.len());
            if length > 0 { Ok(()) } else { Err("it is not") }
        });
        let old = path.with_extension(n.to_string());
        fs::rename(&path, &old).expect("the folder is ours");
        lbd.signal(Signal::USR1);
        rotated.push(old);
    }
    load.go_on_for(200);
    let tally = load.stop();
    tally.assert_clean();
    let status = lbd.status();
    assert_eq!(status.daemon.config.generation, 1, "it was no reload");
    assert_eq!(lbd.stop(), Some(0));
    let mode = fs::metadata(&path)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o640);
    rotated.push(path);
    let mut written = 0;
    for file in &rotated {
        let lines = lines(file);
        assert!(!lines.is_empty(), "{}", file.display());
        lines.iter().for_each(|line| drop(Line::parse(line)));
        written += lines.len() as u64;
    }
    assert_eq!(written, tally.ok);
}

#[test]
fn a_reload_changes_the_file_and_the_format_and_turns_it_off() {
    let origin = Origin::start("a");
    let (mut lbd, first) = start(&origin, "text");
    get(lbd.addr(), "/1");
    let second = lbd.folder().join("second.log");
    lbd.rewrite_global(&logging(&second, "json"));
    lbd.reload().exits(0);
    get(lbd.addr(), "/2");
    lbd.rewrite_global("threads = 2");
    lbd.reload().exits(0);
    assert_eq!(lbd.status().daemon.access_log, None);
    get(lbd.addr(), "/3");
    assert_eq!(lbd.stop(), Some(0));
    let written = lines(&first);
    assert_eq!(written.len(), 1);
    assert_eq!(Line::parse(&written[0]).request, "GET /1 HTTP/1.1");
    let written = lines(&second);
    assert_eq!(written.len(), 1);
    assert!(written[0].starts_with('{') && written[0].contains("GET /2 "));
}

#[test]
fn what_cannot_be_written_is_refused_at_start_and_at_a_reload() {
    let origin = Origin::start("a");
    let setup = || Setup::new(app(NO_CHECK, [&origin]));
    let refused = setup();
    let fifo = refused.folder().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).expect("the folder is ours");
    let wrong = [
        (PathBuf::from("/"), "name a file"),
        (PathBuf::from("/nowhere/access.log"), "make its folder"),
        (fifo, "start its reader"),
    ];
    for (path, remedy) in &wrong {
        let global = logging(path, "text");
        let output = setup()
            .global(&global)
            .try_start()
            .expect_err("it is refused");
        output.exits(1).says("access log").says(remedy);
    }
    let (mut lbd, path) = start(&origin, "text");
    for (wrong, remedy) in &wrong {
        lbd.rewrite_global(&logging(wrong, "text"));
        lbd.reload().exits(1).says("access log").says(remedy);
    }
    get(lbd.addr(), "/");
    assert_eq!(wait_for_lines(&path, 1).len(), 1);
    assert_eq!(lbd.status().daemon.config.generation, 1);
}

/// Requests until lines are lost, every one of them answered.
fn ask_until_lines_are_lost(lbd: &Lbd) {
    let load = Load::on(lbd.addr()).target(&long_target()).start();
    eventually("lines are lost, and requests answered", || {
        let lost = lbd.status().daemon.access_log.map_or(0, |log| log.lost);
        load.go_on_for(50);
        if lost > 0 {
            Ok(())
        } else {
            Err("none is lost")
        }
    });
    load.stop().assert_clean();
}

#[test]
fn a_full_disk_loses_lines_and_no_request_and_is_gone_on_with() {
    let origin = Origin::start("a");
    let (mut lbd, path) = start(&origin, "text");
    get(lbd.addr(), "/first");
    wait_for_lines(&path, 1);
    // No file may be longer than this: writes are cut in the middle of a line.
    let pid = i32::try_from(lbd.pid()).ok().and_then(Pid::from_raw);
    let limit = |bytes| Rlimit {
        current: bytes,
        maximum: None,
    };
    let before = prlimit(pid, Resource::Fsize, limit(Some(10_000))).expect("it is our child");
    ask_until_lines_are_lost(&lbd);
    prlimit(pid, Resource::Fsize, before).expect("it is our child");
    eventually("lines are written again", || {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(request("GET", "/again")).response();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if text.contains("GET /again ") {
            Ok(())
        } else {
            Err("there are none")
        }
    });
    lbd.lbctl(["status"]).exits(0).says("lines lost");
    assert_eq!(lbd.stop(), Some(0));
    assert!(lbd.log().contains("cannot write the access log"));
    lines(&path).iter().for_each(|line| drop(Line::parse(line)));
}

#[test]
fn a_fifo_that_nobody_reads_loses_lines_and_no_request_and_is_gone_on_with() {
    let origin = Origin::start("a");
    let setup = Setup::new(app(NO_CHECK, [&origin]));
    let path = setup.folder().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).expect("the folder is ours");
    let mut fifo = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(&path)
        .expect("a FIFO can be opened for reading");
    let lbd = setup.global(&logging(&path, "text")).start();
    ask_until_lines_are_lost(&lbd);
    // Now it is read.
    let mut text = Vec::new();
    eventually("lines come again", || {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(request("GET", "/again")).response();
        let mut buffer = vec![0; 1 << 20];
        while let Ok(n @ 1..) = fifo.read(&mut buffer) {
            text.extend_from_slice(&buffer[..n]);
        }
        let text = String::from_utf8_lossy(&text);
        if text.contains("GET /again ") {
            Ok(())
        } else {
            Err("there are none")
        }
    });
    let text = String::from_utf8_lossy(&text);
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().for_each(|line| drop(Line::parse(line)));
}

#[test]
fn a_standard_output_that_nobody_reads_holds_up_neither_request_nor_reload_nor_stop() {
    let origin = Origin::start("a");
    let (reader, writer): (OwnedFd, OwnedFd) = rustix::pipe::pipe().expect("a pipe");
    let mut lbd = Setup::new(app(NO_CHECK, [&origin]))
        .global("access_log = { path = \"stdout\" }")
        .start_into(Stdio::from(writer));
    let load = Load::on(lbd.addr()).target(&long_target()).start();
    load.go_on_for(500);
    load.stop().assert_clean();
    // Elsewhere lines are written again.
    let path = lbd.folder().join("access.log");
    lbd.rewrite_global(&logging(&path, "text"));
    lbd.reload().exits(0);
    get(lbd.addr(), "/elsewhere");
    wait_for_lines(&path, 1);
    lbd.rewrite_global("access_log = { path = \"stdout\" }");
    lbd.reload().exits(0);
    for _ in 0..100 {
        get(lbd.addr(), &long_target());
    }
    assert_eq!(lbd.stop(), Some(0));
    drop(reader);
}

#[test]
fn a_client_that_asks_for_nothing_has_no_line() {
    let origin = Origin::start("a");
    let (lbd, path) = start(&origin, "text");
    drop(Wire::connect(lbd.addr()));
    Wire::connect(lbd.addr()).abort();
    let mut kept = Wire::connect(lbd.addr());
    kept.send(request("GET", "/")).response();
    drop(kept);
    eventually("all are gone", || {
        is(lbd.status().frontends[0].connections, 0)
    });
    assert_eq!(wait_for_lines(&path, 1).len(), 1);
}
