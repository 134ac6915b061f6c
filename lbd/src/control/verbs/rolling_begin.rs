//! `rolling_begin`: takes up the rolling maintenance of a backend.

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{ServerId, ServerName};
use lb_proto::request::RollingBegin;
use lb_proto::rolling::Rolling;
use lb_proto::state::Admin;
use tracing::info;

use super::{find_server, unknown};
use crate::control::Control;
use crate::control::session::Peer;
use crate::state::Claim;

pub(in crate::control) async fn run(
    call: &RollingBegin,
    control: &Control,
    peer: &Peer,
) -> Result<(Claim, Rolling), ErrorReply> {
    let by = peer.by().await;
    let shared = &control.shared;
    let backend = &call.backend;
    let snapshot = shared.snapshot();
    let known = snapshot
        .backend(backend)
        .ok_or_else(|| unknown(&snapshot, ErrorCode::NoSuchBackend, backend.as_str()))?;
    for server in &call.servers {
        find_server(&snapshot, &ServerId::new(backend, server))?;
    }
    let is_out = |server: &ServerName| {
        let server = known.server(server);
        server.is_some_and(|server| server.admin() != Admin::Ready)
    };
    let begun = shared.rolling.begin(call, is_out, by.clone())?;
    info!(%backend, resume = call.resume, %by, "rolling maintenance taken up");
    control.keep_rolling().await;
    Ok(begun)
}
