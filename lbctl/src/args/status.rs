//! The arguments of `status`.

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use crate::complete::backends_and_servers;

/// Show frontends, backends and servers
///
/// Narrow terminals get fewer columns; a single server shows everything, one line each.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl status
  lbctl status app --watch
  lbctl status app/web01
  lbctl status --state down,ejected --sort errors
  lbctl status --json | jq '.backends[].servers[] | select(.state != \"up\")'")]
pub(crate) struct Status {
    /// Show only this backend or server
    #[arg(value_name = "BACKEND[/SERVER]")]
    #[arg(add = ArgValueCompleter::new(backends_and_servers))]
    pub(crate) of: Option<String>,
    /// Keep showing: redrawn on a terminal, elsewhere printed again on every change. With --json,
    /// one document a line. Ends when the daemon goes away (exit 4)
    #[arg(long, short)]
    pub(crate) watch: bool,
    /// Show only servers in these states: up, down, drain, maint or ejected; several with commas
    #[arg(
        long,
        value_name = "STATE",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub(crate) state: Vec<Only>,
    /// The order of the servers: attention, config, name, state, sessions, total, errors or weight.
    /// Without it, those that need attention come first; with --json, they come as configured
    #[arg(long, value_name = "BY", hide_possible_values = true)]
    pub(crate) sort: Option<Sort>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    Up,
    Down,
    Drain,
    Maint,
    Ejected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    Attention,
    Config,
    Name,
    State,
    Sessions,
    Total,
    Errors,
    Weight,
}
