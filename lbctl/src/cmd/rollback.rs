//! `rollback`: the configuration before this one again. The file is not touched.

use lb_proto::client::Client;
use lb_proto::reply::KeptConfig;
use lb_proto::request::{KeptConfigs, Rollback};

use super::reload::untouched;
use crate::args::reload::Rollback as Args;
use crate::error::Error;
use crate::there;
use crate::ui::grid::{self, Column, Field, Worth};
use crate::ui::{Ui, changes, words};

const COLUMNS: [Column; 4] = [
    Column::text("LOADED", Worth::Always),
    Column::text("BY", Worth::Shrink(12)),
    Column::text("", Worth::Always),
    Column::text("FILE", Worth::Drop(1)),
];

pub(crate) fn run(args: &Args, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    if args.list {
        return list(ui, daemon);
    }
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

/// Which are kept, newest first.
fn list(ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let listed = daemon.call(&KeptConfigs {})?;
    if !ui.wants_json() {
        let rows: Vec<Vec<Field>> = listed.kept.iter().map(row).collect();
        match rows.is_empty() {
            true => ui.say("no configuration is kept"),
            false => ui.data(&grid::render(&COLUMNS, &rows, &ui.canvas()))?,
        }
    }
    ui.json_if_asked(|| &listed)
}

fn row(kept: &KeptConfig) -> Vec<Field> {
    let is = match (kept.runs, kept.next) {
        (true, _) => "runs",
        (false, true) => "a rollback leads here",
        (false, false) => "",
    };
    vec![
        words::time(&kept.at).into(),
        (&kept.by).into(),
        is.into(),
        (&kept.file).into(),
    ]
}
