//! `lbd`, the load balancer daemon.

mod access_log;
mod admin;
mod app;
mod causes;
mod cli;
mod control;
mod data;
mod demo;
mod dns;
mod health;
mod limits;
mod log;
mod memory;
mod print;
mod proxy_protocol;
mod service;
mod signals;
mod state;
mod tls;
mod traces;

use std::path::Path;
use std::process::ExitCode;

use app::AppError;
use clap::Parser;
use cli::{Cli, Command};
use demo::DemoError;
use lb_proto::config;
use lb_proto::exit::Exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Demo { bind, admin }) => demo::run(bind, admin).map_err(Failure::from),
        None if cli.check => check(&cli.config),
        None => app::run(&cli.config, |_| ()).map_err(Failure::from),
    };
    log::finish();
    match outcome {
        Ok(()) => Exit::Done.into(),
        Err(failure) => failure.report().into(),
    }
}

/// Reads the configuration and says what it holds.
fn check(path: &Path) -> Result<(), Failure> {
    let loaded = config::load(path).map_err(AppError::from)?;
    print::warnings(&loaded.warnings);
    print::stdout(config::summary(&loaded.config).trim_end());
    Ok(())
}

/// Whatever ended the process before its time.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    App(#[from] AppError),
    #[error(transparent)]
    Demo(#[from] DemoError),
}

impl Failure {
    /// Prints it, once and whole.
    fn report(&self) -> Exit {
        match self {
            Self::App(AppError::Invalid { problems, hint }) => {
                print::problems(problems);
                hint.iter().for_each(|hint| print::hint(hint));
                Exit::InvalidConfig
            }
            Self::App(error) | Self::Demo(DemoError::App(error)) => {
                print::error(error, error.hint());
                Exit::Failed
            }
            Self::Demo(error) => {
                print::error(error, None);
                Exit::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::config;

    #[test]
    fn the_example_configuration_is_valid() {
        let problems = config::read("lbd.toml", include_str!("../dist/lbd.toml")).err();
        assert_eq!(problems, None);
    }
}
