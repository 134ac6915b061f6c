//! A walk through every command of lbctl, each so that it ends well and so that it fails.

use std::fs;
use std::path::Path;

use lb_proto::state::State;
use lb_tests::daemon::{QUICK_CHECK, app};
use lb_tests::origin::Health;
use lb_tests::{Authority, Lbd, Origin, held, lbctl};

use crate::two_servers;

/// What a command is to end with; `None` where that is the machine's to say.
pub(crate) type Code = Option<i32>;

/// Has `run` run each command, for the daemon at a socket.
pub(crate) fn walk(run: &mut dyn FnMut(&Path, &str, Code)) {
    let (origins, mut lbd) = two_servers();
    let socket = lbd.socket();
    let mut lbctl = |line: &str, code: i32| run(&socket, line, Some(code));
    for verb in lbctl::verbs() {
        lbctl(&format!("{} --no-such-flag", verb.join(" ")), 2);
    }
    servers(&mut lbctl, &lbd, &origins);
    maintenance(&mut lbctl);
    configuration(&mut lbctl, &mut lbd, &app(QUICK_CHECK, &origins));
    files(&mut lbctl);
    run(&socket, "doctor", None);
}

type Lbctl<'a> = &'a mut dyn FnMut(&str, i32);

fn servers(lbctl: Lbctl<'_>, lbd: &Lbd, origins: &[Origin]) {
    lbctl("status", 0);
    lbctl("status app/web01", 0);
    lbctl("status app/web1", 6);
    lbctl("status --socket /nowhere/lbd.sock", 4);
    lbctl("drain app/web01 app/web02 --no-wait --reason disk", 0);
    lbctl("status app --state drain", 0);
    lbctl("drain app/web1", 6);
    lbctl("ready app/web01 app/web02", 0);
    lbd.wait_for_state("app/web02", State::Up);
    lbctl("maint app/web02", 0);
    lbctl("ready app/web02 --wait", 0);
    lbctl("weight app/web01 3", 0);
    lbctl("weight app/web01 configured", 0);
    lbctl("explain app/web02", 0);
    lbctl("explain app/web3", 6);
    let held = held::one_each(lbd.addr(), origins);
    lbctl("drain app/web01 --timeout 100ms", 7);
    lbctl("status", 0);
    lbctl("maint app/web01 --kill", 0);
    drop(held);
    origins[0].set_health(Health::Status(500));
    lbctl("ready app/web01 --wait --timeout 100ms", 7);
    lbd.wait_for_state("app/web01", State::Down);
    lbctl("explain app/web01", 0);
    origins[0].set_health(Health::Status(200));
    lbctl("ready app/web01 --wait", 0);
}

fn maintenance(lbctl: Lbctl<'_>) {
    // Nobody can be asked to maintain them here.
    lbctl("rolling-maintenance app", 2);
    lbctl("rolling-maintenance app --dry-run", 0);
    lbctl("rolling-maintenance app --exec true", 0);
    lbctl("rolling-maintenance app --exec false", 8);
    lbctl("status", 0);
    lbctl("rolling-maintenance app --exec true --resume", 0);
    lbctl("events --no-follow", 0);
    lbctl("events --no-follow --audit", 0);
}

fn configuration(lbctl: Lbctl<'_>, lbd: &mut Lbd, good: &str) {
    lbctl("confirm", 1);
    lbctl("rollback", 1);
    lbd.rewrite(good.replace("health = ", "retries = 1\nhealth = "));
    let validate = format!("validate {}", lbd.config_file().display());
    lbctl(&validate, 0);
    lbctl("plan", 0);
    lbctl("reload --confirm-within 1h --rollback-if-down", 0);
    lbctl("status", 0);
    lbctl("confirm", 0);
    lbctl("rollback --list", 0);
    lbctl("rollback", 0);
    lbd.rewrite(good.replace("rise = 2", "rise = 0"));
    lbctl(&validate, 3);
    lbctl("reload", 3);
    lbctl("plan", 3);
}

fn files(lbctl: Lbctl<'_>) {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let scratch = scratch.path();
    let lineage = scratch.join("live/example.com");
    Authority::new()
        .issue(&["example.com"])
        .write_lineage(&lineage);
    let certs = scratch.join("certs");
    fs::create_dir(&certs).expect("a folder can be made");
    let (lineage, certs) = (lineage.display(), certs.display());
    let assemble = format!("cert assemble --lineage {lineage} --out {certs}");
    lbctl(&format!("{assemble}/a.pem"), 0);
    lbctl(&format!("{assemble}/none/a.pem"), 1);
    lbctl(
        &format!("cert install --lineage {lineage} --certs {certs} --name a"),
        0,
    );
    lbctl(&format!("cert list --certs {certs}"), 0);
    lbctl("cert list --certs /nowhere", 1);
    lbctl("completions bash", 0);
    lbctl(&format!("man {}", scratch.join("man").display()), 0);
    lbctl("man /dev/null", 1);
}
