//! `rollback`: the configuration before this one again. The file is not touched.

use lb_proto::client::Client;
use lb_proto::request::Rollback;

use super::reload::untouched;
use crate::error::Error;
use crate::there;
use crate::ui::{Ui, changes, words};

pub(crate) fn run(ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let rollback = match daemon.call(&Rollback {}) {
        Ok(rollback) => rollback,
        Err(error) => return Err(untouched(error, daemon).into()),
    };
    for warning in &rollback.warnings {
        ui.warn(warning);
    }
    if !ui.wants_json() {
        ui.data(&changes::render(&rollback.changes, &ui.canvas()))?;
    }
    ui.say(&format!(
        "generation {} is running: the configuration of {}, in place of generation {}",
        rollback.generation,
        words::time(&rollback.of),
        rollback.from
    ));
    if rollback.file_differs == Some(true) {
        ui.warn(&format!(
            "{} is not touched and says something else: put it right before the next `{} reload`",
            rollback.path,
            there::lbctl()
        ));
    }
    ui.json_if_asked(|| &rollback)
}
