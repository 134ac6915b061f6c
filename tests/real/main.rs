//! lbd between programs that others wrote: nginx as the origin, wrk and curl as clients.
//!
//! `cargo test --workspace -- --ignored` runs them; `.ci/run` installs what they need.

mod app_servers;
mod curl;
mod origin;
mod wrk;
