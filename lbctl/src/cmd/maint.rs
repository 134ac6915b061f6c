//! `maint`: takes servers out entirely, and tells what still runs there.

use lb_proto::client::Client;
use lb_proto::request::Status;
use lb_proto::state::Admin;
use serde_json::json;

use crate::args::Maint;
use crate::error::Error;
use crate::servers;
use crate::ui::{Ui, words};

pub(crate) fn run(args: &Maint, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let status = daemon.call(&Status::default())?;
    let ids = servers::find(&status, &args.servers)?;
    ui.warn_left_alone(&servers::left_alone(&status, &ids));

    let set = servers::set_all(daemon, &ids, Admin::Maint, false)?;
    for (id, set) in ids.iter().zip(&set) {
        ui.say(&match set.server.sessions {
            0 => format!("{id} is in maint: no sessions are running"),
            left => format!(
                "{id} is in maint: {} running there will finish",
                words::sessions(left)
            ),
        });
    }
    ui.json_if_asked(|| {
        let servers: Vec<_> = ids
            .iter()
            .zip(&set)
            .map(|(id, set)| {
                json!({
                    "server": id,
                    "was": set.was,
                    "admin": set.server.admin,
                    "sessions": set.server.sessions,
                })
            })
            .collect();
        json!({ "servers": servers })
    })
}
