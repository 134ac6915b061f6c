//! The answer to `explain`: why a server is in its state.

use serde::{Deserialize, Serialize};

use crate::name::BackendName;
use crate::state::State;
use crate::status::{CheckStatus, ServerStatus};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explain {
    pub backend: BackendName,
    /// `http` or `tcp`.
    pub mode: String,
    pub balance: String,
    pub server: ServerStatus,
    /// When it came into its state: RFC 3339, UTC.
    pub since: String,
    /// Absent where it is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckRules>,
    /// The last sixteen, oldest first; since the process started or its address changed.
    pub probes: Vec<CheckStatus>,
    /// How many of the last results, in a row, speak against its health: `fall` of them bring it down,
    /// `rise` up.
    pub against: u32,
    /// The last sixteen things that happened to it, oldest first.
    pub changes: Vec<Change>,
    pub sessions: SessionKinds,
    pub share: Share,
}

/// How it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckRules {
    /// This and the next three: absent where a connection is all that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Absent, too, where it is the server's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// As configured: `200-399`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub rise: u32,
    pub fall: u32,
}

/// Something that happened to a server, as `watch` streams it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    /// RFC 3339, UTC.
    pub at: String,
    pub was: State,
    pub state: State,
    /// Who or what did it, and why.
    pub reason: String,
}

/// Sessions now, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionKinds {
    /// HTTP requests in flight.
    pub requests: u64,
    /// Connections that went over to another protocol, as WebSockets do.
    pub tunnels: u64,
    /// Of mode tcp.
    pub connections: u64,
}

/// What a server gets of the sessions that nothing ties to a server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Share {
    /// Of its backend's.
    pub percent: f64,
    pub because: Because,
}

/// Why it is that much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Because {
    /// Its weight, and those of the others.
    Weight,
    /// It came up a moment ago, and its part grows (`slow_start`).
    SlowStart,
    /// A backup, while no other server is up.
    StandsIn,
    /// It is ejected, and so is everybody else.
    LastResort,
    /// Nothing: a backup, while others are up.
    Spare,
    /// Nothing: a backup, while another backup takes all.
    AnotherBackup,
    /// Nothing: it failed too often (`outlier`).
    Ejected,
    /// Nothing: its weight is 0.
    Weightless,
    /// Nothing: its state does not let it.
    NotUp,
}
