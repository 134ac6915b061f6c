//! `lbctl hash-password`: from a terminal or a pipe to what `[[admin.users]]` takes.

use lb_proto::password::Hash;
use lb_tests::process::Output;
use lb_tests::terminal::OnTerminal;
use lb_tests::{Process, eventually, is, lbctl};
use rustix::process::Signal;

fn piped(input: &[u8], flags: &[&str]) -> Output {
    let mut command = lbctl::bare();
    command.arg("hash-password").args(flags);
    Process::fed(input, command)
}

fn hash(text: &str) -> Hash {
    text.trim()
        .parse()
        .unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_line_of_a_pipe_is_hashed() {
    for input in [
        &b"correct horse\n"[..],
        b"correct horse",
        b"correct horse\r\nmore\n",
    ] {
        let output = piped(input, &[]).exits(0);
        assert!(hash(&output.stdout).fits("correct horse"));
        assert_eq!(output.stderr, "");
    }
    let json = piped("größe\n".as_bytes(), &["--json"]).exits(0).json();
    let printed = json["password_hash"].as_str().expect("a text");
    assert!(hash(printed).fits("größe"));
}

#[test]
fn what_is_no_password_is_refused() {
    let long = "a".repeat(2000);
    for (input, says) in [
        (&b""[..], "the password is empty"),
        (b"\n", "the password is empty"),
        (long.as_bytes(), "longer than"),
        (b"a\x07b\n", "control characters"),
        (b"\xff\n", "UTF-8"),
    ] {
        let output = piped(input, &[]).exits(1);
        assert!(output.stderr.contains(says), "{output:?}");
        assert_eq!(output.stdout, "");
    }
    assert_eq!(
        piped(b"", &["--json"]).exits(1).json()["error"]["code"],
        "failed"
    );
}

fn on_terminal() -> OnTerminal {
    let mut command = lbctl::bare();
    command.arg("hash-password");
    OnTerminal::spawn(command)
}

#[test]
fn a_terminal_asks_twice_and_shows_nothing() {
    let mut terminal = on_terminal();
    terminal.shows("Password: ");
    terminal.types("correct horse\n");
    terminal.shows("The same again: ");
    terminal.types("correct horse\n");
    let (code, screen) = terminal.wait();
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains("horse"), "{screen}");
    let printed = screen.lines().last().expect("a hash");
    assert!(hash(printed).fits("correct horse"));
}

#[test]
fn a_terminal_refuses_two_that_differ_and_an_empty_one() {
    let mut terminal = on_terminal();
    terminal.shows("Password: ");
    terminal.types("one\n");
    terminal.shows("The same again: ");
    terminal.types("other\n");
    let (code, screen) = terminal.wait();
    assert_eq!(code, Some(1));
    assert!(screen.contains("the two passwords differ"), "{screen}");

    let mut terminal = on_terminal();
    terminal.shows("Password: ");
    terminal.types("\n");
    let (code, screen) = terminal.wait();
    assert_eq!(code, Some(1));
    assert!(screen.contains("the password is empty"), "{screen}");
}

#[test]
fn whatever_ends_it_leaves_a_terminal_that_echoes() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let terminal = on_terminal();
        terminal.shows("Password: ");
        assert!(!terminal.echoes());
        terminal.signal(signal);
        eventually("the terminal echoes", || is(terminal.echoes(), true));
        assert_eq!(terminal.wait().0, Some(130), "{signal:?}");
    }
}
