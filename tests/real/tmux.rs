//! What a person sees in a terminal: `drain` and `rolling-maintenance` in tmux, its panes captured.

use std::process::{Command, Stdio};

use lb_proto::state::State;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::request;
use lb_tests::{Lbd, Origin, Process, Wire, eventually, is, programs};
use tempfile::TempDir;

/// A terminal of 80 columns and 12 rows with a shell in it.
struct Screen {
    folder: TempDir,
}

impl Screen {
    fn open(lbd: &Lbd) -> Self {
        let screen = Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
        };
        let mut shell = screen.tmux(&["new-session", "-d", "-s", "t", "-x", "80", "-y", "12"]);
        shell.args(["env", "PS1=$ ", "sh", "-i"]);
        let path = programs::lbctl()
            .parent()
            .expect("it is in a folder")
            .to_owned();
        shell
            .env("LBCTL_SOCKET", lbd.socket())
            .env("PATH", format!("{}:/usr/bin:/bin", path.display()))
            .env_remove("ENV");
        // Its server stays, and would hold a pipe open.
        shell.stdout(Stdio::null()).stderr(Stdio::null());
        let opened = shell.status().expect("it is installed");
        assert!(opened.success(), "tmux: {opened}");
        screen
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-f").arg("/dev/null").arg("-S");
        command.arg(self.folder.path().join("tmux")).args(args);
        command
    }

    fn types(&self, keys: &[&str]) {
        Process::run(self.tmux(&[&["send-keys", "-t", "t"], keys].concat())).exits(0);
    }

    /// Empties it, so that nothing is taken for what comes next, and waits until it is so.
    fn clear(&self) {
        self.types(&["clear", "Enter"]);
        eventually("the screen is empty", || is(self.captured().trim(), "$"));
    }

    fn captured(&self) -> String {
        let captured = Process::run(self.tmux(&["capture-pane", "-p", "-t", "t"]));
        captured.exits(0).stdout
    }

    /// Waits until each of these begins a line of it.
    #[track_caller]
    fn shows(&self, wanted: &[&str]) {
        eventually(&format!("the screen shows {wanted:?}"), || {
            let captured = self.captured();
            let shown = |start: &&str| captured.lines().any(|line| line.starts_with(start));
            match wanted.iter().all(shown) {
                true => Ok(()),
                false => Err(captured),
            }
        });
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

/// As many requests in flight, which end when their origin is told so.
fn hold(lbd: &Lbd, origins: &[Origin], many: u64) -> Vec<Wire> {
    origins.iter().for_each(|origin| origin.hold("/held"));
    let held = (0..many).map(|_| {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(request("GET", "/held"));
        wire
    });
    let held = held.collect();
    eventually("they are in flight", || {
        is(origins.iter().map(Origin::in_flight).sum(), many)
    });
    held
}

#[test]
#[ignore = "needs tmux"]
fn a_drain_draws_its_bar_and_leaves_a_line() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let mut held = hold(&lbd, std::slice::from_ref(&origin), 2);
    let screen = Screen::open(&lbd);
    screen.types(&["lbctl drain app/a --timeout 90s", "Enter"]);
    lbd.wait_for_state("app/a", State::Drain);
    screen.shows(&["app/a  [--------------------] 2 of 2 sessions left, "]);
    held.pop();
    eventually("one is over", || is(lbd.server("app/a").sessions, 1));
    screen.shows(&["app/a  [##########----------] 1 of 2 sessions left, "]);
    origin.release();
    screen.shows(&["app/a is drained: no sessions left after "]);
    screen.types(&["echo code $?", "Enter"]);
    screen.shows(&["code 0"]);
}

#[test]
#[ignore = "needs tmux"]
fn a_rolling_maintenance_is_overseen_in_place() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let _held = hold(&lbd, &origins, 3);
    let screen = Screen::open(&lbd);
    screen.clear();
    screen.types(&["lbctl rolling app", "Enter"]);
    lbd.wait_for_state("app/a", State::Drain);
    screen.shows(&["app/b  to do", "app/c  to do"]);
    origins.iter().for_each(Origin::release);
    let asks = |id: &str| format!("{id}  is drained and in maint; Enter when done, Ctrl-C to stop");
    screen.shows(&[&asks("app/a"), "app/b  to do", "app/c  to do"]);
    screen.types(&["Enter"]);
    screen.shows(&[&asks("app/b"), "app/c  to do"]);
    screen.types(&["C-c"]);
    screen.shows(&[
        &asks("app/b"),
        "app/c  to do",
        "error: stopped at app/b: interrupted; app/b stays in maint",
    ]);
    screen.clear();
    screen.types(&["lbctl rolling app --resume", "Enter"]);
    screen.shows(&[&asks("app/b"), "app/c  to do"]);
    screen.types(&["Enter"]);
    screen.shows(&[&asks("app/c")]);
    screen.types(&["Enter"]);
    screen.shows(&["app: 2 servers maintained in "]);
    screen.types(&["echo code $?", "Enter"]);
    screen.shows(&["code 0"]);
}
