//! `explain`: why a server is in its state, and what it gets of the traffic.

mod next;
mod report;
mod sentence;
mod times;

use lb_proto::client::Client;
use lb_proto::document::Explained;
use lb_proto::error::ErrorReply;
use lb_proto::exit::Exit;
use lb_proto::request::{Explain, Status};

use self::sentence::sentence;
use self::times::Clock;
use crate::args;
use crate::error::Error;
use crate::servers;
use crate::ui::Ui;

pub(crate) fn run(args: &args::Explain, ui: &Ui, daemon: &mut Client) -> Result<(), Error> {
    let told = ask(daemon, &args.server)?;
    let clock = Clock::here();
    if !ui.wants_json() {
        return ui.data(&report::text(&told, &clock, &ui.canvas()));
    }
    ui.json(&Explained {
        sentence: sentence(&told, &clock),
        next: next::steps(&told),
        told,
    })
}

/// A name that the daemon does not know is answered with the one that may have been meant.
fn ask(daemon: &mut Client, name: &str) -> Result<lb_proto::reply::Explain, ErrorReply> {
    let everything = |daemon: &mut Client| daemon.call(&Status::default());
    let Ok(server) = name.parse() else {
        return Err(servers::unknown(&everything(daemon)?, name));
    };
    match daemon.call(&Explain { server }) {
        Err(error) if error.code.exit() == Exit::NoSuchName => {
            Err(servers::unknown(&everything(daemon)?, name))
        }
        answer => answer,
    }
}
