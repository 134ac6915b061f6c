//! The command line. Clap's derive stops here.

pub(crate) mod cert;
pub(crate) mod events;
pub(crate) mod reload;
pub(crate) mod rolling;
pub(crate) mod status;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use lb_proto::reason::Reason;
use lb_proto::request::MAX_WEIGHT;

use crate::complete::servers;
use crate::duration;
use crate::hosts::{self, Url};

/// Steers lbd, the load balancer.
#[derive(Debug, Parser)]
#[command(
    name = "lbctl",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
#[command(after_help = "\
A SERVER is named BACKEND/SERVER, as in app/web01. Durations: 500ms, 90s, 5m, 2h.
Data goes to stdout; progress, warnings and errors go to stderr.

Exit codes:
  0  done
  1  failed, or the daemon refused
  2  wrong usage
  3  the configuration is invalid
  4  no daemon at the socket
  5  not allowed to use the socket
  6  no such frontend, backend or server
  7  the wait timed out
  8  rolling maintenance stopped part-way; it says where and how to resume
  130  interrupted with Ctrl-C

When something is wrong:
  sudo lbctl doctor

Maintenance of one server:
  lbctl drain app/web01 && ssh web01 sudo apt upgrade && lbctl ready app/web01 --wait")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", env = "LBCTL_SOCKET")]
    #[arg(default_value = lb_proto::DEFAULT_SOCKET, value_hint = clap::ValueHint::FilePath)]
    pub(crate) socket: PathBuf,
    #[arg(
        help = "Do it on another node, over OpenSSH: ssh://[USER@]HOST[:PORT][/SOCKET]; repeatable, for \
                the same on each [env: LBCTL_HOSTS=]"
    )]
    #[arg(long = "host", global = true, value_name = "URL", value_parser = hosts::read_url)]
    pub(crate) hosts: Vec<Url>,
    /// Print one JSON document on stdout; errors too, as {"error":{"code","message","hint"}}
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress, confirmations or warnings; data and errors still
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour; auto means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Validate(Validate),
    Status(status::Status),
    Drain(Drain),
    Ready(Ready),
    Maint(Maint),
    Weight(Weight),
    RollingMaintenance(rolling::RollingMaintenance),
    Plan(reload::Plan),
    Reload(reload::Reload),
    Confirm(reload::Confirm),
    Rollback(reload::Rollback),
    Cert(cert::Cert),
    Explain(Explain),
    Doctor(Doctor),
    Events(events::Events),
    Completions(Completions),
    Man(Man),
    HashPassword(HashPassword),
}

/// Check a configuration file as lbd would read it, daemon or not
///
/// Prints what was checked, or every problem with its line and a remedy (exit 3). A file that
/// cannot be read exits 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl validate
  lbctl validate ./lbd.toml && sudo cp lbd.toml /etc/lbd/ && sudo lbctl reload")]
pub(crate) struct Validate {
    /// The file to check
    #[arg(value_name = "FILE", default_value = lb_proto::DEFAULT_CONFIG)]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

/// Send no new sessions to servers, and wait until the running ones have finished
///
/// Health checks go on. Ctrl-C ends the wait and leaves the servers drained (exit 130). Somebody
/// else setting one of them ready ends the wait as failed (exit 1).
#[derive(Debug, Args)]
#[command(after_help = "\
When the timeout expires, --on-timeout decides:
  fail   the servers stay drained and the exit code is 7
  maint  those with sessions left are set to maint, which lets their sessions finish and takes
         nothing new, not even by cookie; the exit code is 0

Examples:
  lbctl drain app/web01
  lbctl drain app/web01 app/web02 --timeout 90s --on-timeout maint
  lbctl drain app/web01 --move-sticky
  lbctl drain app/web01 --for 30m --reason \"kernel update\"
  lbctl drain app/web01 --no-wait")]
pub(crate) struct Drain {
    #[arg(value_name = "SERVER", required = true, help = SERVER)]
    #[arg(add = ArgValueCompleter::new(servers))]
    pub(crate) servers: Vec<String>,
    /// How long to wait for sessions to finish
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Set the state and return at once
    #[arg(long, conflicts_with_all = ["timeout", "on_timeout"])]
    pub(crate) no_wait: bool,
    /// Send clients elsewhere whose stickiness cookie names one of the servers, too; until `lbctl
    /// ready`. Without it they keep coming, and sessions may begin again after the last has ended
    #[arg(long)]
    pub(crate) move_sticky: bool,
    /// What to do with servers that still have sessions after the timeout
    #[arg(
        long,
        value_name = "ACTION",
        default_value = "fail",
        hide_possible_values = true
    )]
    #[arg(help = "What to do when the timeout expires: fail or maint")]
    pub(crate) on_timeout: OnTimeout,
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::lasts, help = FOR)]
    pub(crate) lasts: Option<Duration>,
    #[command(flatten)]
    pub(crate) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnTimeout {
    Fail,
    Maint,
}

/// Put servers back into rotation
///
/// A server whose checks fail, or have not succeeded yet since maint, gets no sessions until they
/// do; --wait waits for that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl ready app/web01
  lbctl ready app/web01 --wait --timeout 30s")]
pub(crate) struct Ready {
    #[arg(value_name = "SERVER", required = true, help = SERVER)]
    #[arg(add = ArgValueCompleter::new(servers))]
    pub(crate) servers: Vec<String>,
    /// Wait until every server is up and its health checks succeed
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// How long --wait waits; expiring exits 7, and the servers stay ready
    #[arg(long, requires = "wait", value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// Take servers out entirely: no new sessions, no health checks
///
/// Running sessions finish, unless --kill closes them. To wait for them, drain first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl drain app/web01 && lbctl maint app/web01
  lbctl maint app/web01 app/web02
  lbctl maint app/web01 --kill
  lbctl maint app/web01 --for 2h --reason \"disk is replaced\"")]
pub(crate) struct Maint {
    #[arg(value_name = "SERVER", required = true, help = SERVER)]
    #[arg(add = ArgValueCompleter::new(servers))]
    pub(crate) servers: Vec<String>,
    /// Close the sessions that run there: requests that wait for an answer get 503, all else is cut
    #[arg(long)]
    pub(crate) kill: bool,
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::lasts, help = FOR)]
    pub(crate) lasts: Option<Duration>,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// Give a server more or less of the new sessions than the configuration says
///
/// It lasts, restarts of the daemon included, until the configuration says another weight for the
/// server. Running sessions are not touched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl weight app/web01 50
  lbctl weight app/web01 0 --reason \"finishes its sticky clients\"
  lbctl weight app/web01 configured")]
pub(crate) struct Weight {
    #[arg(value_name = "SERVER", help = "The server, as BACKEND/SERVER")]
    #[arg(add = ArgValueCompleter::new(servers))]
    pub(crate) server: String,
    /// From 0, which gives it no new sessions but those of its sticky clients, to 256; `configured`
    /// for what the configuration says
    #[arg(value_name = "N", value_parser = weight)]
    pub(crate) weight: WeightArg,
    #[command(flatten)]
    pub(crate) why: Why,
}

/// `None`: what the configuration says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WeightArg(pub(crate) Option<u32>);

fn weight(text: &str) -> Result<WeightArg, String> {
    if text == "configured" {
        return Ok(WeightArg(None));
    }
    let number: Option<u32> = text.parse().ok();
    let weight = number.filter(|number| *number <= MAX_WEIGHT);
    let wrong = || format!("a weight is a number from 0 to {MAX_WEIGHT}, or `configured`");
    weight
        .map(|weight| WeightArg(Some(weight)))
        .ok_or_else(wrong)
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why, for whoever sees it in `lbctl status` or the log; a line of at most 200 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<Reason>,
}

/// Tell why a server is in its state
///
/// The reason comes first, in one sentence; then the thresholds of its checks, its sessions by kind,
/// its share of the traffic and why, what happened to it last, its last probes, and what to try next.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl explain app/web01
  lbctl explain app/web01 --json | jq -r .sentence")]
pub(crate) struct Explain {
    /// The server, as BACKEND/SERVER
    #[arg(value_name = "SERVER")]
    #[arg(add = ArgValueCompleter::new(servers))]
    pub(crate) server: String,
}

/// Find out what is wrong on this machine, and what to do about it
///
/// Looks at the control socket, the configuration and whether it runs, at ports, firewall, servers
/// (each is asked what its health check asks), session cookies, names, certificates, limits and the
/// clock. Changes nothing. What could not be looked at is said, with the reason; as root most can.
/// Without a daemon it goes by the configuration file. Exits 1 where it found a problem.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo lbctl doctor
  lbctl doctor --config ./lbd.toml
  sudo lbctl doctor --json | jq -r '.findings[] | select(.severity == \"problem\") | .what'")]
pub(crate) struct Doctor {
    /// The configuration to look at; the running daemon's unless given, or /etc/lbd/lbd.toml without
    /// one
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// Print a script that completes commands, flags and live server names
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(lbctl completions bash)
  lbctl completions zsh > ~/.zfunc/_lbctl
  lbctl completions fish > ~/.config/fish/completions/lbctl.fish")]
pub(crate) struct Completions {
    #[arg(value_name = "SHELL", help = "The shell to complete for")]
    pub(crate) shell: Shell,
}

/// Write the manual pages: lbctl(1), and one for each verb
///
/// The folder is made where there is none, and pages that are there already are replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl man ./man && man -l ./man/lbctl-drain.1
  sudo lbctl man /usr/local/share/man/man1 && man lbctl-drain")]
pub(crate) struct Man {
    /// The folder to write them to
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

/// Make the hash of a password, for [[admin.users]] of the configuration
///
/// On a terminal the password is asked for twice and not shown; elsewhere the first line of standard
/// input is taken. It is argon2id, with a salt of its own each time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lbctl hash-password
  lbctl hash-password < password.txt")]
pub(crate) struct HashPassword {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

impl Shell {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Elvish => "elvish",
            Self::Powershell => "powershell",
        }
    }
}

const FOR: &str = "The servers are ready again after this time, unless somebody sets them before";

const SERVER: &str = "The server, as BACKEND/SERVER; several are all checked before any is changed";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
