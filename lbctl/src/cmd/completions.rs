//! `completions`: prints the script that a shell loads.

use lb_proto::document;

use crate::args::Completions;
use crate::complete;
use crate::error::Error;
use crate::ui::Ui;

pub(crate) fn run(args: &Completions, ui: &Ui) -> Result<(), Error> {
    let script = complete::registration(args.shell).map_err(Error::Output)?;
    if !ui.wants_json() {
        return ui.data(&script);
    }
    ui.json(&document::Completions {
        script,
        shell: args.shell.name().to_owned(),
    })
}
