//! `lbctl cert install`: where it puts what Certbot renewed, and what it says of who serves it.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use lb_proto::pem::File;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{Authority, Lbd, Origin, Process, lbctl};
use tempfile::TempDir;

use crate::cert_live::Live;

/// A machine with a lineage for example.com and an empty folder of certificates.
struct Machine {
    folder: TempDir,
    authority: Authority,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            authority: Authority::new(),
        };
        machine.renew();
        fs::create_dir(machine.certs()).expect("a folder can be made");
        machine
    }

    fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn certs(&self) -> PathBuf {
        self.join("certs")
    }

    fn lineage(&self) -> PathBuf {
        self.join("live/example.com")
    }

    fn renew(&self) {
        let issued = self.authority.issue(&["example.com", "www.example.com"]);
        issued.write_lineage(&self.lineage());
    }

    /// A configuration with a bind for each of these `certs`.
    fn config(&self, certs: &[&Path]) -> PathBuf {
        let binds = certs.iter().enumerate().map(|(n, certs)| {
            let port = 8443 + n;
            format!("{{ address = \"127.0.0.1:{port}\", tls = {{ certs = [{certs:?}] }} }}")
        });
        let binds: Vec<String> = binds.collect();
        let text = format!(
            "[frontend.web]\nbind = [{}]\ndefault_backend = \"app\"\n\
             [backend.app]\nservers = [{{ name = \"a\", address = \"127.0.0.1:1\" }}]\n",
            binds.join(", ")
        );
        let file = self.join("lbd.toml");
        fs::write(&file, text).expect("a file can be written");
        file
    }

    /// As Certbot calls it, with no daemon at the socket.
    fn hook(&self, args: &[&str]) -> Command {
        let mut command = lbctl::command(&self.join("none.sock"), ["cert", "install"]);
        command.env("RENEWED_LINEAGE", self.lineage()).args(args);
        command
    }

    fn by_config(&self, certs: &[&Path]) -> Command {
        let mut command = self.hook(&["--config"]);
        command.arg(self.config(certs));
        command
    }

    fn fingerprint_of(&self, file: &Path) -> String {
        File::read(file)
            .expect("lbd can use it")
            .bundle
            .leaf
            .fingerprint
    }

    /// Whether nothing was installed.
    fn is_bare(&self) -> bool {
        let mut entries = fs::read_dir(self.certs()).expect("it can be listed");
        entries.next().is_none()
    }
}

#[test]
fn a_hook_installs_into_the_folder_of_the_configuration() {
    let machine = Machine::new();
    let pem = machine.certs().join("example.com.pem");
    let said = Process::run(machine.by_config(&[&machine.certs()])).exits(0);
    let said = said.says("no daemon is running: lbd serves it from its next start");
    assert_eq!(said.stdout, "");
    let first = machine.fingerprint_of(&pem);
    machine.renew();
    let mut command = machine.by_config(&[&machine.certs(), &machine.certs()]);
    command.arg("--json");
    let json = Process::run(command).exits(0).json();
    assert_eq!(json["fingerprint"], machine.fingerprint_of(&pem).as_str());
    assert_ne!(json["fingerprint"], first.as_str());
    assert_eq!(json["file"], pem.to_str().expect("it is text"));
    assert_eq!(json["served"], serde_json::json!([]));
}

#[test]
fn several_folders_must_be_named_and_a_file_of_the_name_is_the_one() {
    let machine = Machine::new();
    let other = machine.join("other");
    fs::create_dir(&other).expect("a folder can be made");
    let folders: [&Path; 2] = [&machine.certs(), &other];
    Process::run(machine.by_config(&folders))
        .exits(1)
        .says("say which with --certs");
    let mut command = machine.by_config(&folders);
    command.arg("--certs").arg(&other).args(["--name", "site"]);
    Process::run(command).exits(0);
    machine.fingerprint_of(&other.join("site.pem"));
    let file = machine.join("example.com.pem");
    Process::run(machine.by_config(&[&file, &machine.certs(), &other])).exits(0);
    machine.fingerprint_of(&file);
    assert!(machine.is_bare());
}

#[test]
fn what_is_missing_is_told() {
    let machine = Machine::new();
    let certs = machine.certs();
    let install = |lineage: Option<&Path>, args: &[&str]| {
        let mut command = machine.hook(&["--certs"]);
        command.arg(&certs).args(args);
        match lineage {
            Some(lineage) => command.env("RENEWED_LINEAGE", lineage),
            None => command.env_remove("RENEWED_LINEAGE"),
        };
        Process::run(command)
    };
    let lineage = machine.lineage();
    install(None, &[]).exits(2).says("no lineage is named");
    install(Some(Path::new("")), &[])
        .exits(2)
        .says("no lineage is named");
    install(Some(Path::new("/")), &[])
        .exits(2)
        .says("has no name");
    for name in ["../up", "a/b", "", ".hidden", ".pem"] {
        install(Some(&lineage), &["--name", name])
            .exits(2)
            .says("a file cannot be called");
    }
    install(Some(&machine.join("none")), &[])
        .exits(1)
        .says("cannot read");
    let plain = machine.join("plain.toml");
    fs::write(&plain, "[frontend.web]\nbind = 7\n").expect("a file can be written");
    let mut command = machine.hook(&["--config"]);
    Process::run(std::mem::replace(command.arg(&plain), lbctl::bare())).exits(3);
    assert!(machine.is_bare());
}

#[test]
fn another_file_for_the_same_names_is_told_of() {
    let machine = Machine::new();
    let certs = machine.certs();
    let config: [&Path; 1] = [&certs];
    let mut command = machine.by_config(&config);
    Process::run(std::mem::replace(
        command.args(["--name", "old.pem"]),
        lbctl::bare(),
    ))
    .exits(0);
    let said = Process::run(machine.by_config(&config)).exits(0);
    said.says("old.pem is for example.com too");
}

/// Who cannot tell whether a daemon runs must not say that it will be served from its next start.
#[test]
fn a_daemon_that_says_nothing_useful_stops_it_before_anything_is_written() {
    let machine = Machine::new();
    let socket = machine.join("odd.sock");
    let listener = UnixListener::bind(&socket).expect("it is free");
    let odd = std::thread::spawn(move || {
        let (mut client, _) = listener.accept()?;
        std::io::Write::write_all(&mut client, b"220 mail.example.com ESMTP\n")
    });
    let mut command = machine.by_config(&[&machine.certs()]);
    command.env("LBCTL_SOCKET", &socket);
    Process::run(command).exits(1);
    odd.join().expect("it ends").expect("it says its line");
    assert!(machine.is_bare());
}

/// It may have too many clients, or be stopping: it is not nobody.
#[test]
fn a_daemon_that_hangs_up_stops_it_before_anything_is_written() {
    let machine = Machine::new();
    let socket = machine.join("busy.sock");
    let listener = UnixListener::bind(&socket).expect("it is free");
    let busy = std::thread::spawn(move || listener.accept().map(drop));
    let mut command = machine.by_config(&[&machine.certs()]);
    command.env("LBCTL_SOCKET", &socket);
    let said = Process::run(command).exits(1);
    said.says("hung up without a word");
    busy.join().expect("it ends").expect("it came");
    assert!(machine.is_bare());
}

/// Certbot's timer knows of no LBCTL_SOCKET.
#[test]
fn the_daemon_is_found_by_the_configuration_that_is_named() {
    let live = Live::simple(&["example.com"]);
    let new = live.renew("example.com", &["example.com"]);
    let mut command = live.command("example.com", &["--config"]);
    command
        .arg(live.lbd.config_file())
        .env("LBCTL_SOCKET", live.lbd.folder().join("nobody.sock"));
    Process::run(command).exits(0).says("shows it, read back");
    assert_eq!(
        live.known(&live.file("example.com")),
        Some(new.fingerprint())
    );
}

/// Nobody is shown an old certificate by a daemon that speaks no TLS.
#[test]
fn a_daemon_without_tls_serves_it_once_it_is_told_to() {
    let machine = Machine::new();
    let origins = Origin::start_all(["a"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    let certs = machine.certs();
    let mut command = machine.hook(&["--certs"]);
    command.arg(&certs).env("LBCTL_SOCKET", lbd.socket());
    Process::run(command)
        .exits(0)
        .says("has no bind with TLS: it serves it once its configuration has one and is reloaded");
    let bind = format!("{{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}");
    lbd.rewrite_with(|config| config.replace("\"127.0.0.1:0\"", &bind));
    // Its file says where, before it was reloaded.
    machine.renew();
    let mut command = machine.hook(&[]);
    command.env("LBCTL_SOCKET", lbd.socket());
    Process::run(command).exits(0).says("has no bind with TLS");
    lbd.reload().exits(0);
    let pem = machine.certs().join("example.com.pem");
    let shown = &lbd.status().certificates[0];
    assert_eq!(shown.fingerprint, machine.fingerprint_of(&pem));
}
