//! `set_state`: what the operator wants of a server.

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::reply;
use lb_proto::request::SetState;
use lb_proto::state::Admin;
use tracing::info;

use super::find_server;
use super::status::server_status;
use crate::control::session::Peer;
use crate::state::Shared;

pub(in crate::control) fn run(
    call: &SetState,
    shared: &Shared,
    peer: &Peer,
) -> Result<reply::SetState, ErrorReply> {
    let snapshot = shared.snapshot();
    let (backend, server) = find_server(&snapshot, &call.server)?;
    let was = server.admin();
    if was == call.admin
        && call
            .move_sticky
            .is_none_or(|moves| moves == server.moves_sticky())
    {
        info!(server = %server.id, admin = %was, %peer, "server is already what was asked");
    }
    // Logs it, with the peer as the reason.
    let reason = format!("by {peer}");
    match (call.move_sticky, call.admin) {
        (None, admin) => shared.set_admin(server, admin, &reason),
        (Some(moves), Admin::Drain) => shared.drain(server, moves, &reason),
        (Some(_), _) => return Err(only_in_drain()),
    }
    Ok(reply::SetState {
        was,
        server: server_status(backend, server),
    })
}

fn only_in_drain() -> ErrorReply {
    ErrorReply::new(
        ErrorCode::BadRequest,
        "move_sticky goes with admin drain alone",
    )
    .hint("a server that is ready honours its cookie, and no cookie leads to one in maint")
}
