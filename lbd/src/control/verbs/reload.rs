//! `reload`: the configuration file again. How is [`crate::control::reload`]'s.

use lb_proto::error::ErrorReply;
use lb_proto::reply;

use crate::control::Control;
use crate::control::session::Peer;

pub(in crate::control) async fn run(
    control: &Control,
    peer: &Peer,
) -> Result<reply::Reload, ErrorReply> {
    control.reloader.reload(&format!("by {peer}")).await
}
