//! From a call to the verb that carries it out.

use lb_proto::call::Call;
use lb_proto::error::ErrorReply;
use lb_proto::event::Event;
use lb_proto::request::Request;
use serde::Serialize;
use tokio::sync::broadcast::Receiver;

use super::Control;
use super::session::{Peer, error_line, line};
use super::verbs::{
    confirm, events, explain, hello, kept_configs, plan, reload, reload_certs, rollback,
    rolling_begin, rolling_end, rolling_step, set_state, set_weight, status, watch,
};
use crate::state::Claim;

/// The answer to a call.
pub(super) struct Answered {
    pub(super) line: Vec<u8>,
    /// Events to stream under the call's id from now on.
    pub(super) events: Option<Receiver<Event>>,
}

pub(super) async fn dispatch(
    id: u64,
    request: Request,
    control: &Control,
    peer: &Peer,
    claims: &mut Vec<Claim>,
) -> Answered {
    let mut events = None;
    let line = match &request {
        Request::Hello(call) => answer(id, call, Ok(hello::run(call, peer))),
        Request::Status(call) => answer(id, call, status::run(call, control).await),
        Request::Explain(call) => answer(id, call, explain::run(call, control)),
        Request::SetState(call) => {
            let by = peer.by().await;
            answer(id, call, set_state::run(call, control, by).await)
        }
        Request::SetWeight(call) => answer(id, call, set_weight::run(call, control, peer).await),
        Request::Plan(call) => answer(id, call, plan::run(call, control).await),
        Request::Reload(call) => answer(id, call, reload::run(call, control, peer).await),
        Request::Confirm(call) => answer(id, call, confirm::run(control, peer).await),
        Request::Rollback(call) => answer(id, call, rollback::run(control, peer).await),
        Request::KeptConfigs(call) => answer(id, call, kept_configs::run(control).await),
        Request::ReloadCerts(call) => {
            answer(id, call, reload_certs::run(call, control, peer).await)
        }
        Request::Events(call) => answer(id, call, events::run(call, control).await),
        Request::RollingBegin(call) => {
            let begun = rolling_begin::run(call, control, peer).await;
            let reply = begun.map(|(claim, rolling)| {
                claims.push(claim);
                rolling
            });
            answer(id, call, reply)
        }
        Request::RollingStep(call) => {
            answer(id, call, rolling_step::run(call, control, claims).await)
        }
        Request::RollingEnd(call) => answer(
            id,
            call,
            rolling_end::run(call, control, claims, peer).await,
        ),
        Request::Watch(call) => {
            let (reply, stream) = watch::run(&control.shared);
            events = Some(stream);
            answer(id, call, Ok(reply))
        }
    };
    Answered { line, events }
}

/// Serialises the reply that belongs to the call, straight to bytes: a status may be large.
fn answer<C: Call>(id: u64, _: &C, reply: Result<C::Reply, ErrorReply>) -> Vec<u8> {
    #[derive(Serialize)]
    struct OkLine<R> {
        id: u64,
        ok: R,
    }
    match reply {
        Ok(ok) => line(&OkLine { id, ok }),
        Err(error) => error_line(Some(id), error),
    }
}
