//! What each call answers.

mod explain;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::error::ErrorReply;
use crate::event::Event;
use crate::name::FrontendName;
use crate::plan;
use crate::state::Admin;
use crate::status::{ServerStatus, TrialStatus};

pub use self::explain::{Because, Change, CheckRules, Explain, SessionKinds, Share};

/// The daemon's first line on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The daemon's version.
    pub lbd: String,
    /// [`crate::PROTOCOL`] of the daemon.
    pub protocol: u32,
}

/// One line from the daemon after its greeting.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Ok(Value),
    Error(ErrorReply),
    Event(Event),
}

/// An [`Answer`] under the id of the call it belongs to; `null` where the line had no readable id.
#[derive(Debug, Serialize, Deserialize)]
pub struct AnswerLine {
    pub id: Option<u64>,
    #[serde(flatten)]
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub lbd: String,
    pub protocol: u32,
    pub pid: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetState {
    /// What the operator wanted before.
    pub was: Admin,
    /// The server as it is now.
    pub server: ServerStatus,
    /// How many sessions are closed, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed: Option<u64>,
    /// Why the change, which is made, does not outlive a restart of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetWeight {
    /// The weight before.
    pub was: u16,
    /// The server as it is now.
    pub server: ServerStatus,
    /// As in [`SetState`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reload {
    /// The generation that runs now.
    pub generation: u64,
    /// False where the file said what ran already.
    pub changed: bool,
    /// What the operator should know though it does not stop the reload.
    pub warnings: Vec<String>,
    /// What is another now. Empty with `changed`: the text of the file alone.
    #[serde(default)]
    pub changes: Vec<plan::Change>,
    /// Present where it is kept only under a condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// What was judged: a path, or what the client called its text.
    pub file: String,
    /// Of its bytes, hexadecimal.
    pub sha256: String,
    /// The generation that runs, and goes on running.
    pub generation: u64,
    /// False where it says what runs already.
    pub changed: bool,
    /// Empty with `changed`: the text of the file differs and nothing that it configures.
    pub changes: Vec<plan::Change>,
    /// What the operator should know though it would not stop a reload.
    pub warnings: Vec<String>,
    /// What would stop one, though the configuration is valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obstacles: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Confirm {
    /// The generation that stays.
    pub generation: u64,
    /// What is wrong though it stays.
    #[serde(default)]
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rollback {
    /// The generation that runs now: a number of its own.
    pub generation: u64,
    /// The one that ran before.
    pub from: u64,
    /// When what runs now was loaded the first time. RFC 3339, UTC.
    pub of: String,
    pub changes: Vec<plan::Change>,
    pub warnings: Vec<String>,
    /// The daemon's file, which is not touched.
    pub path: String,
    /// It says something else than what runs. Absent: it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_differs: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeptConfigs {
    /// Newest first.
    pub kept: Vec<KeptConfig>,
}

/// A configuration that was good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeptConfig {
    pub number: u64,
    /// When it was loaded. RFC 3339, UTC.
    pub at: String,
    /// Who or what asked for it.
    pub by: String,
    /// The file that had it.
    pub path: String,
    /// The file that has it now, below a line about it.
    pub file: String,
    /// It is what runs.
    pub runs: bool,
    /// `rollback` leads to it.
    pub next: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadCerts {
    /// False where the files held what was shown already.
    pub changed: bool,
    /// What new handshakes show: an entry for each bind and each certificate of it.
    pub shown: Vec<Shown>,
    /// Files and folders that gave nothing to show.
    pub unusable: Vec<UnusableFile>,
    /// What the operator should know though it is shown.
    pub warnings: Vec<String>,
}

/// A certificate on a bind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// A whole path.
    pub file: String,
    /// SHA-256, hexadecimal.
    pub fingerprint: String,
    /// `admin` for the bind of `[admin]`, so that those who know of frontends alone look there, too.
    pub frontend: FrontendName,
    /// It is the bind of `[admin]`, and no frontend's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// The address listened on.
    pub bind: String,
    /// The names for which it is shown. Another certificate may come first for its other names.
    pub names: Vec<String>,
    /// Whether it is shown to clients that ask for no name that is known.
    pub default: bool,
    /// Networks that must send a PROXY header and alone may connect; empty: everybody may, without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_protocol: Vec<String>,
}

impl Shown {
    /// Whose bind it is; no frontend can be called `[admin]`.
    pub fn whose(&self) -> &str {
        match self.admin {
            true => "[admin]",
            false => self.frontend.as_str(),
        }
    }
}

/// A certificate file, or a folder, that gave nothing to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusableFile {
    /// A whole path.
    pub file: String,
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// What it held before is shown on.
    pub kept: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Oldest first.
    #[serde(deserialize_with = "known")]
    pub events: Vec<Event>,
}

/// Without those of a kind that only a later version has.
fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Event>, D::Error> {
    let events = Vec::<Value>::deserialize(from)?.into_iter();
    let known = events.filter_map(|event| serde_json::from_value(event).ok());
    Ok(known.collect())
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub watching: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingEnd {}
