//! `lbctl doctor`: every failure of the usual list made real, and found with its remedy.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::port::Port;
use lb_tests::process::{Output, close};
use lb_tests::{Authority, Lbd, Origin, Process, Setup, lbctl};
use rustix::process::Signal;
use serde_json::Value;

use crate::tls;

/// What was found.
pub(crate) struct Findings(pub(crate) Vec<Value>);

impl Findings {
    #[track_caller]
    pub(crate) fn of(output: &Output) -> Self {
        let document = output.json();
        assert_eq!(document["schema"], 1, "{document:#}");
        let healthy = document["healthy"].as_bool();
        assert_eq!(healthy, Some(output.code == Some(0)), "{document:#}");
        let all = document["findings"].as_array().expect("there is a list");
        Self(all.clone())
    }

    pub(crate) fn with(&self, severity: &str, check: &str) -> Vec<&Value> {
        let all = self.0.iter();
        all.filter(|f| f["severity"] == severity && f["check"] == check)
            .collect()
    }

    /// The problem of this check that says `what`.
    #[track_caller]
    pub(crate) fn problem(&self, check: &str, what: &str) -> &Value {
        let found = self.with("problem", check).into_iter();
        let mut found = found.filter(|f| text(&f["what"]).contains(what));
        let found = found.next();
        found.unwrap_or_else(|| panic!("no problem of {check} says {what:?}: {:#?}", self.0))
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What was seen, in one text.
pub(crate) fn why(finding: &Value) -> String {
    let lines = finding["why"].as_array().into_iter().flatten();
    lines.map(text).collect::<Vec<_>>().join("\n")
}

#[track_caller]
pub(crate) fn doctor(lbd: &Lbd, code: i32) -> Findings {
    Findings::of(&lbd.lbctl(["doctor", "--json"]).exits(code))
}

/// Of a file, with nobody at its socket.
#[track_caller]
pub(crate) fn without_daemon(setup: &Setup) -> Findings {
    setup.write();
    let mut command = lbctl::command(&setup.socket(), ["doctor", "--json", "--config"]);
    command.arg(setup.config_file());
    // Nobody serves.
    Findings::of(&Process::run(command).exits(1))
}

/// A file whose frontend listens at `port`.
fn listening_at(port: &Port, origin: &Origin) -> Setup {
    let config = app(NO_CHECK, [origin]);
    Setup::new(config.replace("127.0.0.1:0", &port.addr().to_string()))
}

#[test]
fn where_all_is_well_every_check_says_what_it_looked_at() {
    let origins = Origin::start_all(["web01", "web02"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    for server in ["app/web01", "app/web02"] {
        lbd.wait_until_healthy(server);
    }
    let found = doctor(&lbd, 0);
    for check in [
        "socket",
        "configuration",
        "ports",
        "firewall",
        "servers",
        "sessions",
        "names",
        "certificates",
        "kept",
    ] {
        let fine = found.with("fine", check);
        assert!(!fine.is_empty(), "{check}: {:#?}", found.0);
    }
    for check in ["limits", "clock"] {
        assert!(
            found.0.iter().any(|f| f["check"] == check),
            "{:#?}",
            found.0
        );
    }
    let said = lbd.lbctl(["doctor"]).exits(0);
    assert!(
        said.stdout
            .contains("fine: backend app: 2 servers answered as expected"),
        "{said:#?}"
    );
    assert!(said.stdout.contains("no problem found"), "{said:#?}");
}

#[test]
fn who_holds_the_port_is_named() {
    let origin = Origin::start("web01");
    let port = Port::new();
    let setup = listening_at(&port, &origin);
    let holder = port.listen().expect("it is free");
    let found = without_daemon(&setup);
    let me = format!("(pid {}): lbd does not start", std::process::id());
    let problem = found.problem("ports", &me);
    assert!(
        text(&problem["where"]).contains("frontend web"),
        "{problem:#}"
    );
    close(holder);
    let found = without_daemon(&setup);
    found.problem("ports", "nobody listens on");

    // The same for an address that the file has and the daemon has not, yet.
    let mut lbd = setup.start();
    let taken = Port::new();
    let _holder = taken.listen().expect("it is free");
    lbd.rewrite_with(|config| config.replace(&port.addr().to_string(), &taken.addr().to_string()));
    doctor(&lbd, 1).problem("ports", "a reload fails");
}

#[test]
fn an_address_of_another_machine_is_told() {
    let origin = Origin::start("web01");
    let config = app(NO_CHECK, [&origin]).replace("127.0.0.1:0", "192.0.2.7:8080");
    let found = without_daemon(&Setup::new(config));
    let problem = found.problem("ports", "no interface has this address");
    assert_eq!(problem["command"], "ip address");
}

#[test]
fn a_daemon_that_died_is_missed() {
    let origin = Origin::start("web01");
    let port = Port::new();
    let mut lbd = listening_at(&port, &origin).start();
    lbd.kill9();
    let mut command = lbctl::command(&lbd.socket(), ["doctor", "--json", "--config"]);
    command.arg(lbd.config_file());
    let found = Findings::of(&Process::run(command).exits(1));
    let problem = found.problem("socket", "no daemon listens at");
    assert!(
        why(problem).contains("left behind by one that died"),
        "{problem:#}"
    );
    assert!(
        text(&problem["command"]).contains("systemctl start lbd"),
        "{problem:#}"
    );
    found.problem("ports", "clients are refused");
    assert_eq!(
        found.with("not_looked_at", "limits").len(),
        1,
        "{:#?}",
        found.0
    );
    assert_eq!(
        found.with("not_looked_at", "sessions").len(),
        1,
        "{:#?}",
        found.0
    );
}

#[test]
fn a_daemon_that_is_stopped_is_not_taken_for_dead() {
    let origin = Origin::start("web01");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    lbd.signal(Signal::STOP);
    let mut command = lbctl::command(&lbd.socket(), ["doctor", "--json", "--config"]);
    command.arg(lbd.config_file());
    let found = Process::run(command).exits(1);
    lbd.signal(Signal::CONT);
    let found = Findings::of(&found);
    let problem = found.problem("socket", "does not answer at");
    let pid = format!("lbd (pid {})", lbd.pid());
    let what = text(&problem["what"]);
    assert!(
        what.starts_with(&pid) && what.ends_with("it hangs or is stopped"),
        "{problem:#}"
    );
    assert_eq!(why(problem), "");
}

#[test]
fn changes_that_were_not_loaded_are_told() {
    let origin = Origin::start("web01");
    let mut lbd = Lbd::start(app(NO_CHECK, [&origin]));
    lbd.rewrite_with(|config| config.replace("health = false", "health = false\nretries = 1"));
    let found = doctor(&lbd, 1);
    let problem = found.problem("configuration", "have not taken effect");
    assert_eq!(problem["command"], "sudo lbctl reload");
    lbd.reload().exits(0);
    doctor(&lbd, 0);
    lbd.rewrite_with(|config| config.replace("retries", "retires"));
    let found = doctor(&lbd, 1);
    let problem = found.problem(
        "configuration",
        "is invalid: lbd goes on with what it loaded",
    );
    assert!(why(problem).contains("retires"), "{problem:#}");
    assert!(
        text(&problem["command"]).starts_with("lbctl validate "),
        "{problem:#}"
    );
    assert_eq!(
        found.with("not_looked_at", "servers").len(),
        1,
        "{:#?}",
        found.0
    );
}

#[test]
fn a_reload_that_failed_is_told_with_the_reason() {
    let origin = Origin::start("web01");
    let mut lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let taken = Port::new();
    let holder = taken.listen().expect("it is free");
    let taken = taken.addr().to_string();
    lbd.rewrite_with(|config| config.replace("127.0.0.1:0", &taken));
    lbd.reload().exits(1);
    let found = doctor(&lbd, 1);
    let problem = found.problem("configuration", "have not taken effect");
    let seen = why(problem);
    assert!(seen.contains("the last reload, "), "{problem:#}");
    assert!(
        seen.contains(&format!("cannot listen on {taken}")),
        "{problem:#}"
    );
    close(holder);
    // Back to what runs: that it failed is history.
    lbd.rewrite_with(|config| config.replace(&taken, "127.0.0.1:0"));
    let found = doctor(&lbd, 0);
    assert_eq!(
        found.with("warning", "configuration").len(),
        1,
        "{:#?}",
        found.0
    );
}

#[test]
fn a_key_that_everybody_may_read_and_a_certificate_that_was_not_loaded_are_told() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [first, second] = [(); 2].map(|()| authority.issue(&["a.test"]));
    let lbd = tls::start(&tls::config("", origin.addr()), &[("a.pem", &first)]);
    doctor(&lbd, 0);
    let file = lbd.folder().join("certs/a.pem");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("it is ours");
    let found = doctor(&lbd, 1);
    let problem = found.problem("certificates", "everybody on this machine may read the key");
    let command = format!("sudo chmod 0600 {}", file.display());
    assert_eq!(text(&problem["command"]), command);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");

    second.write(&lbd.folder().join("certs"), "a.pem");
    let found = doctor(&lbd, 1);
    let problem = found.problem("certificates", "lbd shows an older certificate");
    assert_eq!(problem["command"], "sudo lbctl reload");
}

#[test]
fn a_certificate_that_ends_soon_is_told() {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
    let authority = Authority::new();
    let origin = Origin::start("a");
    let now = std::time::SystemTime::now();
    let soon = authority.issue_for(&["a.test"], now - 85 * DAY, now + 5 * DAY + DAY / 2);
    let config = tls::config("", origin.addr());
    let lbd = tls::start(&config, &[("a.pem", &soon)]);
    let found = doctor(&lbd, 1);
    let problem = found.problem("certificates", "expires in 5 days");
    assert_eq!(problem["command"], "sudo certbot renew");
}

#[test]
fn the_certificate_of_the_dashboard_is_looked_at_as_any_other() {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
    let origin = Origin::start("a");
    let now = std::time::SystemTime::now();
    let soon = Authority::new().issue_for(&["a.test"], now - 85 * DAY, now + 5 * DAY + DAY / 2);
    let setup = Setup::new(app(NO_CHECK, [&origin]));
    let pem = setup.folder().join("admin.pem");
    soon.write(setup.folder(), "admin.pem");
    let bind = format!("{{ address = \"127.0.0.1:0\", tls = {{ certs = {pem:?} }} }}");
    let admin = format!("[admin]\nbind = {bind}\n{}", app(NO_CHECK, [&origin]));
    let lbd = setup.config(admin).start();
    doctor(&lbd, 1).problem("certificates", "expires in 5 days");
}

#[test]
fn a_socket_that_everybody_may_use_is_a_warning() {
    let origin = Origin::start("web01");
    let setup = Setup::new(app(NO_CHECK, [&origin]));
    let lbd = setup.global("threads = 2\nsocket_mode = \"0666\"").start();
    let found = doctor(&lbd, 0);
    let warning = found.with("warning", "socket");
    assert_eq!(warning.len(), 1, "{:#?}", found.0);
    assert!(text(&warning[0]["what"]).contains("everybody on this machine may steer lbd"));
}

#[test]
fn where_there_is_nothing_at_all_nothing_is_fine() {
    let setup = Setup::new("");
    let mut command = lbctl::command(&setup.socket(), ["doctor", "--json", "--config"]);
    command.arg(setup.folder().join("none.toml"));
    let found = Findings::of(&Process::run(command).exits(1));
    found.problem("configuration", "cannot read");
    found.problem("socket", "there is no socket");
    let fine = found.0.iter().filter(|f| f["severity"] == "fine");
    let fine: Vec<&str> = fine.map(|f| text(&f["check"])).collect();
    // Of the clock something can be said in any case.
    assert!(fine.iter().all(|check| *check == "clock"), "{fine:?}");
}

#[test]
fn a_socket_elsewhere_is_pointed_to() {
    let origin = Origin::start("web01");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let elsewhere = lbd.folder().join("none.sock");
    let mut command = lbctl::command(&elsewhere, ["doctor", "--json", "--config"]);
    command.arg(lbd.config_file());
    let found = Findings::of(&Process::run(command).exits(1));
    let problem = found.problem("socket", "none.sock");
    let command = format!("lbctl --socket {} doctor", lbd.socket().display());
    assert_eq!(text(&problem["command"]), command);
}

#[test]
fn a_socket_that_is_not_ours_is_told_with_whose_it_is() {
    /// `nobody`, on every Linux.
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        // Whoever owns it gets in; there is nobody else to be.
        return;
    }
    let origin = Origin::start("web01");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    // Where everybody may go, as in `exit_codes`.
    let copy = lbd.folder().join("lbctl");
    let mut cp = std::process::Command::new("cp");
    cp.arg(lb_tests::programs::lbctl()).arg(&copy);
    Process::run(cp).exits(0);
    fs::set_permissions(lbd.folder(), Permissions::from_mode(0o755)).expect("it is ours");
    let mut command = std::process::Command::new(&copy);
    command
        .args(["doctor", "--json", "--config"])
        .arg(lbd.config_file())
        .env("LBCTL_SOCKET", lbd.socket())
        .uid(NOBODY)
        .gid(NOBODY);
    let found = Findings::of(&Process::run(command).exits(1));
    let problem = found.problem("socket", "not allowed to use the control socket");
    let seen = why(problem);
    assert!(
        seen.contains("it belongs to root:root, mode 0660; you are nobody"),
        "{problem:#}"
    );
    assert_eq!(problem["command"], "sudo lbctl doctor");
    // What a daemon says of itself was not heard.
    assert_eq!(
        found.with("not_looked_at", "limits").len(),
        1,
        "{:#?}",
        found.0
    );
}
