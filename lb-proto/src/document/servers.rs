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
    /// Why a restart of lbd would forget it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
    pub server: ServerId,
    pub sessions: u64,
    /// Whose cookie names it, in the last minute; null without stickiness.
    pub sticky_clients: Option<u64>,
    /// When it is ready again by itself. RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
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
    /// Why a restart of lbd would forget it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
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
    /// Why a restart of lbd would forget it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
    pub server: ServerId,
    pub sessions: u64,
    /// When it is ready again by itself. RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What it was before.
    pub was: Admin,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Weighed {
    /// Why a restart of lbd would forget it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
    pub server: ServerId,
    /// What counted before.
    pub was: u16,
    pub weight: u16,
    pub weight_configured: u16,
}
