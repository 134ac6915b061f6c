//! What each call answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ErrorReply;
use crate::event::Event;
use crate::state::Admin;
use crate::status::ServerStatus;

/// The daemon's first line on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The daemon's version.
    pub lbd: String,
    /// [`crate::PROTOCOL`] of the daemon.
    pub protocol: u32,
}

/// One line from the daemon after its greeting.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Ok(Value),
    Error(ErrorReply),
    Event(Event),
}

/// An [`Answer`] under the id of the call it belongs to; `null` where the line had no readable id.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerLine {
    pub id: Option<u64>,
    #[serde(flatten)]
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub lbd: String,
    pub protocol: u32,
    pub pid: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetState {
    /// What the operator wanted before.
    pub was: Admin,
    /// The server as it is now.
    pub server: ServerStatus,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// The generation that runs now.
    pub generation: u64,
    /// False where the file said what ran already.
    pub changed: bool,
    /// What the operator should know though it does not stop the reload.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub watching: bool,
}
