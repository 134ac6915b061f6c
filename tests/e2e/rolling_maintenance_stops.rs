//! Rolling maintenance that does not go well: it stops, says where, and goes on from there.

use std::fs;
use std::path::PathBuf;

use lb_proto::rolling::Phase;
use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::process::Output;
use lb_tests::wire::request;
use lb_tests::{Lbd, Origin, Process, Wire, eventually, is, lbctl};
use rustix::process::Signal;

/// A daemon before three servers, and hooks that wait to be told how to end.
pub(crate) struct Stage {
    pub(crate) origins: [Origin; 3],
    pub(crate) lbd: Lbd,
}

/// Notes whose turn it is, and ends as the file `SERVER` or `all` in the folder says once it is there.
const HOOK: &str = r#"echo $LB_SERVER >> "$FOLDER/turns"
until test -e "$FOLDER/all" -o -e "$FOLDER/$LB_SERVER"; do sleep 0.02; done
if test -e "$FOLDER/$LB_SERVER"; then exit $(cat "$FOLDER/$LB_SERVER"); fi"#;

impl Stage {
    pub(crate) fn new(checks: &str) -> Self {
        let origins = Origin::start_all(["a", "b", "c"]);
        let lbd = Lbd::start(app(checks, &origins));
        Self { origins, lbd }
    }

    pub(crate) fn begin(&self, more: &[&str]) -> Process {
        let args = ["rolling-maintenance", "app", "--exec", HOOK];
        let args = args.iter().chain(more);
        let mut command = lbctl::command(&self.lbd.socket(), args);
        command.env("FOLDER", self.lbd.folder());
        Process::spawn(command)
    }

    pub(crate) fn run(&self, more: &[&str]) -> Output {
        self.begin(more).wait()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.lbd.folder().join(name)
    }

    /// A request that the first server holds until it is told otherwise.
    fn one_in_flight(&self) -> Wire {
        self.origins[0].hold("/held");
        let mut held = Wire::connect(self.lbd.addr());
        held.send(request("GET", "/held"));
        eventually("it is in flight", || is(self.origins[0].in_flight(), 1));
        held
    }

    /// Has the hooks of a server end with a code, or `all` with 0.
    pub(crate) fn ends(&self, server: &str, code: &str) {
        fs::write(self.file(server), code).expect("the folder is ours");
    }

    pub(crate) fn turns(&self) -> String {
        let turns = fs::read_to_string(self.file("turns")).unwrap_or_default();
        turns.split_whitespace().collect()
    }

    pub(crate) fn wait_for_turns(&self, turns: &str) {
        eventually("the hooks have run", || is(self.turns(), turns.to_owned()));
    }

    pub(crate) fn admins(&self) -> [Admin; 3] {
        ["app/a", "app/b", "app/c"].map(|id| self.lbd.server(id).admin)
    }

    /// The daemon hears a moment later that a client is gone.
    pub(crate) fn wait_until_nobody_is_at_it(&self) {
        eventually("nobody is at it", || {
            let rolling = self.lbd.status().backends[0].rolling.clone();
            is(rolling.map(|rolling| rolling.running), Some(false))
        });
    }

    /// One that its lbctl has left behind ends by itself.
    pub(crate) fn wait_until_no_hook_runs(&self) {
        eventually("no hook runs", || {
            let tried = self.run(&["--resume", "--dry-run"]);
            (tried.code == Some(0)).then_some(()).ok_or(tried.stderr)
        });
    }

    /// Goes on with what stopped, to its end.
    fn resumes(&self, turns: &str) {
        self.wait_until_nobody_is_at_it();
        let _ = fs::remove_file(self.file("b"));
        self.ends("all", "");
        self.wait_until_no_hook_runs();
        self.run(&["--resume"]).exits(0);
        assert_eq!(self.turns(), turns);
        assert_eq!(self.admins(), [Admin::Ready; 3]);
        assert_eq!(self.lbd.status().backends[0].rolling, None);
    }
}

const B_IS_OUT: [Admin; 3] = [Admin::Ready, Admin::Maint, Admin::Ready];

#[test]
fn a_hook_that_fails_stops_it_and_it_goes_on_with_that_hook() {
    let stage = Stage::new(QUICK_CHECK);
    stage.ends("a", "0");
    stage.ends("b", "3");
    let output = stage.run(&[]).exits(8);
    let output = output.says("stopped at app/b: CMD exited with 3; app/b stays in maint");
    let output = output.says("--resume; or put it back: lbctl ready app/b");
    output.says("done: a; to do: c");
    assert_eq!((stage.turns().as_str(), stage.admins()), ("ab", B_IS_OUT));
    // Without --resume it would be somebody's, and the maintenance forgotten half-way.
    stage.run(&[]).exits(1).says("stopped at app/b");
    assert_eq!(stage.turns(), "ab");
    stage.resumes("abbc");
    stage
        .run(&["--resume"])
        .exits(1)
        .says("no rolling maintenance of app has stopped");
}

#[test]
fn one_that_stopped_is_over_when_its_server_was_put_back() {
    let stage = Stage::new(NO_CHECK);
    stage.ends("a", "1");
    stage.run(&[]).exits(8);
    stage.lbd.lbctl(["ready", "app/a"]).exits(0);
    stage.ends("a", "0");
    stage.ends("all", "");
    stage.run(&[]).exits(0);
    assert_eq!(stage.turns(), "aabc");
}

#[test]
fn sessions_that_do_not_end_stop_it() {
    let stage = Stage::new(NO_CHECK);
    let mut held = stage.one_in_flight();
    let timeout = ["--drain-timeout", "200ms"];
    stage.run(&timeout).exits(8).says("still 1 session after");
    assert_eq!(stage.lbd.server("app/a").state, State::Maint);
    assert_eq!(stage.turns(), "");
    // Resumed, it is not maintained either while the session runs.
    stage.ends("all", "");
    stage
        .run(&["--resume", "--drain-timeout", "200ms"])
        .exits(8);
    assert_eq!(stage.turns(), "");
    let output = stage.run(&[
        "--resume",
        "--drain-timeout",
        "200ms",
        "--on-timeout",
        "maint",
    ]);
    output
        .exits(0)
        .says("app/a still has 1 session: its maintenance may cut them");
    assert_eq!(stage.turns(), "abc");
    stage.origins[0].release();
    assert_eq!(held.response().status, 200);
}

#[test]
fn a_server_that_does_not_come_back_stops_it() {
    let mut stage = Stage::new(QUICK_CHECK);
    stage.ends("a", "0");
    let rolling = stage.begin(&["--health-timeout", "3s"]);
    stage.wait_for_turns("ab");
    stage.origins[1].kill();
    stage.ends("b", "0");
    let output = rolling.wait().exits(8);
    output.says("stopped at app/b: its health is down (L4CON");
    assert_eq!(stage.admins(), B_IS_OUT);
    stage.origins[1].revive();
    stage.resumes("abbc");
}

#[test]
fn another_server_that_goes_down_meanwhile_stops_it_when_the_hook_has_ended() {
    let mut stage = Stage::new(QUICK_CHECK);
    stage.ends("a", "0");
    let mut rolling = stage.begin(&[]);
    stage.wait_for_turns("ab");
    stage.origins[2].kill();
    stage.lbd.wait_for_state("app/c", State::Down);
    assert!(rolling.is_running(), "the hook was left alone half-way");
    stage.ends("b", "0");
    rolling.wait().exits(8).says("c went down meanwhile");
    assert_eq!(stage.admins(), B_IS_OUT);
    // And does not begin again before it is back.
    stage
        .run(&["--resume", "--min-up", "2"])
        .exits(8)
        .says("--min-up wants 2");
    stage.origins[2].revive();
    stage.lbd.wait_for_state("app/c", State::Up);
    stage.resumes("abbc");
}

#[test]
fn too_few_others_stop_it_before_anything_is_changed() {
    let stage = Stage::new(NO_CHECK);
    let output = stage.run(&["--min-up", "3"]).exits(8);
    output
        .says("2 of 2 other servers are up")
        .says("app/a is ready");
    assert_eq!(stage.admins(), [Admin::Ready; 3]);
    assert_eq!(stage.turns(), "");
}

#[test]
fn ctrl_c_stops_it_while_it_drains_and_when_its_hook_has_ended() {
    let stage = Stage::new(NO_CHECK);
    let mut held = stage.one_in_flight();
    let rolling = stage.begin(&[]);
    stage.lbd.wait_for_state("app/a", State::Drain);
    rolling.signal(Signal::INT);
    rolling
        .wait()
        .exits(8)
        .says("stopped at app/a: interrupted; app/a stays in maint");
    stage.origins[0].release();
    assert_eq!(held.response().status, 200);

    let mut rolling = stage.begin(&["--resume"]);
    stage.wait_for_turns("a");
    rolling.signal(Signal::INT);
    eventually("it says that it waits", || {
        let said = rolling.stderr.so_far();
        match said.contains("it stops when CMD has ended") {
            true => Ok(()),
            false => Err(said),
        }
    });
    assert!(rolling.is_running(), "the hook was left alone half-way");
    stage.ends("a", "0");
    rolling
        .wait()
        .exits(8)
        .says("interrupted; app/a stays in maint");
    stage.resumes("aabc");
}

#[test]
fn a_second_one_on_the_backend_is_refused_until_the_first_is_gone() {
    let stage = Stage::new(NO_CHECK);
    stage.ends("a", "0");
    let mut first = stage.begin(&[]);
    stage.wait_for_turns("ab");
    for more in [&[][..], &["--resume"]] {
        let output = stage.run(more).exits(1);
        output
            .says("app is in rolling maintenance by")
            .says("now at app/b");
    }
    assert_eq!((stage.turns().as_str(), stage.admins()), ("ab", B_IS_OUT));
    let status = stage.lbd.lbctl(["status", "app"]).exits(0);
    status.says(", at b, 1 of 3 done");
    // As kill -9 leaves it: the hook goes on by itself, and the server stays out.
    first.kill();
    stage.wait_until_nobody_is_at_it();
    assert_eq!(stage.admins(), B_IS_OUT);
    stage.resumes("abbc");
}

#[test]
fn one_that_was_killed_while_it_drained_goes_on_with_that_server() {
    let stage = Stage::new(NO_CHECK);
    let mut held = stage.one_in_flight();
    let mut rolling = stage.begin(&[]);
    stage.lbd.wait_for_state("app/a", State::Drain);
    rolling.kill();
    stage.origins[0].release();
    assert_eq!(held.response().status, 200);
    stage.resumes("abc");
}

#[test]
fn it_goes_on_after_the_daemon_was_killed_and_started_again() {
    let mut stage = Stage::new(QUICK_CHECK);
    stage.ends("a", "0");
    let rolling = stage.begin(&[]);
    stage.wait_for_turns("ab");
    stage.lbd.kill9();
    stage.ends("b", "0");
    rolling
        .wait()
        .exits(8)
        .says("stopped at app/b")
        .says("--resume");
    stage.lbd.start_again();
    assert_eq!(stage.admins(), B_IS_OUT);
    let rolling = stage.lbd.status().backends[0].rolling.clone();
    let rolling = rolling.expect("it is remembered");
    let current = rolling
        .current()
        .map(|turn| (turn.server.as_str(), turn.phase));
    assert_eq!(
        (rolling.running, current),
        (false, Some(("b", Phase::Maint)))
    );
    stage.lbd.wait_for_state("app/c", State::Up);
    stage.resumes("abbc");
}

/// Whoever takes a server out has a reason, even while a maintenance is on.
#[test]
fn one_that_somebody_takes_out_before_its_turn_stays_as_it_is() {
    let stage = Stage::new(NO_CHECK);
    let rolling = stage.begin(&[]);
    stage.wait_for_turns("a");
    stage
        .lbd
        .lbctl(["maint", "app/b", "--reason", "broken disk"])
        .exits(0);
    stage.ends("all", "");
    let output = rolling.wait().exits(0);
    output.says("app/b is left out: it is in maint already");
    assert_eq!((stage.turns().as_str(), stage.admins()), ("ac", B_IS_OUT));
    let set = stage.lbd.server("app/b").overrides.admin;
    assert_eq!(
        set.and_then(|set| set.reason).as_deref(),
        Some("broken disk")
    );
}

#[test]
fn the_server_at_which_it_stopped_may_be_somebodys_by_then() {
    let stage = Stage::new(NO_CHECK);
    stage.ends("a", "1");
    stage.run(&[]).exits(8);
    stage.lbd.lbctl(["ready", "app/a"]).exits(0);
    stage
        .lbd
        .lbctl(["maint", "app/a", "--reason", "broken disk"])
        .exits(0);
    stage.ends("all", "");
    stage.run(&["--resume"]).exits(0).says("app/a is left out");
    assert_eq!(stage.turns(), "abc");
    assert_eq!(stage.lbd.server("app/a").admin, Admin::Maint);
}

#[test]
fn a_server_that_somebody_sets_while_it_is_maintained_is_theirs() {
    for verb in ["ready", "maint", "drain"] {
        let stage = Stage::new(NO_CHECK);
        let rolling = stage.begin(&[]);
        stage.wait_for_turns("a");
        stage
            .lbd
            .lbctl([verb, "app/a", "--reason", "mine"])
            .exits(0);
        stage.ends("all", "");
        let output = rolling.wait().exits(8);
        output.says(&format!("someone else set it to {verb}"));
        assert_eq!(stage.lbd.server("app/a").admin.as_str(), verb);
    }
}

#[test]
fn a_dry_run_says_what_stands_in_the_way() {
    let stage = Stage::new(NO_CHECK);
    stage.ends("a", "1");
    stage.run(&[]).exits(8);
    stage
        .run(&["--dry-run"])
        .exits(1)
        .says("stopped at app/a, which is still out");
    stage
        .run(&["--dry-run", "--resume"])
        .exits(0)
        .says("app/a: drain");
}

#[test]
fn a_server_that_somebody_else_sets_meanwhile_is_theirs() {
    let stage = Stage::new(NO_CHECK);
    let mut held = stage.one_in_flight();
    let rolling = stage.begin(&[]);
    stage.lbd.wait_for_state("app/a", State::Drain);
    stage.lbd.lbctl(["ready", "app/a"]).exits(0);
    rolling
        .wait()
        .exits(8)
        .says("someone else set it to ready; app/a is ready");
    stage.origins[0].release();
    assert_eq!(held.response().status, 200);
    assert_eq!(stage.admins(), [Admin::Ready; 3]);
}
