//! `rollback`: the configuration before this one again. How is [`crate::control::reload`]'s.

use lb_proto::call::Call;
use lb_proto::error::ErrorReply;
use lb_proto::reply;
use lb_proto::request::Rollback;

use crate::control::Control;
use crate::control::session::Peer;

pub(in crate::control) async fn run(
    control: &Control,
    peer: &Peer,
) -> Result<reply::Rollback, ErrorReply> {
    let by = peer.by().await;
    let name = by.to_string();
    let mut noting = control.asks_config(by, Rollback::NAME);
    let answer = control.reloader.rollback(&name, &mut noting).await;
    control.note_config(noting, &answer);
    let mut done = answer?;
    done.warnings.extend(control.keep_set().await);
    Ok(done)
}
