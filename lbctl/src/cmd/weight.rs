//! `weight`: more or less of the new sessions for a server than the configuration says.

use lb_proto::client::Client;
use lb_proto::document::servers::{Servers, Weighed};
use lb_proto::request::{SetWeight, Status};

use crate::args::Weight;
use crate::error::Error;
use crate::servers;
use crate::ui::Ui;

pub(crate) fn run(args: &Weight, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let status = daemon.call(&Status::default())?;
    let id = servers::find_one(&status, &args.server)?;
    if args.weight.0 == Some(0) {
        ui.warn_left_alone(&servers::left_alone(&status, std::slice::from_ref(&id)));
    }
    let set = daemon.call(&SetWeight {
        server: id.clone(),
        weight: args.weight.0,
        reason: args.why.reason.clone(),
    })?;
    let (was, server) = (set.was, set.server);
    let (weight, configured) = (server.weight, server.weight_configured);
    if let Some(why) = &set.not_kept {
        ui.insist(&format!(
            "{id} has weight {weight}, but a restart of lbd would forget it: {why}"
        ));
    }
    ui.say(&match weight == configured {
        true => format!("{id} has weight {weight}, as configured; it was {was}"),
        false => format!("{id} has weight {weight}; it was {was}, and {configured} is configured"),
    });
    ui.json_if_asked(|| Servers {
        servers: vec![Weighed {
            not_kept: set.not_kept,
            server: id,
            was,
            weight,
            weight_configured: configured,
        }],
    })
}
