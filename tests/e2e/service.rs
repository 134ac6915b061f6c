//! lbd as a service: what it tells systemd, and SIGHUP.

use std::os::unix::net::UnixDatagram;

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::eventually::LIMIT;
use lb_tests::port::Port;
use lb_tests::process::begin;
use lb_tests::{Lbd, Origin, Setup, Wire, eventually, is, wire};
use rustix::pipe::{fcntl_setpipe_size, pipe};
use rustix::process::{Pid, Signal, kill_process};

/// The manager's side of `NOTIFY_SOCKET`.
struct Manager(UnixDatagram);

impl Manager {
    fn started(config: String) -> (Self, Lbd) {
        let setup = Setup::new(config);
        let path = setup.folder().join("notify");
        let manager = UnixDatagram::bind(&path).expect("the folder is ours");
        manager
            .set_read_timeout(Some(LIMIT))
            .expect("it is no zero");
        let lbd = setup
            .env("NOTIFY_SOCKET", path.display().to_string())
            .start();
        (Self(manager), lbd)
    }

    /// The next message with this line in it; what only tells a STATUS is passed over.
    fn told(&self, line: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let n = self
                .0
                .recv(&mut buffer)
                .unwrap_or_else(|e| panic!("{line} was not told: {e}"));
            let message = String::from_utf8_lossy(&buffer[..n]).into_owned();
            if message.lines().any(|told| told == line) {
                return message;
            }
            assert!(
                message
                    .lines()
                    .all(|told| told.starts_with("STATUS=") || told.starts_with("MAINPID=")),
                "told {message:?} before {line}"
            );
        }
    }
}

#[test]
fn systemd_is_told_of_every_turn() {
    let origin = Origin::start("a");
    let config = app(NO_CHECK, [&origin]);
    let (manager, mut lbd) = Manager::started(config.clone());
    manager.told("READY=1");

    lbd.rewrite(format!(
        "{config}\n[frontend.more]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n"
    ));
    lbd.signal(Signal::HUP);
    let reloading = manager.told("RELOADING=1");
    let since = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="))
        .unwrap_or_else(|| panic!("no time in {reloading:?}"));
    assert!(
        since.parse::<u64>().is_ok_and(|usec| usec > 0),
        "{reloading:?}"
    );
    manager.told("READY=1");
    assert_eq!(lbd.status().frontends.len(), 2);

    // After a reload that fails it is as ready as before.
    lbd.rewrite("nonsense");
    lbd.signal(Signal::HUP);
    manager.told("RELOADING=1");
    manager.told("READY=1");
    assert_eq!(lbd.status().frontends.len(), 2);

    lbd.signal(Signal::TERM);
    manager.told("STOPPING=1");
    assert_eq!(lbd.stop(), Some(0));
}

#[test]
fn sighup_reloads_and_a_bad_file_is_only_said() {
    let origin = Origin::start("a");
    let config = app(NO_CHECK, [&origin]);
    let mut lbd = Lbd::start(config.clone());
    let port = Port::new();
    lbd.rewrite(format!(
        "{config}\n[frontend.more]\nbind = [\"{}\"]\ndefault_backend = \"app\"\n",
        port.addr()
    ));
    lbd.signal(Signal::HUP);
    eventually("the reload is done", || {
        is(lbd.status().daemon.config.generation, 2)
    });
    Wire::connect(port.addr());

    lbd.rewrite("[frontend.web]\nbind = 7\n");
    lbd.signal(Signal::HUP);
    eventually("the log says what is wrong", || {
        let log = lbd.log();
        if log.contains("bind = 7") || log.contains("lbd.toml:") {
            Ok(())
        } else {
            Err(log)
        }
    });
    assert_eq!(lbd.status().daemon.config.generation, 2);
    Wire::connect(port.addr());
}

#[test]
fn each_change_is_logged_with_who_made_it() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    lbd.lbctl(["drain", "app/a"]).exits(0);
    let uid = rustix::process::getuid().as_raw();
    eventually("the log names the peer", || {
        let log = lbd.log();
        let named = log.lines().any(|line| {
            line.contains("app/a")
                && line.contains("drain")
                && line.contains("pid")
                && line.contains("uid")
                && line.contains(&uid.to_string())
        });
        if named { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_json_log_is_json_line_by_line() {
    let origin = Origin::start("a");
    let mut lbd = Setup::new(app(NO_CHECK, [&origin]))
        .global("threads = 1\nlog = { level = \"debug\", format = \"json\" }")
        .start();
    lbd.lbctl(["drain", "app/a"]).exits(0);
    assert_eq!(lbd.stop(), Some(0));
    let log = lbd.log();
    assert!(log.lines().count() > 2, "{log}");
    for line in log.lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            line["level"].is_string() && line["timestamp"].is_string(),
            "{line}"
        );
    }
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let origin = Origin::start("a");
    let mut lbd = Lbd::start(app(NO_CHECK, [&origin]));
    assert_eq!(lbd.stop(), Some(0));
    let (_unread, stderr) = pipe().expect("there are descriptors");
    fcntl_setpipe_size(&stderr, 4096).expect("it can be small");
    let mut daemon = lbd.command();
    let mut daemon = begin(daemon.stderr(stderr)).expect("it starts");
    eventually("it answers", || lbd.try_status().map(drop));
    for _ in 0..40 {
        lbd.lbctl(["drain", "app/a", "--no-wait"]).exits(0);
        lbd.lbctl(["ready", "app/a"]).exits(0);
    }
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
    kill_process(Pid::from_child(&daemon), Signal::TERM).expect("it runs");
    eventually("it has ended", || {
        match daemon.try_wait().expect("it is our child") {
            Some(status) => is(status.success(), true),
            None => Err("it has not".to_owned()),
        }
    });
}
