//! Rolling maintenance of which something is killed, whatever and at whichever step: nothing is put back
//! by itself, and all is done in the end.

use std::fs;

use lb_proto::rolling::Phase;
use lb_proto::state::{Admin, State};
use lb_tests::daemon::QUICK_CHECK;
use lb_tests::{Origin, Process, eventually, held, is};

use crate::rolling_maintenance_stops::Stage;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Lbctl,
    Lbd,
}

#[test]
fn while_its_sessions_finish() {
    each_victim(|victim| {
        let stage = Stage::new(QUICK_CHECK);
        let held = held::one_each(stage.lbd.addr(), &stage.origins);
        let rolling = stage.begin(&[]);
        let there = (Phase::Drain, Admin::Drain);
        let stage = killed(stage, rolling, victim, there, "1 session left");
        stage.origins.iter().for_each(Origin::release);
        drop(held);
        goes_on(&stage, "abc");
    });
}

#[test]
fn while_it_is_maintained() {
    each_victim(|victim| {
        let stage = Stage::new(QUICK_CHECK);
        let rolling = stage.begin(&[]);
        stage.wait_for_turns("a");
        let there = (Phase::Maint, Admin::Maint);
        let stage = killed(stage, rolling, victim, there, "CMD runs");
        goes_on(&stage, "aabc");
    });
}

#[test]
fn while_it_comes_back() {
    each_victim(|victim| {
        let mut stage = Stage::new(QUICK_CHECK);
        let rolling = stage.begin(&[]);
        stage.wait_for_turns("a");
        stage.origins[0].kill();
        stage.ends("a", "0");
        let there = (Phase::Return, Admin::Ready);
        let mut stage = killed(stage, rolling, victim, there, "ready again");
        stage.origins[0].revive();
        goes_on(&stage, "aabc");
    });
}

#[test]
fn the_hook_itself() {
    let stage = Stage::new(QUICK_CHECK);
    stage.ends("a", "0");
    let suicide = "kill -9 $$";
    let output = stage
        .lbd
        .lbctl(["rolling-maintenance", "app", "--exec", suicide]);
    output
        .exits(8)
        .says("CMD was ended by signal 9; app/a stays in maint");
    let _ = fs::remove_file(stage.file("a"));
    goes_on(&stage, "abc");
}

fn each_victim(scene: impl Fn(Victim)) {
    [Victim::Lbctl, Victim::Lbd].into_iter().for_each(scene);
}

/// Kills it once the server a is there, and `says` tells that lbctl knows; it stays there.
fn killed(
    mut stage: Stage,
    mut rolling: Process,
    victim: Victim,
    there: (Phase, Admin),
    says: &str,
) -> Stage {
    eventually(&format!("it says {says:?}"), || {
        let said = rolling.stderr.so_far();
        match said.contains(says) {
            true => Ok(()),
            false => Err(said),
        }
    });
    eventually(&format!("a is in {there:?}"), || {
        let rolling = stage.lbd.status().backends[0].rolling.clone();
        let current = rolling.and_then(|rolling| rolling.current().map(|turn| turn.phase));
        is((current, stage.admins()[0]), (Some(there.0), there.1))
    });
    match victim {
        Victim::Lbctl => rolling.kill(),
        Victim::Lbd => {
            stage.lbd.kill9();
            // A hook is waited for.
            stage.ends("a", "0");
            rolling
                .wait()
                .exits(8)
                .says("stopped at app/a")
                .says("--resume");
            stage.lbd.start_again();
        }
    }
    stage.wait_until_nobody_is_at_it();
    assert_eq!(
        stage.admins(),
        [there.1, Admin::Ready, Admin::Ready],
        "{victim:?}"
    );
    stage
}

fn goes_on(stage: &Stage, turns: &str) {
    for id in ["app/b", "app/c"] {
        stage.lbd.wait_for_state(id, State::Up);
    }
    let _ = fs::remove_file(stage.file("a"));
    stage.ends("all", "");
    stage.wait_until_no_hook_runs();
    stage.run(&["--resume"]).exits(0);
    assert_eq!(stage.turns(), turns);
    assert_eq!(stage.admins(), [Admin::Ready; 3]);
}
