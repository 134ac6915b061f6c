//! What somebody asked of the daemon, and what came of it.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, ErrorReply};
use crate::status::By;

/// A change that was asked for, made or not; or one that lbd made by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Audit {
    /// RFC 3339, UTC.
    pub at: String,
    /// Empty where nobody is known: whose signal it was, the kernel does not tell. lbd itself where it went back
    /// from what was on trial.
    pub by: By,
    /// The call, as `set_state`; the signal, as `SIGHUP`.
    pub what: String,
    /// The server, or the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub outcome: Outcome,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Outcome {
    Done,
    /// It cannot be, as it was asked.
    Refused,
    /// It was tried.
    Failed,
}

impl Outcome {
    pub fn of_error(error: &ErrorReply) -> Self {
        match error.code {
            ErrorCode::Failed | ErrorCode::TimedOut => Self::Failed,
            _ => Self::Refused,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
