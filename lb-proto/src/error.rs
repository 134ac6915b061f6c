//! Errors as they cross the socket, and one problem of a configuration file.

use serde::de::IntoDeserializer;
use serde::de::value::{self, StringDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use crate::exit::Exit;

/// What went wrong with a call: for programs the code, for people the message and the hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct ErrorReply {
    #[serde(deserialize_with = "known")]
    pub code: ErrorCode,
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// With `invalid_config`: every problem of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl ErrorReply {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            problems: Vec::new(),
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ErrorCode {
    /// The line is no JSON, or not of a request's form, or its arguments do not fit.
    BadRequest,
    /// The line is longer than [`crate::frame::MAX_LINE`].
    LineTooLong,
    UnknownCall,
    /// The configuration file has problems; nothing was changed.
    InvalidConfig,
    /// The daemon tried and could not (an address in use, say); nothing was changed.
    Failed,
    NoSuchFrontend,
    NoSuchBackend,
    NoSuchServer,
    /// Somebody else is at it; nothing was changed.
    Busy,
    /// The daemon is stopping.
    Stopping,
    // The rest are said by clients, never by the daemon.
    Usage,
    NoDaemon,
    NotAllowed,
    TimedOut,
    /// Ctrl-C ended a wait.
    Interrupted,
    /// Rolling maintenance stopped part-way.
    StoppedPartWay,
}

impl ErrorCode {
    /// The exit code of `lbctl` that belongs to it.
    pub fn exit(self) -> Exit {
        match self {
            Self::InvalidConfig => Exit::InvalidConfig,
            Self::NoSuchFrontend | Self::NoSuchBackend | Self::NoSuchServer => Exit::NoSuchName,
            Self::BadRequest
            | Self::LineTooLong
            | Self::UnknownCall
            | Self::Failed
            | Self::Busy
            | Self::Stopping => Exit::Failed,
            Self::Usage => Exit::Usage,
            Self::NoDaemon => Exit::NoDaemon,
            Self::NotAllowed => Exit::NotAllowed,
            Self::TimedOut => Exit::TimedOut,
            Self::Interrupted => Exit::Interrupted,
            Self::StoppedPartWay => Exit::StoppedPartWay,
        }
    }
}

/// A code that only a later version has is `failed` here: the message says the rest.
fn known<'de, D: Deserializer<'de>>(from: D) -> Result<ErrorCode, D::Error> {
    let code = String::deserialize(from)?;
    let code: StringDeserializer<value::Error> = code.into_deserializer();
    Ok(ErrorCode::deserialize(code).unwrap_or(ErrorCode::Failed))
}

/// One problem of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line of the file.
    pub source: String,
    /// What to do about it.
    pub remedy: String,
}
