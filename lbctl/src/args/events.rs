//! The arguments of `events`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::duration;

/// Show what happened lately, and what happens
///
/// States and weights that change, configurations that are loaded, with who or what did it and why.
/// Goes on until Ctrl-C, or until the daemon goes away (exit 4). With --json, a document a line.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl events
  lbctl events --since 10m --no-follow
  lbctl events --audit --since 2026-11-27T18:00:00Z")]
pub(crate) struct Events {
    /// Nothing older: a duration before now, or a time as in 2026-11-27T18:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub(crate) since: Option<Since>,
    /// Only what is kept: end instead of waiting for more
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// What somebody asked for, with uid, pid, user, reason and outcome: refused and failed changes
    /// too. Kept in state_dir/audit.jsonl, restarts included
    #[arg(long)]
    pub(crate) audit: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Since {
    Time(Timestamp),
    Ago(Duration),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(time) = text.parse() {
        return Ok(Since::Time(time));
    }
    let wrong = |why| format!("{why}; or write a time as in 2026-11-27T18:00:00Z");
    duration::parse(text).map(Since::Ago).map_err(wrong)
}
