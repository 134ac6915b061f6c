//! What `watch` streams.

use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::name::ServerId;
use crate::state::{Admin, Health, State};

/// Something that changed, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Event {
    /// A server's admin state, its `move_sticky` or its health changed, or it was ejected or let back.
    Server {
        /// RFC 3339, UTC.
        at: String,
        server: ServerId,
        was: State,
        state: State,
        admin: Admin,
        health: Health,
        /// Its cookie is not honoured while it drains.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        move_sticky: bool,
        /// It gets no new sessions because it failed too often.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ejected: bool,
        /// Who or what changed it, and why.
        reason: String,
    },
    /// A server's weight was set, or is the configured one again.
    Weight {
        at: String,
        server: ServerId,
        was: u16,
        weight: u16,
        reason: String,
    },
    /// Somebody asked for a change.
    Audit(Audit),
    /// A configuration was loaded, confirmed or taken back.
    Config {
        at: String,
        generation: u64,
        /// Who or what did that, and why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// The client read too slowly: this many events were dropped.
    Missed { events: u64 },
}

impl Event {
    /// When it happened.
    pub fn at(&self) -> Option<&str> {
        match self {
            Self::Server { at, .. } | Self::Weight { at, .. } | Self::Config { at, .. } => Some(at),
            Self::Audit(record) => Some(&record.at),
            Self::Missed { .. } => None,
        }
    }
}
