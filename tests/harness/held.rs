//! Requests that stay in flight until their origin is told to answer.

use std::net::SocketAddr;

use crate::wire::request;
use crate::{Origin, Wire, eventually, is};

/// A request by way of `at` that the origin holds until its release.
#[track_caller]
pub fn one(at: SocketAddr, origin: &Origin) -> Wire {
    origin.hold("/held");
    let wire = ask(at);
    reached(origin);
    wire
}

/// A request to each of the servers that `at` balances over.
#[track_caller]
pub fn one_each(at: SocketAddr, origins: &[Origin]) -> Vec<Wire> {
    origins.iter().for_each(|origin| origin.hold("/held"));
    let wires = origins.iter().map(|_| ask(at)).collect();
    origins.iter().for_each(reached);
    wires
}

fn ask(at: SocketAddr) -> Wire {
    let mut wire = Wire::connect(at);
    wire.send(request("GET", "/held"));
    wire
}

#[track_caller]
fn reached(origin: &Origin) {
    let name = format!("a request is in flight to {}", origin.name());
    eventually(&name, || is(origin.in_flight(), 1));
}
