//! `completions`: prints the script that a shell loads.

use crate::args::Completions;
use crate::complete;
use crate::error::Error;
use crate::ui::Ui;

pub(crate) fn run(args: &Completions, ui: &Ui) -> Result<(), Error> {
    let script = complete::registration(args.shell).map_err(Error::Output)?;
    ui.data(&script)
}
