//! What another configuration changes of the one that runs, as `plan` and `reload` tell it.

use serde::{Deserialize, Serialize};

use crate::name::ServerName;

/// One thing that changes, and what becomes of the sessions that it touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Change {
    pub change: Kind,
    #[serde(flatten)]
    pub place: Place,
    /// The key, as in `health.interval`; absent where the whole of it is new, gone or moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// In the words of the configuration file; absent where there was nothing, or nothing was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    pub effect: Effect,
    /// How many sessions run now that it touches; absent where it touches none by its nature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// How many client connections the frontend has now; absent where the change touches none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Kind {
    Added,
    Removed,
    Changed,
    /// Among others of its kind, and otherwise the same.
    Moved,
}

/// Where something changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Place {
    pub section: Section,
    /// Of the frontend or backend; the path of a certificate file; empty in `global`, `admin` and `traces`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Absent: the section itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Section {
    Global,
    Admin,
    Traces,
    Frontend,
    Backend,
    /// What a certificate file holds.
    Certificate,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Part {
    /// Its address, as configured.
    Bind(String),
    /// Its position, counted from 1: in the new configuration, or in the old one where it is gone.
    Route(usize),
    Server(ServerName),
}

/// When a change counts, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Effect {
    /// At once, and no session is touched.
    AtOnce,
    /// For requests, or connections of mode tcp, that begin from then on.
    NewRequests,
    /// For client connections that are made from then on.
    NewConnections,
    /// For TLS handshakes that begin from then on.
    NewHandshakes,
    /// For sessions that begin from then on.
    NewSessions,
    /// Its sessions finish, and it gets nothing new.
    SessionsFinish,
    /// Its client connections finish what they carry, and none is accepted any more.
    ConnectionsFinish,
    /// Health starts over; sessions finish where they are, and no kept connection is used again.
    StartsOver,
    /// Kept connections are not used again; sessions finish on theirs.
    Reconnects,
    /// Checks begin anew; health stays what it is until they say something else.
    ChecksAgain,
    /// It takes sessions once its checks succeed, or at once where no other server is up.
    Joins,
    /// Connections are accepted there from then on.
    Listens,
    /// Clients that bring the cookie of before are sent to any server.
    CookiesForgotten,
    /// When lbd is restarted.
    Restart,
    /// Nothing but what is shown, and in which order.
    Shown,
}
