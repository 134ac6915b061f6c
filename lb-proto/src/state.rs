//! What the operator wants, what checks say, and the one function that joins them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the operator wants of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Admin {
    /// Takes sessions.
    Ready,
    /// Takes no new sessions; running ones finish; checks go on.
    Drain,
    /// Takes no sessions at all; checks stop.
    Maint,
}

/// What health checks say of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Health {
    Up,
    Down,
    /// No check has spoken yet, or none is configured: the server takes traffic.
    Unchecked,
}

/// What follows from [`Admin`] and [`Health`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum State {
    Up,
    Down,
    Drain,
    Maint,
}

impl State {
    /// Joins the two: the only place that does.
    ///
    /// | admin \ health | up    | unchecked | down  |
    /// |----------------|-------|-----------|-------|
    /// | ready          | up    | up        | down  |
    /// | drain          | drain | drain     | down  |
    /// | maint          | maint | maint     | maint |
    pub fn of(admin: Admin, health: Health) -> Self {
        match (admin, health) {
            (Admin::Maint, _) => Self::Maint,
            (_, Health::Down) => Self::Down,
            (Admin::Drain, _) => Self::Drain,
            (Admin::Ready, _) => Self::Up,
        }
    }

    /// Whether the server may be given a session that nothing ties to it.
    pub fn takes_new_sessions(self) -> bool {
        self == Self::Up
    }

    /// Whether the server may be given a session of a client whose cookie names it.
    pub fn takes_returning_clients(self) -> bool {
        matches!(self, Self::Up | Self::Drain)
    }
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $type {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words!(Admin { Ready = "ready", Drain = "drain", Maint = "maint" });
words!(Health { Up = "up", Down = "down", Unchecked = "unchecked" });
words!(State { Up = "up", Down = "down", Drain = "drain", Maint = "maint" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maint_hides_health_and_down_hides_drain() {
        assert_eq!(State::of(Admin::Maint, Health::Up), State::Maint);
        assert_eq!(State::of(Admin::Maint, Health::Down), State::Maint);
        assert_eq!(State::of(Admin::Drain, Health::Down), State::Down);
        assert_eq!(State::of(Admin::Drain, Health::Unchecked), State::Drain);
        assert_eq!(State::of(Admin::Ready, Health::Unchecked), State::Up);
        assert_eq!(State::of(Admin::Ready, Health::Up), State::Up);
        assert_eq!(State::of(Admin::Ready, Health::Down), State::Down);
    }
}
