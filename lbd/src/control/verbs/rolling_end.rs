//! `rolling_end`: every server has had its turn.

use lb_proto::error::ErrorReply;
use lb_proto::reply;
use lb_proto::request::RollingEnd;
use tracing::info;

use crate::control::Control;
use crate::control::session::Peer;
use crate::state::Claim;

pub(in crate::control) async fn run(
    call: &RollingEnd,
    control: &Control,
    claims: &mut Vec<Claim>,
    peer: &Peer,
) -> Result<reply::RollingEnd, ErrorReply> {
    let backend = &call.backend;
    Claim::of(claims, backend)?;
    for claim in claims.extract_if(.., |claim| claim.backend() == backend) {
        claim.end();
    }
    info!(%backend, %peer, "rolling maintenance is done");
    control.keep_rolling().await;
    Ok(reply::RollingEnd {})
}
