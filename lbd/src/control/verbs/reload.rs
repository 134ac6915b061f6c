//! `reload`: the configuration file again. How is [`crate::control::reload`]'s.

use lb_proto::error::ErrorReply;
use lb_proto::reply;

use crate::control::Control;
use crate::control::session::Peer;

pub(in crate::control) async fn run(
    control: &Control,
    peer: &Peer,
) -> Result<reply::Reload, ErrorReply> {
    let mut done = control.reloader.reload(&format!("by {peer}")).await?;
    // What it has ended of what was set is not to come back with a crash.
    if let Err(why) = control.keeper.keep(&control.shared.kept()).await {
        done.warnings
            .push(format!("a restart of lbd would forget what was set: {why}"));
    }
    Ok(done)
}
