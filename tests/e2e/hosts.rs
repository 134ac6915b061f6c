//! `lbctl --host`: what it leaves behind. The way to the other machine is a link, for that machine is this
//! one; over a real ssh it is in `tests/real`.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::request;
use lb_tests::{Lbd, Origin, Process, Wire, eventually, held, is, lbctl};
use rustix::process::Signal;
use tempfile::TempDir;

/// Takes the arguments that ssh is given.
const SSH: &str = r#"
while test $# -gt 0; do
  if test "$1" = -L; then ln -s "${2#*:}" "${2%%:*}"; fi
  shift
done
exec sleep 600
"#;

pub(crate) struct Away {
    folder: TempDir,
}

impl Away {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join("ssh"), SSH).expect("the folder is ours");
        fs::create_dir(folder.path().join("tmp")).expect("the folder is ours");
        Self { folder }
    }

    fn tmp(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    pub(crate) fn set(&self, command: &mut Command) {
        let ssh = format!("sh {}", self.folder.path().join("ssh").display());
        command.env("LBCTL_SSH", ssh).env("TMPDIR", self.tmp());
    }

    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.tmp()).expect("it is there");
        entries.flatten().map(|entry| entry.path()).collect()
    }
}

#[test]
fn a_signal_that_ends_it_leaves_no_folder_and_nobody_who_waits() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let _held = held::one(lbd.addr(), &origin);
    let host = format!("ssh://lb1{}", lbd.socket().display());
    for signal in [Signal::TERM, Signal::HUP] {
        let away = Away::new();
        // Whoever runs the tests may ignore them.
        let mut command = Command::new("env");
        command.arg("--default-signal=TERM,HUP");
        command.arg(lbctl::bare().get_program());
        command.args(["--host", &host, "drain", "app/a"]);
        away.set(&mut command);
        let drain = Process::spawn(command);
        eventually("it waits", || {
            let said = drain.stderr.so_far();
            let waits = said.contains("1 of 1 session left");
            waits.then_some(()).ok_or(said)
        });
        assert_eq!(away.left().len(), 1);
        drain.signal(signal);
        // That its streams end means that nobody who has them is left.
        let said = drain.wait();
        assert_eq!(said.code, None, "{said:?}");
        assert_eq!(away.left(), Vec::<PathBuf>::new());
    }
}

/// As a script or a supervisor sends it: to lbctl and to nobody else.
#[test]
fn an_interrupt_is_passed_on_to_each_node() {
    let origin = Origin::start("a");
    origin.hold("/held");
    let nodes = [(); 2].map(|()| Lbd::start(app(NO_CHECK, [&origin])));
    let held = nodes.each_ref().map(|node| {
        let mut wire = Wire::connect(node.addr());
        wire.send(request("GET", "/held"));
        wire
    });
    eventually("both are in flight", || is(origin.in_flight(), 2));
    let hosts = [0, 1].map(|at| format!("ssh://lb{at}{}", nodes[at].socket().display()));
    for hosts in [&hosts[..], &hosts[..1]] {
        let away = Away::new();
        let mut command = lbctl::bare();
        hosts.iter().for_each(|host| {
            command.args(["--host", host]);
        });
        command.args(["drain", "app/a"]);
        away.set(&mut command);
        let drain = Process::spawn(command);
        eventually("each waits", || {
            let said = drain.stderr.so_far();
            let waits = said.matches("1 of 1 session left").count();
            (waits == hosts.len()).then_some(()).ok_or(said)
        });
        drain.signal(Signal::INT);
        let said = drain.wait().exits(130);
        for host in hosts {
            let advice = format!("lbctl --host {host} ready app/a");
            assert!(said.stderr.contains(&advice), "{said:?}");
        }
        assert_eq!(away.left(), Vec::<PathBuf>::new());
    }
    drop(held);
}

#[test]
fn one_of_another_version_says_so_and_nothing_is_begun() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let cases = [
        (
            "{\"lbd\":\"9.9.0\",\"protocol\":2}\n",
            1,
            "lb2: lbd 9.9.0 speaks protocol 2, not 1",
        ),
        ("ssh here\n", 1, "is not lbd: "),
        ("", 4, "no daemon that we may talk to at "),
    ];
    for (at, (greets, code, says)) in cases.into_iter().enumerate() {
        let socket = folder.path().join(at.to_string());
        let listener = UnixListener::bind(&socket).expect("the folder is ours");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("it takes connections");
                // Whoever asks may be gone.
                let _ = stream.write_all(greets.as_bytes());
            }
        });
        let away = Away::new();
        let mut command = lbctl::bare();
        let there = format!("ssh://lb2{}", socket.display());
        let here = format!("ssh://lb1{}", lbd.socket().display());
        command.args(["--host", &here, "--host", &there, "drain", "app/a"]);
        away.set(&mut command);
        let said = Process::spawn(command).wait().exits(code).says(says);
        assert!(!said.stderr.contains("/tmp/0.sock"), "{said:?}");
    }
    lbd.lbctl(["status", "app/a"]).exits(0).says("up");
}

#[test]
fn under_nohup_it_goes_on() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let _held = held::one(lbd.addr(), &origin);
    let away = Away::new();
    let bare = lbctl::bare();
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(bare.get_program())
        .arg("--host")
        .arg(format!("ssh://lb1{}", lbd.socket().display()))
        .args(["drain", "app/a"]);
    away.set(&mut command);
    let drain = Process::spawn(command);
    eventually("it waits", || {
        let said = drain.stderr.so_far();
        let waits = said.contains("1 of 1 session left");
        waits.then_some(()).ok_or(said)
    });
    drain.signal(Signal::HUP);
    origin.release();
    drain.wait().exits(0).says("app/a is drained");
    assert_eq!(away.left(), Vec::<PathBuf>::new());
}
