//! The control socket as a file: its mode and group, and whose it is.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::port::Port;
use lb_tests::{Lbd, Origin, Process, Setup, Wire, eventually, is, wire};

#[test]
fn the_socket_has_its_mode() {
    for (mode, bits) in [("0600", 0o600), ("0660", 0o660)] {
        let origins = Origin::start_all(["a"]);
        let lbd = Setup::new(app(NO_CHECK, &origins))
            .global(&format!("threads = 1\nsocket_mode = \"{mode}\""))
            .start();
        let metadata = std::fs::metadata(lbd.socket()).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, bits);
    }
}

#[test]
fn the_socket_belongs_to_its_group_and_the_state_folder_is_made() {
    // Another group where we may give it away, our own where we are nobody special.
    let root = rustix::process::geteuid().is_root();
    let own = rustix::process::getegid().as_raw();
    let groups = std::fs::read_to_string("/etc/group").expect("every system has it");
    let (name, gid) = groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?, fields.nth(1)?.parse::<u32>().ok()?))
        })
        .find(|(_, gid)| (*gid == own) != root)
        .expect("there is such a group");
    let origins = Origin::start_all(["a"]);
    let lbd = Setup::new(app(NO_CHECK, &origins))
        .global(&format!(
            "threads = 1\nsocket_mode = \"0660\"\nsocket_group = \"{name}\""
        ))
        .start();
    let socket = std::fs::metadata(lbd.socket()).expect("it is there");
    assert_eq!((socket.gid(), socket.mode() & 0o777), (gid, 0o660));
    assert!(lbd.folder().join("state").is_dir());
}

#[test]
fn a_second_daemon_refuses_the_socket_of_a_living_one() {
    let origins = Origin::start_all(["a"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    let second = Setup::new(app(NO_CHECK, &origins));
    second.write();
    let text = std::fs::read_to_string(second.config_file()).expect("it was written");
    let (theirs, ours) = (lbd.socket(), second.socket());
    let text = text.replace(&ours.display().to_string(), &theirs.display().to_string());
    std::fs::write(second.config_file(), text).expect("it is ours");
    let output = Process::run(second.command()).exits(1);
    output.says(&theirs.display().to_string());
    assert!(lbd.is_running());
    lbd.lbctl(["status"]).exits(0);
}

#[test]
fn after_kill_9_the_next_start_is_clean() {
    let origins = Origin::start_all(["a"]);
    let port = Port::new();
    let config = app(NO_CHECK, &origins).replace("127.0.0.1:0", &port.addr().to_string());
    let mut lbd = Lbd::start(config);
    let mut open = Wire::connect(lbd.addr());
    open.send(wire::request("GET", "/")).response();
    lbd.kill9();
    assert!(lbd.socket().exists(), "a killed process removes nothing");
    lbd.lbctl(["status"]).exits(4);

    lbd.start_again();
    lbd.lbctl(["status"]).exits(0);
    assert_eq!(wire::get(port.addr(), "/").status, 200);
    eventually("it starts from nothing", || {
        is(lbd.server("app/a").sessions_total, 1)
    });
}
