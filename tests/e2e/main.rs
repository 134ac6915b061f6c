//! lbd and lbctl as built programs, against real origins on free ports. Needs nothing but cargo.

mod accounting;
mod admin;
mod answers;
mod balance;
mod demo;
mod drain;
mod exit_codes;
mod failover;
mod forwarded;
mod framing;
mod health;
mod hop_by_hop;
mod limits;
mod malformed;
mod reload;
mod retries;
mod routes;
mod scale;
mod service;
mod socket;
mod socket_file;
mod spread;
mod stop;
mod streaming;
mod terminal;
mod versions;
