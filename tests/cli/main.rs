//! What `lbctl` says, word for word, against a real daemon with real origins. Changes are read in
//! review: `UPDATE=1 cargo test -p lb-tests --test cli` writes what is said now.

mod by_hand;
mod normal;
mod schemas;
mod streams;
mod told;
mod transcript;
mod walk;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb_proto::pem::Bundle;
use lb_proto::state::State;
use lb_tests::daemon::{QUICK_CHECK, app};
use lb_tests::origin::Health;
use lb_tests::port::Port;
use lb_tests::{Authority, Lbd, Origin, Setup, held, lbctl};
use transcript::Transcript;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A daemon with the servers web01 and web02, both checked and up.
fn two_servers() -> ([Origin; 2], Lbd) {
    let origins = Origin::start_all(["web01", "web02"]);
    let lbd = Setup::new(app(QUICK_CHECK, &origins))
        .global("threads = 2\nmax_connections = 1000")
        .start();
    for server in ["app/web01", "app/web02"] {
        lbd.wait_until_healthy(server);
    }
    (origins, lbd)
}

#[test]
fn status() {
    let (origins, lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("status");
    said.lbctl("status app");
    said.lbctl("status app/web01");
    said.lbctl("status app/web01 --json");
    said.lbctl("status app/web1");
    said.lbctl("status api");
    origins[1].set_health(Health::Status(500));
    lbd.wait_for_state("app/web02", State::Down);
    said.lbctl("status app");
    said.lbctl("status app/web02");
    said.matches("status");
}

#[test]
fn drain() {
    let (origins, lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("drain app/web01");
    said.lbctl("drain app/web01 --json");
    said.lbctl("drain app/web01 --quiet");
    said.lbctl("ready app/web01");
    let held = held::one_each(lbd.addr(), &origins);
    said.lbctl("drain app/web01 --timeout 300ms");
    said.lbctl("drain app/web01 --timeout 300ms --json");
    said.lbctl("drain app/web01 --no-wait");
    said.lbctl("drain app/web01 app/web02 --no-wait --json");
    said.lbctl("drain app/web01 --timeout 300ms --on-timeout maint");
    drop(held);
    said.matches("drain");
}

#[test]
fn ready_and_maint() {
    let (origins, lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("maint app/web01");
    said.lbctl("maint app/web01 --json");
    said.lbctl("status app");
    origins[0].set_health(Health::Hang);
    said.lbctl("ready app/web01");
    said.lbctl("ready app/web01 --json");
    origins[0].set_health(Health::Status(200));
    lbd.wait_for_state("app/web01", State::Up);
    said.lbctl("ready app/web01 --wait");
    said.lbctl("ready app/web01 --wait --json");
    let held = held::one_each(lbd.addr(), &origins);
    said.lbctl("maint app/web02");
    said.lbctl("maint app/web02 --kill --reason disk");
    drop(held);
    said.matches("ready_and_maint");
}

#[test]
fn reload() {
    let (origins, mut lbd) = two_servers();
    let taken = Port::new();
    let holder = taken.listen().expect("it is free");
    let mut said = Transcript::of(&lbd, &origins);
    said.name(&taken.addr().to_string(), "TAKEN");
    let ours = std::fs::read_to_string("/proc/self/comm").expect("every process has a name");
    said.name(ours.trim(), "TEST");
    said.lbctl("reload");
    let good = app(QUICK_CHECK, &origins);
    lbd.rewrite(good.replace("health = ", "retries = 2\nhealth = "));
    said.lbctl("reload");
    lbd.rewrite(good.clone());
    said.lbctl("reload --json");
    lbd.rewrite(format!(
        "{good}\n[frontend.web]\nbind = 7\nblance = \"roundrobin\"\n"
    ));
    said.lbctl("reload");
    lbd.rewrite(
        good.replace("rise = 2", "rise = 0")
            .replace("\"app\"", "\"ap\""),
    );
    said.lbctl("reload");
    said.lbctl("reload --json");
    let bind = format!("bind = [\"{}\"]", taken.addr());
    lbd.rewrite(good.replace("bind = [\"127.0.0.1:0\"]", &bind));
    said.lbctl("reload");
    said.lbctl("reload --json");
    drop(holder);
    said.matches("reload");
}

#[test]
fn plan() {
    let (origins, mut lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("plan");
    let good = app(QUICK_CHECK, &origins);
    lbd.rewrite(
        app(
            "retries = 2\nbalance = \"leastconn\"\nhealth = false",
            &origins[1..],
        )
        .replace(
            "\n\n[backend",
            "\nroutes = [{ path = \"/old\", respond = { status = 410 } }]\n\n[backend",
        ),
    );
    let held = held::one_each(lbd.addr(), &origins);
    said.lbctl("plan");
    said.lbctl("plan --quiet");
    said.lbctl("plan --json");
    said.lbctl("plan FILE");
    lbd.rewrite(format!("# by hand\n{good}"));
    said.lbctl("plan");
    lbd.rewrite(good.replace("\"app\"", "\"ap\""));
    said.lbctl("plan");
    said.lbctl("plan /nowhere/lbd.toml");
    drop(held);
    said.matches("plan");
}

#[test]
fn confirm_and_rollback() {
    let (origins, mut lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    let good = app(QUICK_CHECK, &origins);
    let with = |retries: u32| good.replace("health = ", &format!("retries = {retries}\nhealth = "));
    said.lbctl("confirm");
    said.lbctl("rollback");
    lbd.rewrite(with(1));
    said.lbctl("reload --confirm-within 30s");
    said.lbctl("status");
    said.lbctl("reload");
    said.lbctl("confirm");
    lbd.rewrite(with(2));
    said.lbctl("reload --confirm-within 30s --quiet");
    said.lbctl("confirm --json");
    lbd.rewrite(with(4));
    said.lbctl("reload --rollback-if-down");
    said.lbctl("rollback");
    said.lbctl("status");
    said.lbctl("rollback --json");
    said.lbctl("reload --confirm-within 1500ms");
    said.matches("confirm_and_rollback");
}

#[test]
fn validate() {
    let (origins, mut lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("validate FILE");
    said.lbctl("validate FILE --json");
    let good = app(QUICK_CHECK, &origins);
    lbd.rewrite(
        good.replace("rise = 2", "rize = 2")
            .replace("\"app\"", "\"ap\""),
    );
    said.lbctl("validate FILE");
    said.lbctl("validate FILE --json");
    said.lbctl("validate /nowhere/lbd.toml");
    said.matches("validate");
}

#[test]
fn errors() {
    let (origins, lbd) = two_servers();
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("");
    said.lbctl("drian app/web01");
    said.lbctl("drain");
    said.lbctl("drain app/web1");
    said.lbctl("drain app/web1 --json");
    said.lbctl("drain web01");
    said.lbctl("maint nothing/like");
    said.lbctl("drain app/web01 --timeout soon");
    said.lbctl("drain app/web01 --on-timeout cry");
    said.lbctl("status --socket /nowhere/lbd.sock");
    said.lbctl("status --socket /nowhere/lbd.sock --json");
    said.matches("errors");
}

#[test]
fn cert_assemble() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let authority = Authority::new();
    let live = |name: &str, names: &[&str]| {
        let lineage = folder.path().join("live").join(name);
        authority.issue(names).write_lineage(&lineage)
    };
    let names = [
        "example.com",
        "www.example.com",
        "a.test",
        "b.test",
        "c.test",
        "d.test",
    ];
    live("many", &names);
    let one = live("one", &names[..1]);
    live("other", &names[..2]);
    std::fs::create_dir(folder.path().join("certs")).expect("a folder can be made");
    let mut said = Transcript::without_daemon(Arc::new(lbctl::bare));
    said.name(&folder.path().display().to_string(), "/FOLDER");
    said.lbctl("cert assemble --lineage /FOLDER/live/many --out /FOLDER/certs/site.pem");
    said.lbctl("cert assemble --lineage /FOLDER/live/one --out /FOLDER/certs/site.pem");
    said.lbctl("cert assemble --lineage /FOLDER/live/one --out /FOLDER/certs/site.pem --json");
    said.lbctl("cert assemble --lineage /FOLDER/live/one --out /FOLDER/certs/site.pem --allow-fewer-names --json");
    said.lbctl("cert assemble --lineage /FOLDER/live/one --out /FOLDER/certs/site.pem --quiet");
    said.lbctl("cert assemble --fullchain /FOLDER/live/one/fullchain.pem --privkey /FOLDER/live/other/privkey.pem --out /FOLDER/certs/site.pem");
    let leaf = authority.issue(&names[..1]);
    std::fs::write(one.join("fullchain.pem"), &leaf.leaf).expect("a file can be written");
    std::fs::write(one.join("privkey.pem"), &leaf.key).expect("a file can be written");
    said.lbctl("cert assemble --lineage /FOLDER/live/one --out /FOLDER/certs/site.pem");
    said.lbctl("cert assemble --lineage /FOLDER/live/none --out /FOLDER/certs/site.pem");
    said.lbctl("cert assemble --lineage /FOLDER/live/one --out /FOLDER/none/site.pem");
    said.lbctl("cert assemble --lineage /FOLDER/live/one --out /FOLDER/certs");
    said.lbctl("cert assemble --lineage /FOLDER/live/one --out /dev/null");
    said.lbctl("cert assemble --fullchain chain.crt --out site.pem");
    said.lbctl("cert assemble --out site.pem");
    said.matches("cert_assemble");
}

#[test]
fn cert_install_and_list() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = |name: &str| folder.path().join(name);
    let now = SystemTime::now();
    let authority = Authority::new();
    let long = authority.issue(&["example.com", "*.example.com"]);
    let soon = authority.issue_for(&["soon.test"], now - 85 * DAY, now + 5 * DAY + DAY / 2);
    let late = authority.issue_for(&["late.test"], now - 93 * DAY, now - 3 * DAY - DAY / 2);
    long.write_lineage(&file("live/example.com"));
    std::fs::create_dir(file("certs")).expect("a folder can be made");
    let write = |name: &str, text: &str| {
        std::fs::write(file("certs").join(name), text).expect("a file can be written");
        let nobody_else = Permissions::from_mode(0o600);
        std::fs::set_permissions(file("certs").join(name), nobody_else).expect("it is ours");
    };
    let none = file("none.sock");
    let (origins, lbd) = two_servers();
    let mut said = Transcript::without_daemon(Arc::new(move || {
        let mut command = lbctl::command(&none, [""; 0]);
        // Room for every column, wherever the folder is.
        command.env("COLUMNS", "400");
        command
    }));
    said.name(&folder.path().display().to_string(), "/FOLDER");
    said.name(&lbd.socket().display().to_string(), "/RUN/lbd.sock");
    said.name(&lbd.config_file().display().to_string(), "/RUN/lbd.toml");
    said.name(&format!("pid {}", lbd.pid()), "pid PID");
    for issued in [&long, &soon, &late] {
        let bundle = Bundle::read(issued.together().as_bytes()).expect("it is good");
        let fingerprint = bundle.leaf.fingerprint;
        said.name(&fingerprint, "HASH");
        said.name(&fingerprint[..16], "FINGERPRINT");
    }
    said.lbctl("cert install");
    said.lbctl("cert install --lineage /FOLDER/live/example.com --config /FOLDER/lbd.toml");
    said.lbctl("cert install --lineage /FOLDER/live/example.com --certs /FOLDER/certs");
    said.lbctl("cert install --lineage /FOLDER/live/example.com --certs /FOLDER/certs --name example.com --json");
    said.lbctl(
        "cert install --lineage /FOLDER/live/example.com --certs /FOLDER/certs --name other",
    );
    said.lbctl("cert install --lineage /FOLDER/live/example.com --certs /FOLDER/certs --name a/b");
    said.lbctl("cert install --lineage /FOLDER/live/example.com --socket /RUN/lbd.sock");
    said.lbctl("cert install --lineage /FOLDER/live/example.com --certs /FOLDER/certs --socket /RUN/lbd.sock");
    write("soon.pem", &soon.together());
    write("late.pem", &late.together());
    write("broken.pem", &soon.fullchain);
    write("other.pem", "");
    said.lbctl("cert list --certs /FOLDER/certs");
    said.lbctl(
        "cert list --certs /FOLDER/certs/example.com.pem --certs /FOLDER/certs/other.pem --json",
    );
    said.lbctl("cert list --certs /FOLDER/live/example.com/privkey.pem");
    said.lbctl("cert list --certs /FOLDER/live");
    said.lbctl("cert list --certs /FOLDER/none");
    said.lbctl("cert list --socket /RUN/lbd.sock");
    said.lbctl("cert list --config /FOLDER/lbd.toml");
    drop(origins);
    said.matches("cert_install_and_list");
}

/// The reference of the command line: every word of it is a promise to somebody's script.
#[test]
fn help() {
    let mut said = Transcript::without_daemon(Arc::new(lbctl::bare));
    for command in [
        "--help",
        "-h",
        "--version",
        "help drain",
        "status --help",
        "drain --help",
        "ready --help",
        "maint --help",
        "weight --help",
        "rolling-maintenance --help",
        "events --help",
        "plan --help",
        "reload --help",
        "confirm --help",
        "rollback --help",
        "validate --help",
        "cert --help",
        "cert assemble --help",
        "cert install --help",
        "cert list --help",
        "explain --help",
        "doctor --help",
        "completions --help",
        "man --help",
        "hash-password --help",
    ] {
        said.lbctl(command);
    }
    said.matches("help");
}
