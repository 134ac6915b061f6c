//! `set_weight`: how much of new sessions a server gets, whatever the configuration says.

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::reply;
use lb_proto::request::{MAX_WEIGHT, SetWeight};

use super::find_server;
use super::status::server_status;
use crate::control::Control;
use crate::control::session::Peer;

pub(in crate::control) async fn run(
    call: &SetWeight,
    control: &Control,
    peer: &Peer,
) -> Result<reply::SetWeight, ErrorReply> {
    let weight = call.weight.map(read).transpose()?;
    let by = peer.by().await;
    let shared = &control.shared;
    let snapshot = shared.snapshot();
    let (backend, server) = find_server(&snapshot, &call.server)?;
    let was = shared.set_weight(backend, server, weight, by, call.reason.as_ref());
    let now = server_status(backend, server);
    let kept = control.keeper.keep(&shared.kept()).await;
    Ok(reply::SetWeight {
        was,
        server: now,
        not_kept: kept.err(),
    })
}

fn read(weight: u32) -> Result<u16, ErrorReply> {
    let fits = (weight <= MAX_WEIGHT).then_some(weight);
    fits.and_then(|weight| u16::try_from(weight).ok())
        .ok_or_else(|| {
            let message = format!("a weight is from 0 to {MAX_WEIGHT}, not {weight}");
            ErrorReply::new(ErrorCode::BadRequest, message)
                .hint("0 gives a server no new sessions but those of its sticky clients")
        })
}
