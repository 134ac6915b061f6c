//! `set_weight`: how much of new sessions a server gets, whatever the configuration says.

use lb_proto::call::Call;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::reply;
use lb_proto::request::{MAX_WEIGHT, SetWeight};
use lb_proto::status::By;

use super::find_server;
use super::status::server_status;
use crate::control::Control;
use crate::control::audit::Asked;
use crate::control::session::Peer;

pub(in crate::control) async fn run(
    call: &SetWeight,
    control: &Control,
    peer: &Peer,
) -> Result<reply::SetWeight, ErrorReply> {
    let by = peer.by().await;
    let to = call.weight.map(|weight| weight.to_string());
    let asked = Asked::new(by.clone(), SetWeight::NAME)
        .on(&call.server)
        .to(Some(to.unwrap_or_else(|| "configured".to_owned())))
        .because(call.reason.as_ref());
    // From the change to its place among the records nothing waits.
    let answer = change(call, control, by);
    let was = answer.as_ref().ok().map(|done| done.was);
    control
        .keep_change(asked.from(was), answer, |done| &mut done.not_kept)
        .await
}

fn change(call: &SetWeight, control: &Control, by: By) -> Result<reply::SetWeight, ErrorReply> {
    let weight = call.weight.map(read).transpose()?;
    let shared = &control.shared;
    let snapshot = shared.snapshot();
    let (backend, server) = find_server(&snapshot, &call.server)?;
    let was = shared.set_weight(backend, server, weight, by, call.reason.as_ref());
    Ok(reply::SetWeight {
        was,
        server: server_status(backend, server),
        not_kept: None,
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
