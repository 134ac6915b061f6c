//! `rolling_step`: how far a server is.

use lb_proto::error::ErrorReply;
use lb_proto::request::RollingStep;
use lb_proto::rolling::Rolling;

use crate::control::Control;
use crate::state::Claim;

pub(in crate::control) async fn run(
    call: &RollingStep,
    control: &Control,
    claims: &[Claim],
) -> Result<Rolling, ErrorReply> {
    let claim = Claim::of(claims, &call.server.backend)?;
    let rolling = claim.step(call)?;
    control.keep_rolling().await;
    Ok(rolling)
}
