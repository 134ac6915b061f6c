//! `rolling-maintenance` on the command line.

use std::time::Duration;

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use lb_proto::name::BackendName;

use super::Why;
use crate::complete::{backends, servers};
use crate::duration;

/// Maintain the servers of a backend, one after the other
///
/// Each in its turn: drained until its sessions are zero, then in maint, so that no cookie leads to
/// it; its maintenance by CMD, or by you, who press Enter after it; ready again, and waited for until
/// its checks succeed. A server that is drained or in maint already is somebody's: it is left out.
#[derive(Debug, Args)]
#[command(visible_alias = "rolling")]
#[command(after_help = "\
CMD is given to sh -c with LB_BACKEND, LB_SERVER and LB_ADDRESS set.

Anything that goes wrong stops it (exit 8), with what is wrong and how to go on: CMD fails, sessions
do not end, a server does not come back, another server goes down, Ctrl-C. The server whose turn it
was stays in maint. --resume goes on with CMD for it, whatever became of the lbctl before.

Examples:
  lbctl rolling-maintenance app --dry-run
  lbctl rolling-maintenance app
  lbctl rolling-maintenance app --exec 'ssh $LB_SERVER sudo apt-get -y upgrade' --pause 30s
  lbctl rolling-maintenance app --exec ./patch.sh --resume")]
pub(crate) struct RollingMaintenance {
    #[arg(
        value_name = "BACKEND",
        help = "The backend whose servers are maintained"
    )]
    #[arg(add = ArgValueCompleter::new(backends))]
    pub(crate) backend: BackendName,
    /// Only this server, as NAME or BACKEND/NAME; repeatable. The configuration's order stands
    #[arg(long = "server", value_name = "SERVER")]
    #[arg(add = ArgValueCompleter::new(servers))]
    pub(crate) servers: Vec<String>,
    /// What maintains a server; without it you are asked to, on a terminal
    #[arg(long, value_name = "CMD")]
    pub(crate) exec: Option<String>,
    /// How long to wait for the sessions of a server to finish
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    pub(crate) drain_timeout: Duration,
    /// What to do when they have not: abort, or maint: go on, and CMD may cut them
    #[arg(
        long,
        value_name = "ACTION",
        default_value = "abort",
        hide_possible_values = true
    )]
    pub(crate) on_timeout: OnTimeout,
    /// How long to wait for the checks of a server that is ready again
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    pub(crate) health_timeout: Duration,
    /// How many other servers must be up before one is taken out
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) min_up: usize,
    /// How long to wait between a server and the next
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse)]
    pub(crate) pause: Duration,
    #[command(flatten)]
    pub(crate) why: Why,
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Go on with the one that stopped part-way, beginning with CMD for the server it stopped at
    #[arg(long, conflicts_with = "servers")]
    pub(crate) resume: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnTimeout {
    Abort,
    Maint,
}
