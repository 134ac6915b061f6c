//! `confirm`: what is on trial stays. How is [`crate::control::reload`]'s.

use lb_proto::call::Call;
use lb_proto::error::ErrorReply;
use lb_proto::reply;
use lb_proto::request::Confirm;

use crate::control::Control;
use crate::control::session::Peer;

pub(in crate::control) async fn run(
    control: &Control,
    peer: &Peer,
) -> Result<reply::Confirm, ErrorReply> {
    let by = peer.by().await;
    let name = by.to_string();
    let noting = control.asks_config(by, Confirm::NAME);
    let answer = control.reloader.confirm(&name).await;
    control.note_config(noting, &answer);
    let mut done = answer?;
    done.warnings.extend(control.keep_set().await);
    Ok(done)
}
