//! From the command line to an exit code: parses, picks the verb, reports how it ended.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, ValueEnum};
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::exit::Exit;

use crate::args::cert::RENEWED_LINEAGE;
use crate::args::{Cli, Command, When};
use crate::cmd;
use crate::cmd::rolling_maintenance::Nodes;
use crate::connect;
use crate::error::Error;
use crate::hosts;
use crate::ui::Ui;

pub(crate) fn run() -> Exit {
    let words = command_line();
    let cli = match parse(&words) {
        Ok(cli) => cli,
        Err(error) => return refuse_usage(&error, &words),
    };
    let ui = Ui::new(&cli.globals);
    let ended = hosts::named(&cli)
        .map_err(Error::from)
        .and_then(|hosts| match &*hosts {
            [] => dispatch(&cli, &ui).map(|()| Exit::Done),
            hosts => hosts::run(&cli, hosts, &ui),
        });
    ended.unwrap_or_else(|error| ui.fail(&error))
}

fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let unset = std::env::var_os("LBCTL_SOCKET").is_some_and(|named| named.is_empty());
    let lbctl = Cli::command().mut_arg("socket", |socket| match unset {
        true => socket.env(None::<&str>),
        false => socket,
    });
    Cli::from_arg_matches(&lbctl.try_get_matches_from(words)?)
}

/// What `--color` says, as far as a command line that may be wrong can be read.
fn color(words: &[OsString]) -> When {
    let known = words.iter().take_while(|word| *word != "--");
    let mut words = known.filter_map(|word| word.to_str());
    let mut said = When::Auto;
    while let Some(word) = words.next() {
        let value = match word {
            "--color" => words.next(),
            word => word.strip_prefix("--color="),
        };
        let when = value.and_then(|value| When::from_str(value, false).ok());
        said = when.unwrap_or(said);
    }
    said
}

/// What was typed. Certbot calls the hooks of a folder by their name alone, and a link there leads
/// to us.
fn command_line() -> Vec<OsString> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let renewed = std::env::var_os(RENEWED_LINEAGE);
    if words.len() <= 1 && renewed.is_some_and(|lineage| !lineage.is_empty()) {
        words.extend(["cert", "install"].map(OsString::from));
    }
    words
}

fn dispatch(cli: &Cli, ui: &Ui) -> Result<(), Error> {
    let connect = || connect::at(&cli.globals.socket);
    match &cli.command {
        Command::Validate(args) => cmd::validate::run(args, ui),
        Command::Status(args) => cmd::status::run(args, ui, connect),
        Command::Drain(args) => cmd::drain::run(args, ui, &mut connect()?),
        Command::Ready(args) => cmd::ready::run(args, ui, &mut connect()?),
        Command::Maint(args) => cmd::maint::run(args, ui, &mut connect()?),
        Command::Weight(args) => cmd::weight::run(args, ui, &mut connect()?),
        Command::RollingMaintenance(args) => {
            cmd::rolling_maintenance::run(args, ui, || connect().map(Nodes::alone))
        }
        Command::Plan(args) => cmd::plan::run(args, ui, &mut connect()?),
        Command::Reload(args) => cmd::reload::run(args, ui, &mut connect()?),
        Command::Confirm(_) => cmd::confirm::run(ui, &mut connect()?),
        Command::Rollback(args) => cmd::rollback::run(args, ui, &mut connect()?),
        Command::Cert(args) => cmd::cert::run(args, ui, connect),
        Command::Explain(args) => cmd::explain::run(args, ui, &mut connect()?),
        Command::Doctor(args) => cmd::doctor::run(args, &cli.globals.socket, ui),
        Command::Events(args) => cmd::events::run(args, ui, connect),
        Command::Completions(args) => cmd::completions::run(args, ui),
        Command::Man(args) => cmd::man::run(args, ui),
        Command::HashPassword(_) => cmd::hash_password::run(ui),
    }
}

/// Help and version are answers; everything else clap objects to is wrong usage, as JSON where the
/// command line asked for that as far as it could be read.
fn refuse_usage(error: &clap::Error, words: &[OsString]) -> Exit {
    let mut known = words.iter().take_while(|word| *word != "--");
    let help = !error.use_stderr();
    if help || !known.any(|word| word == "--json") {
        let (text, color) = (error.render(), color(words));
        Ui::usage(help, color, &text.to_string(), &text.ansi().to_string());
        return if help { Exit::Done } else { Exit::Usage };
    }
    let reply = ErrorReply::new(ErrorCode::Usage, first_paragraph(error))
        .hint("lbctl --help tells every command and flag");
    Ui::json_only().fail(&reply.into())
}

/// Clap's message without the usage and tips below it, on one line.
fn first_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines: Vec<&str> = text
        .trim_start_matches("error: ")
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    lines.join(" ")
}
