//! `reload`: the configuration file again. How is [`crate::control::reload`]'s.

use std::time::Duration;

use lb_proto::call::Call;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::reply;
use lb_proto::request::{MAX_CONFIRM_WITHIN_S, Reload};

use crate::control::session::Peer;
use crate::control::{Ask, Control};

pub(in crate::control) async fn run(
    call: &Reload,
    control: &Control,
    peer: &Peer,
) -> Result<reply::Reload, ErrorReply> {
    let by = peer.by().await;
    let ask = ask(call, by.to_string());
    let mut noting = control.asks_config(by, Reload::NAME);
    let answer = match ask {
        Ok(ask) => control.reloader.reload(&ask, &mut noting).await,
        Err(refused) => Err(refused),
    };
    control.note_config(noting, &answer);
    let mut done = answer?;
    done.warnings.extend(control.keep_set().await);
    Ok(done)
}

fn ask(call: &Reload, by: String) -> Result<Ask, ErrorReply> {
    let within = call.confirm_within_s;
    if within.is_some_and(|seconds| !(1..=MAX_CONFIRM_WITHIN_S).contains(&seconds)) {
        return Err(ErrorReply::new(
            ErrorCode::BadRequest,
            format!("confirm_within_s is from 1 to {MAX_CONFIRM_WITHIN_S}"),
        ));
    }
    Ok(Ask {
        by,
        confirm_within: within.map(Duration::from_secs),
        rollback_if_down: call.rollback_if_down,
    })
}
