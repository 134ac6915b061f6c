//! What `lbctl` shows while it waits: a bar on a terminal, plain lines elsewhere; and how it is
//! interrupted.

use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::terminal::OnTerminal;
use lb_tests::wire::request;
use lb_tests::{Lbd, Origin, Process, Wire, eventually, is, lbctl};
use rustix::process::Signal;

/// A server with a request in flight, and the daemon before it.
fn busy() -> (Origin, Lbd, Wire) {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    origin.hold("/held");
    let mut held = Wire::connect(lbd.addr());
    held.send(request("GET", "/held"));
    eventually("it is in flight", || is(origin.in_flight(), 1));
    (origin, lbd, held)
}

#[test]
fn a_drain_draws_a_bar_on_a_terminal() {
    let (origin, lbd, mut held) = busy();
    let drain = OnTerminal::spawn(lbctl::command(&lbd.socket(), ["drain", "app/a"]));
    lbd.wait_for_state("app/a", State::Drain);
    origin.release();
    assert_eq!(held.response().status, 200);
    let (code, screen) = drain.wait();
    assert_eq!(code, Some(0), "{screen:?}");
    assert!(screen.contains("\x1b["), "nothing is drawn: {screen:?}");
    assert!(screen.contains("app/a"), "{screen:?}");
}

#[test]
fn a_drain_draws_nothing_elsewhere() {
    let (origin, lbd, _held) = busy();
    let drain = lbd.lbctl_in_background(["drain", "app/a"]);
    lbd.wait_for_state("app/a", State::Drain);
    origin.release();
    let output = drain.wait().exits(0);
    for said in [&output.stdout, &output.stderr] {
        assert!(
            !said.contains('\x1b') && !said.contains('\r'),
            "{output:#?}"
        );
    }
}

#[test]
fn colour_is_where_it_was_asked_for() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let status = |more: &[&str]| {
        let mut command = lbctl::command(&lbd.socket(), ["status"]);
        command.args(more);
        command
    };
    let coloured = |command| {
        let (code, screen) = OnTerminal::spawn(command).wait();
        assert_eq!(code, Some(0), "{screen:?}");
        screen.contains("\x1b[")
    };
    assert!(coloured(status(&[])), "none on a terminal");
    assert!(
        !coloured(status(&["--color", "never"])),
        "--color never has some"
    );
    let mut without = status(&[]);
    without.env("NO_COLOR", "1");
    assert!(!coloured(without), "NO_COLOR has some");
    let mut dumb = status(&[]);
    dumb.env("TERM", "dumb");
    assert!(!coloured(dumb), "a dumb terminal has some");
    let mut asked = status(&["--color", "always"]);
    asked.env("NO_COLOR", "1").env("TERM", "dumb");
    assert!(coloured(asked), "--color always has none");
    let plain = lbd.lbctl(["status"]).exits(0);
    assert!(!plain.stdout.contains('\x1b'), "{}", plain.stdout);
    let always = lbd.lbctl(["--color", "always", "status"]).exits(0);
    assert!(always.stdout.contains("\x1b["), "{}", always.stdout);
}

#[test]
fn help_and_wrong_usage_are_coloured_as_all_else() {
    let coloured = |args: &[&str], variable: (&str, &str)| {
        let mut command = lbctl::bare();
        // Of a terminal in a CI system, clap alone believes that it has colours whatever TERM says.
        command
            .args(args)
            .env(variable.0, variable.1)
            .env("CI", "1");
        OnTerminal::spawn(command).wait().1.contains("\x1b[")
    };
    const NONE: (&str, &str) = ("NO_COLOR", "");
    for wrong in [&["drain", "--help"][..], &["drain"], &["dance"]] {
        let with = |color: &[&'static str]| [wrong, color].concat();
        assert!(coloured(wrong, NONE), "{wrong:?}: none on a terminal");
        assert!(!coloured(wrong, ("NO_COLOR", "1")), "{wrong:?}");
        assert!(!coloured(wrong, ("TERM", "dumb")), "{wrong:?}");
        assert!(!coloured(&with(&["--color", "never"]), NONE), "{wrong:?}");
        assert!(!coloured(&with(&["--color=never"]), NONE), "{wrong:?}");
    }
}

#[test]
fn a_terminal_without_a_cursor_gets_lines() {
    let (origin, lbd, _held) = busy();
    let mut command = lbctl::command(&lbd.socket(), ["drain", "app/a"]);
    command.env("TERM", "dumb");
    let drain = OnTerminal::spawn(command);
    drain.shows("app/a: 1 of 1 session left");
    origin.release();
    let (code, screen) = drain.wait();
    assert_eq!(code, Some(0), "{screen:?}");
    assert!(!screen.contains('\x1b'), "{screen:?}");
}

#[test]
fn an_interrupted_drain_leaves_the_server_drained() {
    let (_origin, lbd, _held) = busy();
    for on_terminal in [false, true] {
        let command = lbctl::command(&lbd.socket(), ["drain", "app/a"]);
        // Once it waits, it takes the signal, also where it began with it ignored.
        let waits = "1 of 1 session left";
        let code = if on_terminal {
            let drain = OnTerminal::spawn(command);
            drain.shows(waits);
            drain.signal(Signal::INT);
            drain.wait().0
        } else {
            let drain = Process::spawn(command);
            eventually("it waits", || {
                let said = drain.stderr.so_far();
                said.contains(waits).then_some(()).ok_or(said)
            });
            drain.signal(Signal::INT);
            drain.wait().code
        };
        assert_eq!(code, Some(130));
        assert_eq!(lbd.server("app/a").admin, Admin::Drain);
    }
}

#[test]
fn watch_prints_a_line_of_json_for_every_change() {
    let origin = Origin::start("a");
    let mut lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let watch = lbd.lbctl_in_background(["status", "app/a", "--watch", "--json"]);
    let states = || -> Vec<String> {
        let said = watch.stdout.so_far();
        let lines = said.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
            let state = &line["backends"][0]["servers"][0]["state"];
            state.as_str().expect("a state").to_owned()
        });
        lines.collect()
    };
    let last_is = |wanted: &str| {
        eventually(&format!("the last line says {wanted}"), || {
            is(states().last().map(String::as_str), Some(wanted))
        });
    };
    last_is("up");
    lbd.lbctl(["drain", "app/a"]).exits(0);
    last_is("drain");
    lbd.lbctl(["maint", "app/a"]).exits(0);
    last_is("maint");
    lbd.stop();
    watch.wait().exits(4);
}
