//! What every command does with its input, output and talk, as scripts have them.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use lb_tests::process::Output;
use lb_tests::{Process, lbctl};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::two_servers;
use crate::walk::walk;

fn command(socket: &Path, line: &str, flags: &[&str]) -> Command {
    lbctl::command(socket, line.split_whitespace().chain(flags.iter().copied()))
}

/// A pipe whose other end is held by nobody else.
fn pipe() -> (Stdio, File) {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe can be made");
    (reader.into(), writer.into())
}

/// A pipe whose reader has left.
fn left() -> Stdio {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe can be made");
    drop(reader);
    writer.into()
}

#[track_caller]
fn ends(line: &str, said: &Output, code: Option<i32>) {
    // What is the machine's to say is a success or a failure, never a signal or a panic.
    let fine = match code {
        Some(code) => said.code == Some(code),
        None => matches!(said.code, Some(0 | 1)),
    };
    assert!(fine, "lbctl {line} is to end with {code:?}: {said:#?}");
}

#[test]
fn quiet_is_quiet_and_nothing_is_read_from_a_pipe_that_never_ends() {
    walk(&mut |socket, line, code| {
        let (stdin, _held_open) = pipe();
        let said = Process::spawn_from(stdin, command(socket, line, &["--quiet"])).wait();
        ends(line, &said, code);
        // `doctor` tells what it found as data, whatever that is.
        let silent = code.is_none_or(|code| code == 0);
        assert_eq!(said.stderr.is_empty(), silent, "lbctl {line}: {said:#?}");
    });
}

#[test]
fn a_reader_who_left_is_no_failure_and_no_input_is_needed() {
    walk(&mut |socket, line, code| {
        let program = command(socket, line, &["--json", "--quiet"]);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "exec \"$@\" <&-", "sh"])
            .arg(program.get_program())
            .args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let said = Process::spawn_into(shell, left()).wait();
        ends(line, &said, code);
        assert_eq!(said.stderr, "", "lbctl {line}");
    });
}

#[test]
fn text_has_readers_who_leave_too() {
    let (_origins, lbd) = two_servers();
    let validate = format!("validate {}", lbd.config_file().display());
    let goes_on = [
        "events",
        "events --json",
        "status --watch",
        "status --watch --json",
    ];
    let ends_anyway = [
        "status",
        "status app/web01",
        "explain app/web01",
        "plan",
        "events --no-follow",
        "doctor",
        "completions zsh",
        "--help",
        "drain --help",
        "--version",
        validate.as_str(),
    ];
    for line in goes_on.into_iter().chain(ends_anyway) {
        let said = Process::spawn_into(command(&lbd.socket(), line, &["--quiet"]), left()).wait();
        ends(line, &said, Some(0));
        assert_eq!(said.stderr, "", "lbctl {line}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_a_failure() {
    let (_origins, lbd) = two_servers();
    let full = File::options().write(true).open("/dev/full");
    let full = full.expect("every Linux has it");
    Process::spawn_into(command(&lbd.socket(), "status", &[]), full.into())
        .wait()
        .exits(1)
        .says("cannot write to standard output");
}

/// A path is bytes, and a document is text.
#[test]
fn paths_that_are_no_text_are_told_all_the_same() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let (_origins, lbd) = two_servers();
    let folder = lbd.folder().join(OsStr::from_bytes(b"caf\xe9"));
    let run = |verb: &str, path: &Path| {
        let mut command = lbctl::bare();
        command.arg(verb).arg(path).arg("--json");
        Process::run(command).exits(0).json()
    };
    assert_eq!(run("man", &folder)["pages"][0], "lbctl.1");
    let file = folder.join("lbd.toml");
    std::fs::copy(lbd.config_file(), &file).expect("the folder was made");
    assert_eq!(run("validate", &file)["valid"], true);
}
