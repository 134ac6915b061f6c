//! Completion as people have it: bash, zsh and fish on a terminal, with the scripts that are checked
//! in, loaded as the README says.

use std::process::Command;

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::terminal::OnTerminal;
use lb_tests::{Lbd, Origin, programs};
use tempfile::TempDir;

use crate::program::path_with_ours;

/// A Tab after the beginning of a server's name writes the rest of it, with what parts words in bash before
/// it and in it.
#[track_caller]
fn completes(shell: &str, flags: &[&str], setup: &str) {
    for typed in [
        "lbctl explain app/w",
        "lbctl --socket=lbd.sock explain app/web:0",
    ] {
        completes_line(shell, flags, setup, typed);
    }
}

#[track_caller]
fn completes_line(shell: &str, flags: &[&str], setup: &str, typed: &str) {
    let origins = Origin::start_all(["web:01"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let home = TempDir::new().expect("a folder can be made");
    // A shell wants its terminal to be its own.
    let mut command = Command::new("setsid");
    command
        .args(["--ctty", shell])
        .args(flags)
        .current_dir(lbd.folder())
        .env("HOME", home.path())
        .env("PATH", path_with_ours())
        .env("LBCTL_SOCKET", lbd.socket());
    let mut terminal = OnTerminal::spawn(command);
    let scripts = programs::workspace().join("completions");
    let setup = setup.replace("SCRIPTS", &scripts.display().to_string());
    // In two halves, so that what is typed is not taken for what is said.
    terminal.types(&format!("{setup}; echo load''ed\n"));
    terminal.shows("loaded");
    terminal.types(&format!("{typed}\t"));
    terminal.shows("app/web:01");
    terminal.types("\n");
    terminal.shows("share ");
    terminal.types("exit\n");
    let (code, screen) = terminal.wait();
    assert_eq!(code, Some(0), "{screen}");
}

#[test]
#[ignore = "needs bash"]
fn bash_completes_a_live_name() {
    completes("bash", &["--norc", "-i"], "source SCRIPTS/lbctl.bash");
}

#[test]
#[ignore = "needs zsh"]
fn zsh_completes_a_live_name() {
    completes(
        "zsh",
        &["-f", "-i"],
        "fpath=(SCRIPTS $fpath); autoload -Uz compinit; compinit -u",
    );
}

#[test]
#[ignore = "needs fish"]
fn fish_completes_a_live_name() {
    completes("fish", &["--no-config", "-i"], "source SCRIPTS/lbctl.fish");
}
