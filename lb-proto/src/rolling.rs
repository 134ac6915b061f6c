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
    /// CMD for the server whose turn it is, as it was begun; it may have ended since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Hook>,
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

/// A process of the machine on which `lbctl` runs, told apart from any other that has had its pid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hook {
    pub pid: u32,
    /// Clock ticks from the start of the machine to its own (`starttime` of proc_pid_stat(5)).
    pub started: u64,
    /// The name of the machine.
    pub host: String,
    /// Which start of the machine that was (`boot_id` of random(4)).
    pub boot: String,
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
