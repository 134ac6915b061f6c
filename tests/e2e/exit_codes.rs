//! Exit codes and what comes with them, as scripts rely on them.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::process::close;
use lb_tests::{Lbd, Origin, Process, Setup, lbctl};
use serde_json::json;
use tempfile::TempDir;

fn one_server() -> ([Origin; 1], Lbd) {
    let origins = Origin::start_all(["web01"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    (origins, lbd)
}

#[test]
fn without_a_socket_it_is_4() {
    let folder = TempDir::new().expect("a folder can be made");
    let socket = folder.path().join("none.sock");
    for args in [
        &["status"][..],
        &["reload"],
        &["drain", "app/a"],
        &["ready", "app/a"],
        &["maint", "app/a"],
    ] {
        Process::run(lbctl::command(&socket, args))
            .exits(4)
            .says("none.sock");
    }
    let mut by_option = lbctl::bare();
    by_option.arg("--socket").arg(&socket).arg("status");
    Process::run(by_option).exits(4).says("none.sock");
}

#[test]
fn with_a_socket_that_nobody_serves_it_is_4() {
    let folder = TempDir::new().expect("a folder can be made");
    let socket = folder.path().join("stale.sock");
    close(std::os::unix::net::UnixListener::bind(&socket).expect("it is ours"));
    Process::run(lbctl::command(&socket, ["status"]))
        .exits(4)
        .says("stale.sock");
}

#[test]
fn what_is_no_socket_is_not_one_that_lbd_left_behind() {
    let folder = TempDir::new().expect("a folder can be made");
    let file = folder.path().join("plain");
    std::fs::write(&file, "").expect("it is ours");
    for socket in [folder.path(), &file] {
        let said = Process::run(lbctl::command(socket, ["status"])).exits(4);
        said.says(&format!("no daemon: {} is no socket", socket.display()));
    }
}

#[test]
fn a_variable_that_is_empty_names_no_socket() {
    let (_origins, lbd) = one_server();
    let mut command = lbctl::command("".as_ref(), ["status", "--socket"]);
    command.arg(lbd.socket());
    Process::run(command).exits(0);
    // The usual one, at which another daemon may listen.
    let said = Process::run(lbctl::command("".as_ref(), ["status"]));
    assert_ne!(said.code, Some(2), "{said:?}");
}

#[test]
fn without_permission_it_is_5() {
    /// `nobody`, on every Linux.
    const NOBODY: u32 = 65534;
    let (_origins, lbd) = one_server();
    // The folder lets everyone in, so that it is the socket that refuses. The program is copied
    // there, because the repository may lie where others cannot go; by another process, because a
    // test that forks while we write would leave the file open, and an open file cannot be run.
    let copy = lbd.folder().join("lbctl");
    let mut cp = std::process::Command::new("cp");
    cp.arg(lb_tests::programs::lbctl()).arg(&copy);
    Process::run(cp).exits(0);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(lbd.folder(), open).expect("the folder is ours");
    let mut command = std::process::Command::new(&copy);
    command.env("LBCTL_SOCKET", lbd.socket()).arg("status");
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    } else {
        let nobody = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(lbd.socket(), nobody).expect("the socket is ours");
    }
    Process::run(command).exits(5).says("lbd.sock");
}

#[test]
fn an_unknown_name_is_6_and_the_near_one_is_suggested() {
    let (_origins, lbd) = one_server();
    for verb in ["drain", "ready", "maint", "status"] {
        lbd.lbctl([verb, "app/web1"]).exits(6).says("app/web01");
    }
    lbd.lbctl(["status", "ap"]).exits(6).says("app");
    lbd.lbctl(["drain", "web01"]).exits(6).says("app/web01");
    let nothing_near = lbd.lbctl(["drain", "zzz/qqq"]).exits(6);
    assert!(
        !nothing_near.stderr.contains("did you mean"),
        "{nothing_near:#?}"
    );
    // One wrong name among several: nothing is done to the others.
    lbd.lbctl(["drain", "app/web01", "app/web2x"]).exits(6);
    assert_eq!(lbd.server("app/web01").admin, lb_proto::state::Admin::Ready);
}

#[test]
fn wrong_usage_is_2() {
    let (_origins, lbd) = one_server();
    lbd.lbctl([]).exits(2);
    lbd.lbctl(["dance"]).exits(2).says("dance");
    lbd.lbctl(["drain"]).exits(2);
    lbd.lbctl(["drain", "app/web01", "--timeout", "soon"])
        .exits(2)
        .says("soon");
    lbd.lbctl(["drain", "app/web01", "--on-timeout", "cry"])
        .exits(2);
    lbd.lbctl(["status", "--color", "pink"]).exits(2);
}

#[test]
fn an_invalid_file_is_3_for_validate_and_for_lbd() {
    let setup =
        Setup::new("[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"nope\"\n");
    setup.write();
    let file = setup.config_file().display().to_string();
    for line in ["default_backend = \"nope\"", "lbd.toml"] {
        Process::run(lbctl::command(&setup.socket(), ["validate", &file]))
            .exits(3)
            .says(line);
        Process::run(setup.command()).exits(3).says(line);
        let mut check = setup.command();
        check.arg("--check");
        Process::run(check).exits(3).says(line);
    }
}

#[test]
fn a_valid_file_is_0_for_validate_and_check_and_neither_needs_a_daemon() {
    let origins = Origin::start_all(["a"]);
    let setup = Setup::new(app(NO_CHECK, &origins));
    setup.write();
    let file = setup.config_file().display().to_string();
    Process::run(lbctl::command(&setup.socket(), ["validate", &file])).exits(0);
    let mut check = setup.command();
    check.arg("--check");
    Process::run(check).exits(0);
    assert!(!setup.socket().exists(), "a check started something");
}

#[test]
fn lbd_told_nonsense_is_2() {
    let mut command = std::process::Command::new(lb_tests::programs::lbd());
    command.arg("--dance");
    Process::run(command).exits(2).says("--dance");
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let (_origins, lbd) = one_server();
    let unknown = lbd.lbctl(["--json", "drain", "app/web1"]).exits(6).json();
    assert_eq!(unknown["error"]["code"], "no_such_server");
    let hint = unknown["error"]["hint"].as_str().unwrap_or_default();
    assert!(hint.contains("app/web01"), "{unknown}");
    assert!(unknown["error"]["message"].is_string());

    let folder = TempDir::new().expect("a folder can be made");
    let socket = folder.path().join("none.sock");
    let missing = Process::run(lbctl::command(&socket, ["--json", "status"])).exits(4);
    assert_eq!(missing.json()["error"]["code"], json!("no_daemon"));
}
