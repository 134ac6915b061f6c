//! `watch`: events as they happen.

use lb_proto::event::Event;
use lb_proto::reply;
use tokio::sync::broadcast::Receiver;

use crate::state::Shared;

/// Subscribed before the reply is written: what a client does after it has read the reply, it will
/// hear of.
pub(in crate::control) fn run(shared: &Shared) -> (reply::Watch, Receiver<Event>) {
    (reply::Watch { watching: true }, shared.events())
}
