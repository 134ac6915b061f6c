//! Of the commands that set what servers are to do.

use serde::Serialize;

use crate::name::ServerId;
use crate::state::{Admin, Health, State};
use crate::status::CheckStatus;

/// The servers that a command was about, in the order in which it named them.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Servers<S> {
    pub servers: Vec<S>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Drained {
    pub admin: Admin,
    /// Whether no session is left, and none may begin.
    pub drained: bool,
    /// Whether clients are sent elsewhere whose cookie names the server.
    pub move_sticky: bool,
    pub server: ServerId,
    pub sessions: u64,
    /// Whose cookie names it, in the last minute; null without stickiness.
    pub sticky_clients: Option<u64>,
    pub waited_s: f64,
    /// What it was before.
    pub was: Admin,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Readied {
    pub admin: Admin,
    pub health: Health,
    /// Null before the first one, and without checks.
    pub last_check: Option<CheckStatus>,
    pub server: ServerId,
    pub state: State,
    pub waited_s: f64,
    /// What it was before.
    pub was: Admin,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Maintained {
    pub admin: Admin,
    pub server: ServerId,
    pub sessions: u64,
    /// What it was before.
    pub was: Admin,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Weighed {
    pub server: ServerId,
    /// What counted before.
    pub was: u16,
    pub weight: u16,
    pub weight_configured: u16,
}
