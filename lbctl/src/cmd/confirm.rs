//! `confirm`: what is on trial stays.

use lb_proto::client::Client;
use lb_proto::request::Confirm;

use crate::error::Error;
use crate::ui::Ui;

pub(crate) fn run(ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let confirm = daemon.call(&Confirm {})?;
    for warning in &confirm.warnings {
        ui.warn(warning);
    }
    ui.say(&format!("generation {} stays", confirm.generation));
    ui.json_if_asked(|| &confirm)
}
