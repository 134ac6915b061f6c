//! A rolling maintenance as the daemon keeps it: how far it is, and who is at it.

use serde::{Deserialize, Serialize};

use crate::name::ServerName;
use crate::status::By;

/// The servers of a backend, each in its turn. Kept until all are done, whatever becomes of the
/// `lbctl` that is at it and of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rolling {
    /// RFC 3339, UTC.
    pub since: String,
    /// Who began it, or went on with it last.
    pub by: By,
    /// Somebody is at it now; otherwise it stopped part-way and waits to be resumed.
    pub running: bool,
    /// In the order in which their turn comes.
    pub turns: Vec<Turn>,
}

impl Rolling {
    /// The server that is neither done nor to do.
    pub fn current(&self) -> Option<&Turn> {
        let begun = |turn: &&Turn| !matches!(turn.phase, Phase::ToDo | Phase::Done);
        self.turns.iter().find(begun)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Turn {
    pub server: ServerName,
    pub phase: Phase,
}

/// How far a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Phase {
    ToDo,
    /// Its sessions finish.
    Drain,
    /// It is in maint, and its maintenance is done.
    Maint,
    /// It is ready again, and its checks are to succeed.
    Return,
    Done,
}
