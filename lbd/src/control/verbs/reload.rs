//! `reload`: the configuration file again. How is [`crate::control::reload`]'s.

use lb_proto::call::Call;
use lb_proto::error::ErrorReply;
use lb_proto::{reply, request};

use crate::control::Control;
use crate::control::session::Peer;

pub(in crate::control) async fn run(
    control: &Control,
    peer: &Peer,
) -> Result<reply::Reload, ErrorReply> {
    let by = peer.by().await;
    let asked_by = format!("by {by}");
    let asked = control.asks_reload(by, request::Reload::NAME);
    let mut answer = control.reloader.reload(&asked_by).await;
    if let Ok(done) = &mut answer
        // What it has ended of what was set is not to come back with a crash.
        && let Err(why) = control.keeper.keep(&control.shared.kept()).await
    {
        done.warnings
            .push(format!("a restart of lbd would forget what was set: {why}"));
    }
    control.note_reload(asked, &answer);
    answer
}
