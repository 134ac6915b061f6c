//! `set_state`: what the operator wants of a server.

use std::time::Duration;

use lb_proto::call::Call;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::ServerId;
use lb_proto::reply;
use lb_proto::request::{MAX_FOR_S, SetState};
use lb_proto::state::Admin;
use lb_proto::status::{By, ServerStatus};
use tracing::info;

use super::find_server;
use super::status::server_status;
use crate::control::Control;
use crate::control::audit::Asked;
use crate::state::Ask;

pub(in crate::control) async fn run(
    call: &SetState,
    control: &Control,
    by: By,
) -> Result<reply::SetState, ErrorReply> {
    let asked = Asked::new(by.clone(), SetState::NAME)
        .on(&call.server)
        .to(Some(in_words(call)))
        .because(call.reason.as_ref());
    // From the change to its place among the records nothing waits.
    let answer = change(call, control, by);
    let was = answer.as_ref().ok().map(|done| done.was);
    control
        .keep_change(asked.from(was), answer, |done| &mut done.not_kept)
        .await
}

fn change(call: &SetState, control: &Control, by: By) -> Result<reply::SetState, ErrorReply> {
    let ask = read(call)?;
    let shared = &control.shared;
    let snapshot = shared.snapshot();
    let (backend, server) = find_server(&snapshot, &call.server)?;
    let was = server.admin();
    if call.was.is_some_and(|seen| seen != was) {
        return Err(overtaken(&server_status(backend, server), &call.server));
    }
    let moves = |wanted| wanted == server.moves_sticky();
    if was == call.admin && call.move_sticky.is_none_or(moves) {
        info!(server = %server.id, admin = %was, %by, "server is already what was asked");
    }
    // Logs it.
    let killed = shared.ask(server, ask, by, call.reason.as_ref());
    Ok(reply::SetState {
        was,
        server: server_status(backend, server),
        killed,
        not_kept: None,
    })
}

/// Somebody else has set it since whoever asks looked.
fn overtaken(now: &ServerStatus, server: &ServerId) -> ErrorReply {
    let mut message = format!("{server} is set to {} by now", now.admin);
    if let Some(set) = &now.overrides.admin {
        message.push_str(&format!(", by {}", set.by));
        if let Some(reason) = &set.reason {
            message.push_str(&format!(": {reason}"));
        }
    }
    ErrorReply::new(ErrorCode::Busy, message)
        .hint("nothing was changed; look at it again, then ask with `was` as it is now")
}

/// `drain, sticky clients are moved, for 1800 s`
fn in_words(call: &SetState) -> String {
    let mut words = call.admin.to_string();
    if call.move_sticky == Some(true) {
        words.push_str(", sticky clients are moved");
    }
    if let Some(seconds) = call.for_s {
        words.push_str(&format!(", for {seconds} s"));
    }
    if call.kill {
        words.push_str(", sessions closed");
    }
    words
}

fn read(call: &SetState) -> Result<Ask, ErrorReply> {
    let refused = |message: String, hint: &str| {
        Err(ErrorReply::new(ErrorCode::BadRequest, message).hint(hint))
    };
    match (call.admin, call.move_sticky, call.for_s) {
        (Admin::Ready | Admin::Drain, ..) if call.kill => refused(
            "kill goes with admin maint alone".to_owned(),
            "a server that takes sessions would get them again at once",
        ),
        (Admin::Ready | Admin::Maint, Some(_), _) => refused(
            "move_sticky goes with admin drain alone".to_owned(),
            "a server that is ready honours its cookie, and no cookie leads to one in maint",
        ),
        (Admin::Ready, _, Some(_)) => refused(
            "for_s goes with admin drain and maint alone".to_owned(),
            "what ends is that the server is not ready",
        ),
        (_, _, Some(seconds)) if !(1..=MAX_FOR_S).contains(&seconds) => refused(
            format!("for_s is from 1 to {MAX_FOR_S}, not {seconds}"),
            "without it, the server stays as it is until somebody says otherwise",
        ),
        (admin, move_sticky, for_s) => Ok(Ask {
            admin,
            move_sticky,
            lasts: for_s.map(Duration::from_secs),
            kill: call.kill,
        }),
    }
}
