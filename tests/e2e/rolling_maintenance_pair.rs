//! A rolling maintenance of two nodes: one hook for each server, while both keep their clients away.

use std::fs;
use std::process::Command;

use lb_proto::state::Admin;
use lb_tests::daemon::{QUICK_CHECK, app, app_at};
use lb_tests::origin::Health;
use lb_tests::{Lbd, Load, Origin, Process, Setup, eventually, held, is, lbctl, programs};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::hosts::Away;

struct Pair {
    origins: [Origin; 2],
    nodes: [Lbd; 2],
    away: Away,
    folder: TempDir,
}

impl Pair {
    fn start() -> Self {
        let origins = Origin::start_all(["a", "b"]);
        let nodes = [(); 2].map(|()| Setup::new(app(QUICK_CHECK, &origins)).start());
        for node in &nodes {
            node.wait_until_healthy("app/a");
            node.wait_until_healthy("app/b");
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self {
            origins,
            nodes,
            away: Away::new(),
            folder,
        }
    }

    fn host(&self, at: usize) -> String {
        format!("ssh://lb{}{}", at + 1, self.nodes[at].socket().display())
    }

    /// `lbctl --host … --host … rolling-maintenance app ARGS`
    fn rolling(&self, args: &[&str]) -> Command {
        let mut command = lbctl::bare();
        command
            .args(["--host", &self.host(0), "--host", &self.host(1)])
            .args(["rolling-maintenance", "app"])
            .args(args)
            .env("FOLDER", self.folder.path())
            .env("LBCTL", programs::lbctl())
            .env("LB1", self.nodes[0].socket())
            .env("LB2", self.nodes[1].socket());
        self.away.set(&mut command);
        command
    }

    fn admin(&self, server: &str) -> [Admin; 2] {
        self.nodes.each_ref().map(|node| node.server(server).admin)
    }

    /// Nobody remembers one.
    #[track_caller]
    fn is_over(&self) {
        for node in &self.nodes {
            assert_eq!(node.status().backends[0].rolling, None);
        }
    }
}

/// Fails unless both nodes have the server in maint, and says whose turn it was.
const HOOK: &str = r#"
for socket in "$LB1" "$LB2"; do
  "$LBCTL" --socket "$socket" status app/$LB_SERVER --json | grep -q '"admin":"maint"' || exit 9
done
echo at $LB_SERVER"#;

#[test]
fn each_server_is_maintained_once_while_both_nodes_have_it_out() {
    let pair = Pair::start();
    let loads = pair
        .nodes
        .each_ref()
        .map(|node| Load::on(node.addr()).start());
    let output = Process::run(pair.rolling(&["--exec", HOOK])).exits(0);
    assert_eq!(output.stdout, "a | at a\nb | at b\n");
    for load in loads {
        load.go_on_for(20);
        load.stop().assert_clean();
    }
    for server in ["app/a", "app/b"] {
        assert_eq!(pair.admin(server), [Admin::Ready; 2]);
    }
    pair.is_over();
}

#[test]
fn the_sessions_of_both_are_waited_for() {
    let pair = Pair::start();
    let held = held::one_each(pair.nodes[1].addr(), &pair.origins);
    let rolling = Process::spawn(pair.rolling(&["--exec", HOOK]));
    eventually("it waits for the session of the other node", || {
        let said = rolling.stderr.so_far();
        let waits = said.contains("1 of 1 session left");
        waits.then_some(()).ok_or(said)
    });
    assert_eq!(pair.admin("app/a"), [Admin::Drain; 2]);
    pair.origins.iter().for_each(Origin::release);
    rolling.wait().exits(0);
    drop(held);
    pair.is_over();
}

#[test]
fn nodes_that_know_a_server_by_other_addresses_are_refused() {
    let mut pair = Pair::start();
    let [a, b] = pair.origins.each_ref().map(Origin::addr);
    let swapped = app_at(QUICK_CHECK, [("a", b), ("b", a)]);
    pair.nodes[1].rewrite(swapped);
    pair.nodes[1].reload().exits(0);
    let refused = Process::run(pair.rolling(&["--exec", HOOK])).exits(1);
    refused.says(&format!("here app/a is at {b}, on the first node at {a}"));
    assert_eq!(pair.admin("app/a"), [Admin::Ready; 2]);
    pair.is_over();
}

#[test]
fn a_server_that_one_node_moves_meanwhile_stops_it() {
    let mut pair = Pair::start();
    let waits = "touch \"$FOLDER/begun\"; until test -e \"$FOLDER/go\"; do sleep 0.02; done";
    let rolling = Process::spawn(pair.rolling(&["--exec", waits]));
    let begun = pair.folder.path().join("begun");
    eventually("CMD runs", || is(begun.exists(), true));
    let [a, b] = pair.origins.each_ref().map(Origin::addr);
    pair.nodes[1].rewrite(app_at(QUICK_CHECK, [("a", b), ("b", a)]));
    pair.nodes[1].reload().exits(0);
    fs::write(pair.folder.path().join("go"), "").expect("the folder is ours");
    let stopped = rolling.wait().exits(8);
    stopped.says(&format!("here app/a is at {b}, on the first node at {a}"));
    assert_eq!(pair.admin("app/a"), [Admin::Maint; 2]);
}

#[test]
fn what_somebody_took_out_on_one_node_is_left_out_on_both() {
    let pair = Pair::start();
    pair.nodes[1].lbctl(["maint", "app/b"]).exits(0);
    let output = Process::run(pair.rolling(&["--exec", HOOK, "--min-up", "0"])).exits(0);
    assert_eq!(output.stdout, "a | at a\n");
    output.says("app/b is left out: it is in maint already");
    assert_eq!(pair.admin("app/b"), [Admin::Ready, Admin::Maint]);
}

/// Killed while CMD runs, and gone on with: both nodes keep the server out, and it has its turn once more.
#[test]
fn a_killed_one_is_gone_on_with_on_both() {
    let pair = Pair::start();
    let blocks = "touch \"$FOLDER/begun\"; exec sleep 600";
    let rolling = Process::spawn(pair.rolling(&["--exec", blocks]));
    let begun = pair.folder.path().join("begun");
    eventually("CMD runs", || is(begun.exists(), true));
    let hook = pair.nodes[0].status().backends[0].rolling.clone();
    let hook = hook.and_then(|rolling| rolling.hook).expect("it is noted");
    rolling.signal(Signal::KILL);
    rolling.wait();
    assert_eq!(pair.admin("app/a"), [Admin::Maint; 2]);
    // One of the nodes is killed, too, and forgets nothing.
    let Pair {
        origins,
        nodes: [first, mut second],
        away,
        folder,
    } = pair;
    second.kill9();
    second.start_again();
    let pair = Pair {
        origins,
        nodes: [first, second],
        away,
        folder,
    };
    let refused = Process::run(pair.rolling(&["--exec", HOOK, "--resume"])).exits(1);
    refused.says("still runs");
    let pid = rustix::process::Pid::from_raw(hook.pid.cast_signed()).expect("it is one");
    rustix::process::kill_process(pid, Signal::KILL).expect("it is ours");
    eventually("CMD has ended", || {
        let output = Process::run(pair.rolling(&["--exec", HOOK, "--resume"]));
        (output.code == Some(0)).then_some(()).ok_or(output.stderr)
    });
    for server in ["app/a", "app/b"] {
        assert_eq!(pair.admin(server), [Admin::Ready; 2]);
    }
    pair.is_over();
}

#[test]
fn it_stops_where_a_server_goes_down_for_one_node_and_says_how_to_go_on() {
    let pair = Pair::start();
    let hook = "echo 1 > \"$FOLDER/begun\"; cat \"$FOLDER/go\" > /dev/null; true";
    let go = pair.folder.path().join("go");
    Process::run({
        let mut mkfifo = Command::new("mkfifo");
        mkfifo.arg(&go);
        mkfifo
    })
    .exits(0);
    let rolling = Process::spawn(pair.rolling(&["--exec", hook]));
    let begun = pair.folder.path().join("begun");
    eventually("CMD runs", || is(begun.exists(), true));
    pair.origins[1].set_health(Health::Status(500));
    pair.nodes[1].wait_for_state("app/b", lb_proto::state::State::Down);
    fs::write(&go, "on").expect("CMD reads it");
    let stopped = rolling.wait().exits(8);
    let both = format!("--host {} --host {}", pair.host(0), pair.host(1));
    assert!(
        stopped.stderr.contains("b went down meanwhile")
            && stopped
                .stderr
                .contains(&format!("lbctl {both} rolling-maintenance app"))
            && stopped
                .stderr
                .contains(&format!("lbctl {both} ready app/a")),
        "{stopped:?}"
    );
    assert_eq!(pair.admin("app/a"), [Admin::Maint; 2]);
}
