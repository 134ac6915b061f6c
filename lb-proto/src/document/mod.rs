//! What `lbctl --json` prints, where that is more or other than what the daemon answered.
//!
//! Keys stand in the order of the alphabet, as the first scripts saw them, but where one document is
//! part of another. Which command prints which is said in `schema.rs`.

pub mod cert;
pub mod doctor;
pub mod rolling;
pub mod servers;

use serde::Serialize;

use crate::error::{ErrorReply, Problem};
use crate::reply;

/// Any command that failed: what went wrong, under the exit code that belongs to it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    pub error: ErrorReply,
    /// How the servers are that a wait was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Unfinished>,
}

/// What a command that waits leaves where its wait did not reach its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Unfinished {
    Drain(Vec<servers::Drained>),
    Ready(Vec<servers::Readied>),
    Maint(Vec<servers::Maintained>),
    RollingMaintenance(rolling::Stopped),
}

/// What a command printed of one of several nodes, with `--host`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OfHost<D> {
    pub host: String,
    /// As the command prints it of a single one, a failure or not.
    pub document: D,
}

/// What `rollback` did, or with `--list` could do.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RolledBack {
    Done(reply::Rollback),
    Kept(reply::KeptConfigs),
}

/// A file that is valid.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Validated {
    pub backends: usize,
    pub file: String,
    pub frontends: usize,
    pub servers: usize,
    /// What was checked, in words.
    pub summary: String,
    /// Always true: a file that is not valid is a failure, which has its problems.
    pub valid: bool,
    /// What works, but should not stay so.
    pub warnings: Vec<Problem>,
}

/// Why a server is in its state: what the daemon told, with what follows from it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explained {
    /// The state and the reason in one sentence, for people.
    pub sentence: String,
    #[serde(flatten)]
    pub told: reply::Explain,
    /// What to try.
    pub next: Vec<String>,
}

/// A script that a shell loads.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Completions {
    pub script: String,
    pub shell: String,
}

/// Manual pages that were written.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Man {
    pub folder: String,
    /// The files in it, that of lbctl itself first.
    pub pages: Vec<String>,
}

/// The hash of a password.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HashPassword {
    /// A PHC string, for `password_hash` of `[[admin.users]]`.
    pub password_hash: String,
}
