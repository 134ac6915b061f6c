//! The command line of `lbd`. The only file of it that knows clap.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The load balancer daemon; lbctl steers it
#[derive(Debug, Parser)]
#[command(name = "lbd", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = lb_proto::DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
    /// Read the configuration, say what is wrong with it, and exit
    #[arg(long)]
    pub(crate) check: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run three small origin servers and a load balancer before them, and say what to try
    Demo {
        /// Where the frontend listens
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        bind: SocketAddr,
        /// Where the dashboard is served, a loopback address
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8404")]
        admin: SocketAddr,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
