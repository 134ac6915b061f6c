//! The same command on two nodes, over an sshd on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::port::Port;
use lb_tests::wire::request;
use lb_tests::{Lbd, Origin, Process, Wire, eventually, held, is, lbctl};
use rustix::process::Signal;
use tempfile::TempDir;

/// An sshd that lets us in by a key, and how ssh gets there.
struct Sshd {
    folder: TempDir,
    _port: Port,
    _sshd: Process,
}

impl Sshd {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let port = Port::new();
        let file = |name: &str| folder.path().join(name).display().to_string();
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &file(key)]);
            Process::run(keygen).exits(0);
        }
        // sshd wants it where it separates privileges.
        let _ = fs::create_dir_all("/run/sshd");
        let number = port.addr().port();
        let server = format!(
            "Port {number}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\n",
            file("host"),
            file("user.pub"),
        );
        let client = format!(
            "Host lb1 lb2\n HostName 127.0.0.1\n Port {number}\nHost *\n IdentityFile {}\n\
             IdentitiesOnly yes\n StrictHostKeyChecking no\n UserKnownHostsFile {}\n LogLevel ERROR\n",
            file("user"),
            file("known"),
        );
        fs::write(file("sshd_config"), server).expect("the folder is ours");
        fs::write(file("ssh_config"), client).expect("the folder is ours");
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f", &file("sshd_config")]);
        let sshd = Process::spawn(sshd);
        eventually("sshd listens", || {
            let said = sshd.stderr.so_far();
            match said.contains("Server listening") {
                true => Ok(()),
                false => Err(said),
            }
        });
        Self {
            folder,
            _port: port,
            _sshd: sshd,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("ssh_config")
    }

    fn lbctl<'a>(&self, hosts: &[String], args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = lbctl::bare();
        command.env("LBCTL_SSH", format!("ssh -F {}", self.config().display()));
        for host in hosts {
            command.args(["--host", host]);
        }
        command.args(args);
        command
    }

    /// Whether an ssh of ours runs.
    fn is_used(&self) -> bool {
        let config = self.config().display().to_string();
        let processes = fs::read_dir("/proc").expect("it is Linux").flatten();
        let lines = processes.map(|process| fs::read(process.path().join("cmdline")));
        lines.flatten().any(|line| {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.starts_with("ssh ") && line.contains(&config)
        })
    }
}

fn at(host: &str, socket: &Path) -> String {
    format!("ssh://{host}{}", socket.display())
}

/// An active and a passive node before the same servers.
fn pair(origins: &[Origin]) -> ([Lbd; 2], Vec<String>) {
    let nodes = [(); 2].map(|()| Lbd::start(app(NO_CHECK, origins)));
    let hosts = ["lb1", "lb2"].iter().zip(&nodes);
    let hosts = hosts.map(|(host, node)| at(host, &node.socket())).collect();
    (nodes, hosts)
}

#[test]
#[ignore = "needs sshd"]
fn a_drain_of_a_pair_is_one_command_and_waits_for_both() {
    let sshd = Sshd::start();
    let origins = Origin::start_all(["a", "b"]);
    let (nodes, hosts) = pair(&origins);
    let mut held = held::one(nodes[1].addr(), &origins[0]);
    let mut drain = Process::spawn(sshd.lbctl(&hosts, ["drain", "app/a", "--reason", "both"]));
    for node in &nodes {
        node.wait_for_state("app/a", State::Drain);
    }
    eventually("the first says that it is done", || {
        let said = drain.stderr.so_far();
        match said.contains("lb1: app/a is drained") {
            true => Ok(()),
            false => Err(said),
        }
    });
    assert!(drain.is_running(), "it did not wait for the second");
    origins[0].release();
    assert_eq!(held.response().status, 200);
    let output = drain.wait().exits(0);
    output.says("lb2: app/a is drained");
    assert!(!sshd.is_used(), "an ssh is left");

    let output = Process::run(sshd.lbctl(&hosts, ["ready", "app/a", "--json"])).exits(0);
    let mut lines: Vec<&str> = output.stdout.lines().collect();
    lines.sort_unstable();
    for (line, host) in lines.iter().zip(["lb1", "lb2"]) {
        let line: serde_json::Value = serde_json::from_str(line).expect("a document a line");
        assert_eq!(line["host"], host);
        assert_eq!(line["document"]["servers"][0]["admin"], "ready");
    }
    assert_eq!(lines.len(), 2);
    let mut status = sshd.lbctl(&[], ["status", "app"]);
    status.env("LBCTL_HOSTS", hosts.join(","));
    let output = Process::run(status).exits(0);
    for host in ["lb1", "lb2"] {
        assert!(
            output.stdout.contains(&format!("{host}: backend app: ")),
            "{output:#?}"
        );
    }
}

#[test]
#[ignore = "needs sshd"]
fn nothing_is_changed_anywhere_where_one_cannot_be_reached() {
    let sshd = Sshd::start();
    let origins = Origin::start_all(["a", "b"]);
    let (nodes, mut hosts) = pair(&origins);
    let closed = Port::new();
    hosts[1] = format!("ssh://127.0.0.1:{}", closed.addr().port());
    let output = Process::run(sshd.lbctl(&hosts, ["drain", "app/a"])).exits(1);
    let output = output.says("cannot reach 127.0.0.1: ssh could not get there");
    output.says("Connection refused");
    hosts[1] = at("lb2", &nodes[1].folder().join("nobody.sock"));
    let output = Process::run(sshd.lbctl(&hosts, ["drain", "app/a"])).exits(4);
    output.says("nobody.sock on lb2");
    hosts.truncate(1);
    Process::run(sshd.lbctl(&hosts, ["drain", "app/x"])).exits(6);
    Process::run(sshd.lbctl(&hosts, ["validate"])).exits(2);
    assert_eq!(nodes[0].server("app/a").admin, Admin::Ready);
    assert!(!sshd.is_used(), "an ssh is left");
}

#[test]
#[ignore = "needs sshd"]
fn ctrl_c_ends_both_waits_and_a_kill_leaves_no_ssh() {
    let sshd = Sshd::start();
    let origins = Origin::start_all(["a", "b"]);
    let (nodes, hosts) = pair(&origins);
    origins[0].hold("/held");
    let held: Vec<Wire> = nodes
        .iter()
        .map(|node| {
            let mut wire = Wire::connect(node.addr());
            wire.send(request("GET", "/held"));
            wire
        })
        .collect();
    eventually("they are in flight", || is(origins[0].in_flight(), 2));
    let begin = || {
        use std::os::unix::process::CommandExt;
        let mut command = sshd.lbctl(&hosts, ["drain", "app/a"]);
        // As a terminal does it: Ctrl-C goes to everybody there.
        command.process_group(0);
        let drain = Process::spawn(command);
        eventually("both wait", || {
            let said = drain.stderr.so_far();
            match said.contains("lb1: app/a: ") && said.contains("lb2: app/a: ") {
                true => Ok(()),
                false => Err(said),
            }
        });
        drain
    };
    let drain = begin();
    let group = rustix::process::Pid::from_raw(drain.pid() as i32).expect("it has a pid");
    rustix::process::kill_process_group(group, Signal::INT).expect("it is ours");
    let output = drain.wait().exits(130);
    let output = output.says("lb1: error: stopped waiting");
    output.says("lb2: error: stopped waiting");
    assert!(!sshd.is_used(), "an ssh is left");

    let mut drain = begin();
    drain.kill();
    eventually("no ssh is left", || is(sshd.is_used(), false));
    drop(held);
}
