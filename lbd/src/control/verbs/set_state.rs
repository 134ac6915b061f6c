//! `set_state`: what the operator wants of a server.

use lb_proto::error::ErrorReply;
use lb_proto::reply;
use lb_proto::request::SetState;
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
    if was == call.admin {
        info!(server = %server.id, admin = %was, %peer, "server is already what was asked");
    }
    // Logs it, with the peer as the reason.
    shared.set_admin(server, call.admin, &format!("by {peer}"));
    Ok(reply::SetState {
        was,
        server: server_status(backend, server),
    })
}
