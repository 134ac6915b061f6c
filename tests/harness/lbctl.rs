//! `lbctl` as its users run it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::{Process, programs};

/// The command `lbctl ARGS`, for the daemon at `socket`.
pub fn command<A: AsRef<OsStr>>(socket: &Path, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = bare();
    command.env("LBCTL_SOCKET", socket).args(args);
    command
}

/// The command `lbctl`, told nothing: no variable of the caller's environment that it minds reaches
/// it.
pub fn bare() -> Command {
    let mut command = Command::new(programs::lbctl());
    command
        .env_remove("LBCTL_SOCKET")
        .env_remove("LBCTL_HOSTS")
        .env_remove("RENEWED_LINEAGE")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env("COLUMNS", "120");
    command
}

/// Every command that `lbctl --help` lists, in its words: `["drain"]`, `["cert", "list"]`. Of one
/// that has verbs of its own, those.
pub fn verbs() -> Vec<Vec<String>> {
    below(&[])
}

fn below(path: &[String]) -> Vec<Vec<String>> {
    let text = help(path);
    let Some((_, list)) = text.split_once("\nCommands:\n") else {
        return vec![path.to_vec()];
    };
    let verbs = list
        .lines()
        .take_while(|line| !line.is_empty())
        // What stands deeper is the rest of a line before it.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    verbs
        .flat_map(|verb| below(&[path, &[verb.to_owned()]].concat()))
        .collect()
}

/// What `--help` says of a command.
pub fn help(path: &[String]) -> String {
    let mut command = bare();
    command.args(path).arg("--help");
    Process::run(command).exits(0).stdout
}
