//! `reload`: the daemon reads its file again, or keeps everything as it was and says why.

use std::time::Duration;

use lb_proto::client::Client;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::request::{Reload, Status};
use lb_proto::status::TrialStatus;

use crate::args::reload as args;
use crate::duration;
use crate::error::Error;
use crate::there;
use crate::ui::{Ui, changes, words};

pub(crate) fn run(args: &args::Reload, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let question = Reload {
        confirm_within_s: args.confirm_within.map(|within| within.as_secs()),
        rollback_if_down: args.rollback_if_down,
    };
    let reload = match daemon.call(&question) {
        Ok(reload) => reload,
        Err(error) => return Err(untouched(error, daemon).into()),
    };
    for warning in &reload.warnings {
        ui.warn(warning);
    }
    if !ui.wants_json() {
        ui.data(&changes::render(&reload.changes, &ui.canvas()))?;
    }
    let generation = reload.generation;
    let file = config_path(daemon);
    ui.say(&match (reload.changed, reload.changes.is_empty()) {
        (false, _) => format!("nothing changed: generation {generation} keeps running ({file})"),
        (true, true) => {
            format!("generation {generation} is running, only the text is another ({file})")
        }
        (true, false) => format!("generation {generation} is running ({file})"),
    });
    if let Some(trial) = &reload.trial {
        conditions(ui, trial);
    }
    ui.json_if_asked(|| &reload)
}

/// What it runs under.
fn conditions(ui: &Ui, trial: &TrialStatus) {
    let left =
        |seconds: Option<u64>| duration::words(Duration::from_secs(seconds.unwrap_or_default()));
    if let Some(until) = &trial.confirm_until {
        ui.say(&format!(
            "the former configuration comes back at {}, in {}, unless `{} confirm` comes before",
            words::time(until),
            left(trial.confirm_left_s),
            there::lbctl()
        ));
    }
    if trial.watched_until.is_some() {
        ui.say(&format!(
            "the former configuration comes back if checks leave a backend without a server in \
             the next {}",
            left(trial.watched_left_s)
        ));
    }
}

/// The first question after a failed reload is what runs now.
pub(super) fn untouched(error: ErrorReply, daemon: &mut Client) -> ErrorReply {
    if !matches!(error.code, ErrorCode::InvalidConfig | ErrorCode::Failed) {
        return error;
    }
    let Ok(status) = daemon.call(&Status::default()) else {
        return error;
    };
    let generation = status.daemon.config.generation;
    let kept = format!("the running configuration (generation {generation}) is untouched");
    let hint = match &error.hint {
        Some(hint) => format!("{hint}; {kept}"),
        None => kept,
    };
    error.hint(hint)
}

/// The daemon knows which file it read; a reload that succeeded is not made to fail by a second
/// question.
fn config_path(daemon: &mut Client) -> String {
    daemon
        .call(&Status::default())
        .map_or_else(|_| "file unknown".to_owned(), |s| s.daemon.config.path)
}
