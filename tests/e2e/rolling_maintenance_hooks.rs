//! The hooks of rolling maintenance: what they write, what is left of them, and what they maintained.

use std::fs::OpenOptions;
use std::process::Stdio;

use lb_proto::state::Admin;
use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::{Lbd, Origin, Process, lbctl};

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
                "`kill {pid}`; then go on with: lbctl rolling-maintenance app"
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
