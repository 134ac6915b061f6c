//! `hello`: who is who.

use lb_proto::reply;
use lb_proto::request::Hello;
use tracing::debug;

use crate::control::session::Peer;

pub(in crate::control) fn run(call: &Hello, peer: &Peer) -> reply::Hello {
    let client = call.client.as_deref().unwrap_or("unnamed");
    debug!(%peer, client, "control client says hello");
    reply::Hello {
        lbd: lb_proto::VERSION.to_owned(),
        protocol: lb_proto::PROTOCOL,
        pid: std::process::id(),
    }
}
