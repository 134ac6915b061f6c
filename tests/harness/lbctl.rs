//! `lbctl` as its users run it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::programs;

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
        .env_remove("RENEWED_LINEAGE")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env("COLUMNS", "120");
    command
}
