//! The arguments of `plan`, `reload`, `confirm` and `rollback`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::duration;

/// Show what a reload would change, and which sessions it would touch
///
/// Changes nothing, and exits 0 also where nothing would change. An invalid file exits 3.
#[derive(Debug, Args)]
#[command(after_help = "\
Signs: + added, - removed, ~ changed, > moved.

Examples:
  lbctl plan
  lbctl plan ./lbd.toml
  lbctl plan --json | jq '.changes[] | select(.sessions > 0)'")]
pub(crate) struct Plan {
    /// Another file, to be judged by the daemon in place of its own
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
}

/// Read the configuration file again and swap it in
///
/// Prints what changes, as plan does. An invalid file changes nothing: its problems are printed and
/// the running configuration stays (exit 3). Running sessions are not touched either way. Returns
/// at once; what is on trial is the daemon's to watch.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl plan && lbctl reload
  lbctl reload --confirm-within 2m
  lbctl reload --rollback-if-down")]
pub(crate) struct Reload {
    /// The former configuration comes back after this time, unless `lbctl confirm` comes before
    #[arg(long, value_name = "DURATION", value_parser = duration::confirm_within)]
    pub(crate) confirm_within: Option<Duration>,
    /// The former configuration comes back where checks leave a backend without a server, for as
    /// long as they may take to find out
    #[arg(long)]
    pub(crate) rollback_if_down: bool,
}

/// Keep the configuration that a reload put on trial
///
/// Where nothing is on trial, or it went back by itself meanwhile, it says so (exit 1).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl reload --confirm-within 2m && curl -f https://example.com/ && lbctl confirm")]
pub(crate) struct Confirm {}

/// Go back to the configuration before this one
///
/// One on trial goes at once. The last ten are kept, in state_dir; each rollback goes one further
/// back. The file is not touched: put it right before the next reload.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl rollback --list
  lbctl rollback && lbctl plan")]
pub(crate) struct Rollback {
    /// Show which are kept, what runs and where a rollback leads, and change nothing
    #[arg(long)]
    pub(crate) list: bool,
}
