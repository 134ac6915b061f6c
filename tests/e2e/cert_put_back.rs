//! `lbctl cert install` where something goes wrong under a running daemon: all is as it was, and
//! Certbot hears of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use lb_proto::request::ReloadCerts;
use lb_tests::{Authority, Process, Setup, eventually, lbctl, programs};
use socket2::{Domain, Protocol, Socket, Type};

use crate::cert_live::Live;

#[test]
fn what_the_daemon_does_not_read_is_removed_again() {
    let live = Live::simple(&["example.com"]);
    live.renew("example.com", &["example.com"]);
    let other = live.lbd.folder().join("other");
    fs::create_dir(&other).expect("a folder can be made");
    let other = other.to_str().expect("it is text");
    live.install("example.com", &["--certs", other])
        .exits(1)
        .says("the running lbd does not read")
        .says("it is removed again, and lbd shows what it did before");
    assert!(!Path::new(other).join("example.com.pem").exists());
}

#[test]
fn what_another_file_hides_is_put_back() {
    let live = Live::simple(&["a", "example.com"]);
    let before = fs::read(live.file("example.com")).expect("it is there");
    live.authority
        .issue(&["example.com"])
        .write(&live.certs(), "a.pem");
    let all = ReloadCerts::default();
    live.lbd.client().call(&all).expect("it reads them");
    live.renew("example.com", &["example.com"]);
    let said = live.install("example.com", &[]).exits(1);
    said.says("a.pem comes first for example.com")
        .says("the file before it is back");
    assert_eq!(
        fs::read(live.file("example.com")).expect("it is there"),
        before
    );
    assert_eq!(live.files(), ["a.pem", "example.com.pem"]);
}

/// It is nobody's business of this, and could not be taken back.
#[test]
fn another_file_that_is_new_in_the_folder_is_not_shown_by_the_way() {
    let live = Live::simple(&["example.com"]);
    live.authority
        .issue(&["example.com"])
        .write(&live.certs(), "0-old.pem");
    let new = live.renew("example.com", &["example.com"]);
    let said = live.install("example.com", &[]).exits(0);
    said.says("0-old.pem is for example.com too");
    let files: Vec<String> = live
        .lbd
        .status()
        .certificates
        .into_iter()
        .map(|c| c.file)
        .collect();
    assert_eq!(files, [live.file("example.com").display().to_string()]);
    assert_eq!(
        live.known(&live.file("example.com")),
        Some(new.fingerprint())
    );
}

/// A listener of its own at 127.0.0.1, where the bind is every address: clients that come that way
/// meet it and not lbd.
fn imposter(bind: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.set_reuse_port(true).expect("an option");
    let here: SocketAddr = (Ipv4Addr::LOCALHOST, bind.port()).into();
    socket
        .bind(&here.into())
        .expect("lbd shares its port with its user");
    socket.listen(16).expect("it is bound");
    socket.into()
}

#[test]
fn what_clients_are_not_shown_is_put_back_with_its_owner_and_mode() {
    let live = Live::start(
        "{ address = \"*:0\", tls = { CERTS } }",
        "http",
        &["example.com"],
    );
    let file = live.file("example.com");
    let before = (
        fs::metadata(&file).expect("it is there").ino(),
        live.known(&file),
    );
    let new = live.renew("example.com", &["example.com"]);
    let closing = imposter(live.lbd.addr());
    let closer = closing.try_clone().expect("there are descriptors");
    std::thread::spawn(move || while closer.accept().is_ok() {});
    live.install("example.com", &[])
        .exits(1)
        .says("shows no certificate")
        .says("the file before it is back, and lbd shows what it did before");
    let after = (
        fs::metadata(&file).expect("it is there").ino(),
        live.known(&file),
    );
    assert_eq!(after, before);
    assert_eq!(live.files(), ["example.com.pem"]);
    rustix::net::shutdown(&closing, rustix::net::Shutdown::Both).expect("it listens");
    drop(closing);
    eventually("lbd is reached again", || {
        live.install("example.com", &[])
            .code
            .filter(|code| *code == 0)
            .ok_or("not yet")
    });
    assert_eq!(live.known(&file), Some(new.fingerprint()));
}

/// The whole new file is there, and the next run does what is left to do.
#[test]
fn one_that_is_killed_while_it_reads_back_leaves_no_half() {
    let live = Live::start(
        "{ address = \"*:0\", tls = { CERTS } }",
        "http",
        &["example.com"],
    );
    let file = live.file("example.com");
    let new = live.renew("example.com", &["example.com"]);
    let silent = imposter(live.lbd.addr());
    let mut killed = Process::spawn(live.command("example.com", &[]));
    let asking = silent.accept().expect("it asks what is shown");
    killed.kill();
    drop((asking, silent));
    let installed = lb_proto::pem::File::read(&file).expect("it is whole");
    assert_eq!(installed.bundle.leaf.fingerprint, new.fingerprint());
    assert_eq!(live.known(&file), Some(new.fingerprint()));
    eventually("lbd is reached again", || {
        live.install("example.com", &[])
            .code
            .filter(|code| *code == 0)
            .ok_or("not yet")
    });
    assert_eq!(live.files(), ["example.com.pem"]);
}

/// As root installs and lbd's user reads.
#[test]
fn an_unprivileged_daemon_shows_what_root_installs() {
    const USER: u32 = 12_345;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let authority = Authority::new();
    let setup = Setup::new("");
    let folder = setup.folder().to_owned();
    let certs = folder.join("certs");
    fs::create_dir(&certs).expect("the folder is ours");
    let first = authority
        .issue(&["example.com"])
        .write(&certs, "example.com.pem");
    let bind = format!("{{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}");
    let setup = setup.config(format!(
        "[frontend.web]\nbind = [{bind}]\nroutes = [{{ respond = {{ status = 404 }} }}]\n"
    ));
    setup.write();
    let program = folder.join("lbd");
    fs::copy(programs::lbd(), &program).expect("there is room");
    for owned in [&folder, &certs, &first] {
        chown(owned, Some(USER), Some(USER)).expect("root may give it away");
    }
    let mut command = Command::new(&program);
    command
        .arg("--config")
        .arg(setup.config_file())
        .uid(USER)
        .gid(USER);
    let mut lbd = Process::spawn(command);
    let install = |lineage: &str| {
        let issued = authority.issue(&[lineage]);
        issued.write_lineage(&folder.join("live").join(lineage));
        let mut command = lbctl::command(&setup.socket(), ["cert", "install", "--lineage"]);
        command.arg(folder.join("live").join(lineage));
        Process::run(command)
    };
    eventually("lbd answers", || {
        assert!(lbd.is_running(), "{}", lbd.stderr.so_far());
        lb_proto::client::Client::connect(&setup.socket()).map(drop)
    });
    for lineage in ["example.com", "new.test"] {
        install(lineage).exits(0).says("read back for 1 name");
        let metadata = fs::metadata(certs.join(format!("{lineage}.pem"))).expect("it is there");
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (USER, 0o600));
    }

    // In a folder of root's it can read none, and the one that it shows is put back.
    chown(&first, Some(0), Some(0)).expect("it is root's");
    let before = fs::metadata(&first).expect("it is there").ino();
    let said = install("example.com").exits(1);
    said.says("Permission denied")
        .says("let lbd's user read it")
        .says("the file before it is back");
    assert_eq!(fs::metadata(&first).expect("it is there").ino(), before);
}

#[test]
fn a_daemon_that_dies_meanwhile_is_told_of_and_the_old_file_is_back() {
    let mut live = Live::start(
        "{ address = \"*:0\", tls = { CERTS } }",
        "http",
        &["example.com"],
    );
    let before = fs::read(live.file("example.com")).expect("it is there");
    live.renew("example.com", &["example.com"]);
    let silent = imposter(live.lbd.addr());
    let running = Process::spawn(live.command("example.com", &[]));
    let asking = silent.accept().expect("it asks what is shown");
    live.lbd.kill9();
    drop((asking, silent));
    running
        .wait()
        .exits(1)
        .says("the file before it is back, but lbd could not be told: no daemon listens");
    assert_eq!(
        fs::read(live.file("example.com")).expect("it is there"),
        before
    );
    live.lbd.start_again();
}
