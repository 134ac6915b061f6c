//! The hooks of rolling maintenance: what they write, what is left of them, and what they maintained.

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};

use lb_proto::state::Admin;
use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::{Lbd, Origin, Process, eventually, is, lbctl};

use crate::rolling_maintenance_stops::Stage;

#[test]
fn one_that_outlives_its_lbctl_is_waited_for_or_ended_first() {
    let stage = Stage::new(NO_CHECK);
    let mut rolling = stage.begin(&[]);
    stage.wait_for_turns("a");
    let hook = stage.lbd.status().backends[0].rolling.clone();
    let hook = hook.and_then(|rolling| rolling.hook).expect("it is noted");
    let pid = hook.pid;
    // Who is at it is told, with what runs.
    let other = stage.run(&["--resume"]).exits(1);
    other
        .says("app is in rolling maintenance by")
        .says(&format!("now at app/a, where CMD runs (pid {pid})"));

    rolling.kill();
    stage.wait_until_nobody_is_at_it();
    for more in [&["--resume"][..], &[], &["--resume", "--dry-run"]] {
        let refused = stage.run(more).exits(1);
        refused
            .says(&format!("CMD for app/a still runs: pid {pid}"))
            .says(&format!(
                "`pkill -s {pid}`; then go on with: lbctl rolling-maintenance app"
            ));
    }
    assert_eq!(stage.turns(), "a");
    stage.ends("a", "0");
    stage.wait_until_no_hook_runs();
    // That nobody waited for it may mean that it failed: it runs again.
    stage.ends("all", "");
    stage.run(&["--resume"]).exits(0);
    assert_eq!(stage.turns(), "aabc");
    assert_eq!(stage.admins(), [Admin::Ready; 3]);
}

/// Its shell alone is killed; what that began is still at work on the server.
#[test]
fn what_one_began_is_ended_with_it() {
    let stage = Stage::new(NO_CHECK);
    let blocks = "sleep 600; true";
    let args = ["rolling-maintenance", "app", "--exec", blocks];
    let mut rolling = Process::spawn(lbctl::command(&stage.lbd.socket(), args));
    let noted = || stage.lbd.status().backends[0].rolling.clone()?.hook;
    eventually("CMD runs", || is(noted().is_some(), true));
    let pid = noted().expect("it is noted").pid.to_string();
    eventually("it has begun something", || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        is(children.is_ok_and(|pids| !pids.is_empty()), true)
    });
    rolling.kill();
    stage.wait_until_nobody_is_at_it();
    shell(&format!("kill {pid}"));
    eventually("the shell is gone", || {
        let said = stage.run(&["--resume"]).exits(1).stderr;
        assert!(said.contains("CMD for app/a still runs: pid "), "{said}");
        let alone = !said.contains(&format!("runs: pid {pid}"));
        alone.then_some(()).ok_or(said)
    });
    shell(&format!("pkill -s {pid}"));
    stage.ends("all", "");
    stage.wait_until_no_hook_runs();
    stage.run(&["--resume"]).exits(0);
    assert_eq!(stage.turns(), "abc");
}

/// A server that CMD started, say, when CMD has ended by itself.
#[test]
fn what_one_leaves_running_when_it_ends_is_in_nobodys_way() {
    let stage = Stage::new(NO_CHECK);
    let leaves = "sleep 600 > /dev/null 2>&1 & echo $!; exit 3";
    let args = ["rolling-maintenance", "app", "--exec", leaves];
    let stopped = stage.lbd.lbctl(args).exits(8);
    stage.wait_until_nobody_is_at_it();
    stage.ends("all", "");
    let resumed = stage.run(&["--resume"]);
    let left = stopped.stdout.strip_prefix("a | ").unwrap_or_default();
    shell(&format!("kill {left}"));
    resumed.exits(0);
}

fn shell(command: &str) {
    let mut sh = Command::new("sh");
    sh.args(["-c", command]);
    Process::run(sh).exits(0);
}

#[test]
fn a_server_that_was_moved_meanwhile_is_not_the_one_that_was_maintained() {
    let mut stage = Stage::new(NO_CHECK);
    let elsewhere = Origin::start("a");
    let rolling = stage.begin(&[]);
    stage.wait_for_turns("a");
    let [a, b, c] = stage.origins.each_ref().map(|o| (o.name(), o.addr()));
    let moved = app_at(NO_CHECK, [(a.0, elsewhere.addr()), b, c]);
    stage.lbd.rewrite(moved);
    stage.lbd.reload().exits(0);
    stage.ends("a", "0");
    let (from, to) = (a.1, elsewhere.addr());
    rolling
        .wait()
        .exits(8)
        .says(&format!("a reload moved it from {from} to {to} meanwhile"))
        .says("app/a stays in maint");
    assert_eq!(stage.admins()[0], Admin::Maint);
    stage.ends("all", "");
    stage.wait_until_nobody_is_at_it();
    stage.run(&["--resume"]).exits(0);
    assert_eq!(stage.turns(), "aabc");
}

#[test]
fn a_server_that_is_gone_just_then_is_not_forgotten() {
    let mut stage = Stage::new(NO_CHECK);
    stage.ends("a", "1");
    stage.run(&[]).exits(8);
    let whole = app(NO_CHECK, &stage.origins);
    stage.lbd.rewrite(app(NO_CHECK, &stage.origins[1..]));
    stage.lbd.reload().exits(0);
    stage.ends("all", "");
    stage
        .run(&["--resume"])
        .exits(8)
        .says("app/a, at which it stopped, is not in the configuration that runs")
        .says("--resume; if it is gone for good, begin anew");
    assert_eq!(stage.turns(), "a");
    stage.lbd.rewrite(whole);
    stage.lbd.reload().exits(0);
    fs::remove_file(stage.file("a")).expect("it is there");
    stage.wait_until_nobody_is_at_it();
    stage.run(&["--resume"]).exits(0);
    assert_eq!(stage.turns(), "aabc");
    assert_eq!(stage.admins(), [Admin::Ready; 3]);
}

#[test]
fn a_server_that_comes_back_while_it_is_maintained_takes_nobody() {
    let mut stage = Stage::new(NO_CHECK);
    let whole = app(NO_CHECK, &stage.origins);
    let rolling = stage.begin(&[]);
    stage.wait_for_turns("a");
    stage.lbd.rewrite(app(NO_CHECK, &stage.origins[1..]));
    let gone = "app/a is gone in the midst of a rolling maintenance: what was set on it is kept";
    stage.lbd.reload().exits(0).says(gone);
    stage.lbd.rewrite(whole);
    stage.lbd.reload().exits(0);
    assert_eq!(stage.admins(), [Admin::Maint, Admin::Ready, Admin::Ready]);
    stage.ends("all", "");
    rolling.wait().exits(0);
    assert_eq!(stage.turns(), "abc");
    assert_eq!(stage.admins(), [Admin::Ready; 3]);
}

#[test]
fn another_that_is_gone_just_then_is_told_of() {
    let mut stage = Stage::new(NO_CHECK);
    stage.ends("a", "1");
    stage.run(&[]).exits(8);
    stage.lbd.rewrite(app(NO_CHECK, &stage.origins[..2]));
    stage.lbd.reload().exits(0);
    fs::remove_file(stage.file("a")).expect("it is there");
    stage.ends("all", "");
    stage.wait_until_nobody_is_at_it();
    stage
        .run(&["--resume"])
        .exits(0)
        .says("app/c is left out: it is not in the configuration that runs");
    assert_eq!(stage.turns(), "aab");
}

#[test]
fn what_they_write_does_not_steer_the_terminal() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let hook = r"printf '\033[31mred\033[0m\tand\033]0;title\007 plain\n'";
    let said = lbd
        .lbctl(["rolling-maintenance", "app", "--exec", hook])
        .exits(0);
    assert_eq!(said.stdout, "a | red\tand plain\nb | red\tand plain\n");
}

#[test]
fn where_nothing_can_be_written_stderr_says_how_to_go_on() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let command = ["rolling-maintenance", "app", "--exec", "exit 3", "--json"];
    let full = OpenOptions::new().write(true).open("/dev/full");
    let full = Stdio::from(full.expect("there is one"));
    let said = Process::spawn_into(lbctl::command(&lbd.socket(), command), full)
        .wait()
        .exits(8);
    said.says("stopped at app/a: CMD exited with 3")
        .says("go on with: lbctl");
}
