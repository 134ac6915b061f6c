//! Of a rolling maintenance: an event a line while it goes on.

use serde::Serialize;

use crate::name::{BackendName, ServerId, ServerName};
use crate::rolling::Phase;
use crate::state::Admin;

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Event {
    /// What would be done, with `--dry-run`.
    Plan {
        backend: BackendName,
        done: Vec<ServerName>,
        todo: Vec<Turn>,
        skipped: Vec<Skipped>,
    },
    Begin {
        backend: BackendName,
        done: Vec<ServerName>,
        todo: Vec<ServerName>,
        skipped: Vec<Skipped>,
    },
    /// A server comes to the next step of its turn.
    Phase {
        server: ServerId,
        phase: Phase,
        /// What the others that are up have of the backend's weight.
        capacity_percent: u64,
    },
    /// Its sessions did not end in time, and CMD may cut them.
    SessionsLeft {
        server: ServerId,
        sessions: u64,
    },
    /// A line that CMD wrote.
    Output {
        server: ServerId,
        stream: Stream,
        line: String,
    },
    /// Somebody took it out before its turn came: it stays as it is.
    Skipped {
        server: ServerId,
        admin: Admin,
    },
    /// A restart of lbd would forget how far this is.
    NotKept {
        why: String,
    },
    Done {
        server: ServerId,
        took_s: f64,
    },
    Finished {
        done: Vec<ServerName>,
        skipped: Vec<Skipped>,
    },
}

/// A turn that would come.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Turn {
    pub server: ServerName,
    pub others_up: Vec<ServerName>,
    pub capacity_percent: u64,
}

/// A server that is left out: it is somebody's already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Skipped {
    pub server: ServerName,
    pub admin: Admin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One that stopped part-way.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stopped {
    pub done: Vec<ServerName>,
    pub skipped: Vec<Skipped>,
    pub stopped_at: StoppedAt,
    pub todo: Vec<ServerName>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StoppedAt {
    pub phase: Phase,
    /// Null where it stopped after the last one.
    pub server: Option<ServerName>,
}
