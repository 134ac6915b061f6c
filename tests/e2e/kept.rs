//! What operators set outlives reloads, restarts and kill -9, says whose it is, and gives way to the
//! configuration where that changes the same.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use lb_proto::event::Event;
use lb_proto::state::{Admin, State};
use lb_proto::status::Override;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::eventually::LIMIT;
use lb_tests::{FullDisk, Lbd, Origin, Process, eventually, is, programs, wire};

fn state_file(lbd: &Lbd) -> PathBuf {
    lbd.folder().join("state/state.json")
}

/// Ends it as a power cut does, and starts another in its place.
fn crash(lbd: &mut Lbd) {
    lbd.kill9();
    lbd.start_again();
}

/// The servers that answer ten requests.
fn serving(lbd: &Lbd) -> Vec<String> {
    let answers = (0..10).map(|_| wire::get(lbd.addr(), "/"));
    let mut names: Vec<_> = answers
        .filter_map(|answer| answer.origin().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A configuration like [`app`], in which the server has a weight.
fn weighing(origins: &[Origin], server: &str, weight: u16) -> String {
    let config = app(NO_CHECK, origins);
    let entry = format!("name = \"{server}\", ");
    config.replace(&entry, &format!("{entry}weight = {weight}, "))
}

#[test]
fn a_drain_is_there_after_kill_9_with_who_when_and_why() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["drain", "app/a", "--reason", "kernel update"])
        .exits(0);
    lbd.lbctl(["maint", "app/c"]).exits(0);
    let before = lbd.server("app/a").overrides.admin.expect("it is set");
    crash(&mut lbd);
    let a = lbd.server("app/a");
    assert_eq!((a.admin, a.state), (Admin::Drain, State::Drain));
    assert_eq!(lbd.server("app/c").state, State::Maint);
    assert_eq!(serving(&lbd), ["b"]);
    let set = a.overrides.admin.expect("it is still set");
    assert_eq!(set.reason.as_deref(), Some("kernel update"));
    assert_eq!(set.by.uid, Some(rustix::process::getuid().as_raw()));
    assert_eq!((&set.at, &set.by), (&before.at, &before.by));

    lbd.lbctl(["ready", "app/a", "app/c"]).exits(0);
    crash(&mut lbd);
    assert_eq!(serving(&lbd), ["a", "b", "c"]);
    assert_eq!(lbd.server("app/a").overrides.admin, None);
}

#[test]
fn moved_sticky_clients_stay_moved() {
    let origins = Origin::start_all(["a", "b"]);
    let lines = format!("{NO_CHECK}\nsticky = {{ cookie = \"S\" }}");
    let mut lbd = Lbd::start(app(&lines, &origins));
    lbd.lbctl(["drain", "app/a", "--move-sticky"]).exits(0);
    crash(&mut lbd);
    assert!(lbd.server("app/a").move_sticky);
}

#[test]
fn a_configuration_that_changes_the_weight_ends_the_one_that_was_set() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["weight", "app/a", "7"]).exits(0);
    lbd.rewrite(weighing(&origins, "b", 2));
    lbd.reload().exits(0);
    crash(&mut lbd);
    let a = lbd.server("app/a");
    assert_eq!((a.weight, a.weight_configured), (7, 1));

    lbd.rewrite(weighing(&origins, "a", 3));
    lbd.reload().exits(0).says(
        "app/a: the configuration changes its weight from 1 to 3, which ends the weight 7 set by",
    );
    let a = lbd.server("app/a");
    assert_eq!((a.weight, a.weight_configured), (3, 3));
    assert_eq!(a.overrides.weight, None);

    lbd.lbctl(["weight", "app/a", "9"]).exits(0);
    lbd.rewrite(weighing(&origins, "a", 4));
    crash(&mut lbd);
    assert_eq!(lbd.server("app/a").weight, 4);
    lbd.wait_for_log("changes its weight from 3 to 4, which ends the weight 9");
}

#[test]
fn a_server_that_a_reload_takes_away_comes_back_as_configured() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["maint", "app/b"]).exits(0);
    lbd.rewrite(app(NO_CHECK, &origins[..1]));
    lbd.reload()
        .exits(0)
        .says("app/b is gone, and with it what was set on it");
    lbd.rewrite(app(NO_CHECK, &origins));
    lbd.reload().exits(0);
    assert_eq!(lbd.server("app/b").admin, Admin::Ready);
    crash(&mut lbd);
    assert_eq!(lbd.server("app/b").admin, Admin::Ready);
}

#[test]
fn what_was_set_waits_for_a_server_that_the_file_lacks_at_a_start() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["maint", "app/b", "--reason", "disk"]).exits(0);
    lbd.rewrite(app(NO_CHECK, &origins[..1]));
    crash(&mut lbd);
    lbd.wait_for_log("app/b is not in the configuration: what was set on it is kept for 30 days");
    assert_eq!(
        lbd.status().daemon.kept.unknown,
        ["app/b".parse().expect("a name")]
    );
    // It is kept through other changes, and another crash.
    lbd.lbctl(["drain", "app/a"]).exits(0);
    crash(&mut lbd);
    lbd.rewrite(app(NO_CHECK, &origins));
    lbd.reload().exits(0);
    let b = lbd.server("app/b");
    assert_eq!(b.state, State::Maint);
    assert_eq!(
        b.overrides.admin.and_then(|set| set.reason).as_deref(),
        Some("disk")
    );
    assert!(lbd.status().daemon.kept.unknown.is_empty());
}

#[test]
fn a_file_that_is_damaged_or_newer_is_set_aside_and_said_loudly() {
    let origins = Origin::start_all(["a"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    let bad = [
        ("\0\0\0\0", "it is damaged"),
        (
            r#"{"version":1,"servers":[{"server":"app/a""#,
            "it is damaged",
        ),
        (r#"{"version":2,"more":1}"#, "it is of version 2"),
    ];
    for (turn, (text, why)) in bad.into_iter().enumerate() {
        lbd.lbctl(["drain", "app/a"]).exits(0);
        lbd.kill9();
        fs::write(state_file(&lbd), text).expect("the folder is ours");
        lbd.start_again();
        lbd.wait_for_log("what was set before is forgotten");
        assert_eq!(lbd.server("app/a").admin, Admin::Ready);
        let told = lbd.status().daemon.kept.set_aside.expect("status tells");
        assert!(told.contains(why), "{told}");
        let folder = fs::read_dir(lbd.folder().join("state")).expect("it is there");
        let names = folder.flatten().map(|entry| entry.path());
        let aside = names.filter(|path| path.to_string_lossy().contains("state.json.bad-"));
        let texts = aside.map(|path| fs::read_to_string(path).expect("it can be read"));
        assert_eq!(texts.filter(|found| found == text).count(), 1, "{turn}");
    }
    // What is set from then on is kept as ever.
    lbd.lbctl(["drain", "app/a"]).exits(0);
    crash(&mut lbd);
    assert_eq!(lbd.server("app/a").admin, Admin::Drain);
    assert_eq!(lbd.status().daemon.kept.set_aside, None);
}

#[test]
fn a_change_that_cannot_be_written_is_made_and_said_loudly() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    // Where the new file is made first; nobody, root or not, can write a file there now.
    let in_the_way = lbd.folder().join("state/state.json.new");
    fs::create_dir(&in_the_way).expect("the folder is ours");
    lbd.lbctl(["drain", "app/a"])
        .exits(0)
        .says("app/a is drain, but a restart of lbd would forget it: cannot write");
    assert_eq!(lbd.server("app/a").state, State::Drain);
    lbd.wait_for_log("a restart would forget what was set");
    assert!(lbd.status().daemon.kept.error.is_some());
    lbd.lbctl(["weight", "app/b", "3"])
        .exits(0)
        .says("app/b has weight 3, but a restart of lbd would forget it");

    fs::remove_dir(&in_the_way).expect("the folder is ours");
    let said = lbd.lbctl(["weight", "app/b", "4"]).exits(0);
    assert!(!said.stderr.contains("forget"), "{said:#?}");
    eventually("status is content", || {
        is(lbd.status().daemon.kept.error, None)
    });
    lbd.wait_for_log("it outlives a restart again");
    crash(&mut lbd);
    assert_eq!(lbd.server("app/a").state, State::Drain);
    assert_eq!(lbd.server("app/b").weight, 4);
}

#[test]
fn two_daemons_do_not_share_a_folder() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let text = fs::read_to_string(lbd.config_file()).expect("it is there");
    let other = lbd.folder().join("other.toml");
    fs::write(&other, text.replace("lbd.sock", "other.sock")).expect("the folder is ours");
    let mut command = Command::new(programs::lbd());
    command.arg("--config").arg(&other);
    Process::run(command)
        .exits(1)
        .says("another lbd keeps its state in")
        .says("[global] state_dir names another folder");
    assert_eq!(serving(&lbd), ["a"]);
}

#[test]
fn what_is_set_for_a_time_ends_by_itself() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let mut events = lbd.client().watch().expect("it streams");
    lbd.lbctl(["drain", "app/a", "--for", "1s", "--no-wait"])
        .exits(0);
    lbd.lbctl(["maint", "app/b", "--for", "1s"]).exits(0);
    // Before a busy machine comes to look, the time may be over.
    let mut ways = [("app/a", vec![]), ("app/b", vec![])];
    while ways.iter().any(|(_, way)| way.last() != Some(&State::Up)) {
        let event = events.next(LIMIT).expect("it streams");
        if let Some(Event::Server { server, state, .. }) = event {
            let way = ways.iter_mut().find(|(id, _)| server.to_string() == *id);
            way.expect("it is one of them").1.push(state);
        }
    }
    let [a, b] = ways.map(|(_, way)| way);
    assert_eq!(a, [State::Drain, State::Up]);
    assert_eq!(b, [State::Maint, State::Up]);
    assert_eq!(lbd.server("app/a").overrides.admin, None);
    lbd.wait_for_log("ready again, the time is over that drain was set for by");
}

#[test]
fn what_was_set_before_for_good_is_so_again_afterwards() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    for server in ["app/a", "app/b"] {
        let maint = ["maint", server, "--reason", "broken disk"];
        lbd.lbctl(maint).exits(0);
    }
    let before = lbd.server("app/a").overrides.admin;
    let said = lbd.lbctl(["drain", "app/b", "--for", "1h", "--no-wait"]);
    said.exits(0).says("), then maint again");
    // Longer or shorter, it is over another that was for a time.
    for lasts in ["1h", "1s"] {
        let drain = ["drain", "app/a", "--for", lasts, "--no-wait"];
        lbd.lbctl(drain).exits(0).says("), then maint again");
    }
    // Who set it says here for how long.
    lbd.lbctl(["maint", "app/c"]).exits(0);
    let said = lbd.lbctl(["maint", "app/c", "--for", "1s"]).exits(0);
    assert!(!said.stderr.contains("then"), "{said:?}");
    lbd.wait_for_state("app/c", State::Up);
    lbd.wait_for_state("app/a", State::Maint);
    let again = |set: Option<Override>| set.map(|set| (set.at, set.by, set.reason, set.until));
    assert_eq!(
        again(lbd.server("app/a").overrides.admin),
        again(before.clone())
    );
    lbd.wait_for_log("; as set before by");
    // Also where that ends while lbd does not run.
    lbd.kill9();
    let text = fs::read_to_string(state_file(&lbd)).expect("it is there");
    let text = text.replace("\"for_s\": 3600", "\"for_s\": 0");
    fs::write(state_file(&lbd), text).expect("the folder is ours");
    lbd.start_again();
    for server in ["app/a", "app/b"] {
        let set = lbd.server(server).overrides.admin.expect("it is set");
        assert_eq!(set.reason.as_deref(), Some("broken disk"));
        assert_eq!(lbd.server(server).state, State::Maint);
    }
}

#[test]
fn what_is_set_for_a_time_says_until_when() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    for verb in ["drain", "maint"] {
        let said = lbd.lbctl([verb, "app/a", "--for", "1h"]).exits(0);
        let set = lbd.server("app/a").overrides.admin.expect("it is set");
        let until = set.until.expect("it has an end");
        let shown = until.replace('T', " ");
        let (shown, _) = shown.split_once('.').expect("it has a fraction");
        said.says(&format!("until {shown} UTC (in "));
        let said = lbd.lbctl([verb, "app/a", "--for", "1h", "--json"]).exits(0);
        let set = lbd.server("app/a").overrides.admin.expect("it is set");
        let document: serde_json::Value = serde_json::from_str(&said.stdout).expect("it is JSON");
        assert_eq!(
            document["servers"][0]["until"].as_str(),
            set.until.as_deref()
        );
    }
}

#[test]
fn what_a_restart_would_forget_is_told_also_where_it_is_quiet() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let _full = FullDisk::of(&lbd);
    let forgets = "a restart of lbd would forget it: cannot write";
    for command in [
        ["drain", "app/a", "--quiet"],
        ["maint", "app/a", "--quiet"],
        ["ready", "app/a", "--quiet"],
    ] {
        lbd.lbctl(command).exits(0).says(forgets);
        let [verb, server, quiet] = command;
        let said = lbd
            .lbctl([verb, server, quiet, "--json"])
            .exits(0)
            .says(forgets);
        let document: serde_json::Value = serde_json::from_str(&said.stdout).expect("it is JSON");
        let why = document["servers"][0]["not_kept"].as_str();
        assert!(
            why.is_some_and(|why| why.contains("cannot write")),
            "{document}"
        );
    }
    let said = lbd.lbctl(["weight", "app/b", "7", "--quiet"]).exits(0);
    said.says("a restart of lbd would forget it");
}

#[test]
fn what_is_set_for_a_time_ends_after_a_restart_too() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["drain", "app/a", "--for", "1s", "--no-wait"])
        .exits(0);
    lbd.lbctl(["drain", "app/b", "--for", "1h", "--no-wait"])
        .exits(0);
    crash(&mut lbd);
    let left = lbd
        .server("app/b")
        .overrides
        .admin
        .and_then(|set| set.left_s);
    assert!(left.is_some_and(|left| (3000..=3600).contains(&left)));
    lbd.wait_for_state("app/a", State::Up);

    // A clock that was far ahead when it was set, and is right now, makes it no longer than it was
    // to be.
    lbd.kill9();
    let text = fs::read_to_string(state_file(&lbd)).expect("it is there");
    let kept: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    // What was set for a has ended, and may not have left the file yet.
    let servers = kept["servers"].as_array().expect("they are listed");
    let b = servers.iter().find(|set| set["server"] == "app/b");
    let until = b.and_then(|b| b["admin"]["term"]["until"].as_str());
    let text = text.replace(until.expect("it has an end"), "2099-01-01T00:00:00Z");
    fs::write(state_file(&lbd), text).expect("the folder is ours");
    lbd.start_again();
    let left = lbd
        .server("app/b")
        .overrides
        .admin
        .and_then(|set| set.left_s);
    assert!(
        left.is_some_and(|left| (3000..=3600).contains(&left)),
        "{left:?}"
    );
}

#[test]
fn setting_a_server_again_ends_its_term() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["maint", "app/a", "--for", "1h", "--reason", "disk"])
        .exits(0);
    assert!(
        lbd.server("app/a")
            .overrides
            .admin
            .is_some_and(|set| set.until.is_some())
    );
    lbd.lbctl(["maint", "app/a"]).exits(0);
    let set = lbd.server("app/a").overrides.admin.expect("it is set");
    assert_eq!((set.until, set.left_s), (None, None));
    // The same person, who said why already.
    assert_eq!(set.reason.as_deref(), Some("disk"));
    lbd.lbctl(["drain", "app/a", "--no-wait"]).exits(0);
    let set = lbd.server("app/a").overrides.admin.expect("it is set");
    assert_eq!(set.reason, None);
}
