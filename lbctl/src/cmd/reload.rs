//! `reload`: the daemon reads its file again, or keeps everything as it was and says why.

use lb_proto::client::Client;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::request::{Reload, Status};

use crate::error::Error;
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let reload = match daemon.call(&Reload {}) {
        Ok(reload) => reload,
        Err(error) => return Err(untouched(error, daemon).into()),
    };
    for warning in &reload.warnings {
        ui.warn(warning);
    }
    let generation = reload.generation;
    let file = config_path(daemon);
    ui.say(&match reload.changed {
        true => format!("generation {generation} is running ({file})"),
        false => format!("nothing changed: generation {generation} keeps running ({file})"),
    });
    ui.json_if_asked(|| &reload)
}

/// The first question after a failed reload is what runs now.
fn untouched(error: ErrorReply, daemon: &mut Client) -> ErrorReply {
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
