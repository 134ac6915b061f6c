//! Every call a client may make.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Call;
use crate::error::{ErrorCode, ErrorReply};
use crate::name::{BackendName, ServerId, ServerName};
use crate::reason::Reason;
use crate::reply;
use crate::rolling::{Hook, Phase, Rolling};
use crate::state::Admin;
use crate::status::Status as StatusReply;

/// The largest weight of a server; HAProxy's bound too (configuration manual, 5.2).
pub const MAX_WEIGHT: u32 = 256;

/// The longest [`SetState::for_s`]: the longest duration of the configuration, 24 days.
pub const MAX_FOR_S: u64 = 24 * 24 * 60 * 60;

/// One line from a client.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestLine {
    /// Chosen by the client; the reply carries it back.
    pub id: u64,
    pub call: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub args: Value,
}

/// Says who the client is and learns who the daemon is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The client's name, for the daemon's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// Asks how everything is, or one backend or server of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// `BACKEND` or `BACKEND/SERVER`; everything if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// Asks why a server is in its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    pub server: ServerId,
}

/// Sets what the operator wants of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetState {
    pub server: ServerId,
    pub admin: Admin,
    /// What it was set to when whoever asks looked; where it is something else by now, nothing is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Admin>,
    /// With `drain`: whether clients that its cookie names are sent elsewhere, too. Absent: as it is;
    /// `ready` ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_sticky: Option<bool>,
    /// Why, for whoever sees it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// With `drain` and `maint`: the server is ready again after so many seconds, unless somebody sets
    /// it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// With `maint`: the sessions that the server has are closed at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kill: bool,
}

/// Sets a server's weight, whatever the configuration says, until that says another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetWeight {
    pub server: ServerId,
    /// From 0, which gives it no new sessions but those of its sticky clients, to [`MAX_WEIGHT`].
    /// Absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Why, for whoever sees it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Asks what a reload would change, and which sessions that would touch. Nothing is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The text of another configuration; absent: the daemon's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What problems of `text` call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// The longest [`Reload::confirm_within_s`]: a day.
pub const MAX_CONFIRM_WITHIN_S: u64 = 24 * 60 * 60;

/// Reads the configuration file again and swaps it in, or leaves everything as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// The former configuration comes back after so many seconds, unless [`Confirm`] comes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_s: Option<u64>,
    /// The former configuration comes back where a backend is left without a server by its checks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback_if_down: bool,
}

/// Keeps the configuration that waits to be confirmed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirm {}

/// Goes back to the configuration before this one. The file is not touched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {}

/// Asks which good configurations are kept, and where [`Rollback`] leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptConfigs {}

/// Reads the certificate files again and shows what they hold now in new handshakes. The rest of the
/// configuration, its file edited or not, and all connections stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadCerts {
    /// Only this file, by a whole path; what the others hold now is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// Asks what happened lately.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Nothing older. RFC 3339; absent: as much as is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The changes that somebody asked for, which are kept longer than other events.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
}

/// Takes up the rolling maintenance of a backend, until this connection ends: nobody else may
/// meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingBegin {
    pub backend: BackendName,
    /// Whose turn comes, in order. With `resume` those of the one that stopped, and these are not
    /// looked at.
    #[serde(default)]
    pub servers: Vec<ServerName>,
    /// Goes on with the one that stopped part-way.
    #[serde(default)]
    pub resume: bool,
}

/// Notes how far a server is, for whoever resumes. Only on the connection that took it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingStep {
    pub server: ServerId,
    pub phase: Phase,
    /// CMD, which is about to begin; absent, none is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Hook>,
}

/// Every server has had its turn: nothing is left to resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingEnd {
    pub backend: BackendName,
}

/// Streams [`crate::event::Event`]s under this call's id until the client hangs up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {}

macro_rules! calls {
    ($($type:ident = $name:literal -> $reply:ty),* $(,)?) => {
        /// A call with its arguments read; dispatch matches on it without `_`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request { $($type($type)),* }

        $(impl Call for $type {
            const NAME: &'static str = $name;
            type Reply = $reply;
        })*

        impl Request {
            /// The names of all calls.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Reads the arguments of the call named `call`.
            ///
            /// # Errors
            /// `unknown_call` for a name that is none, `bad_request` for arguments that do not fit.
            pub fn read(call: &str, args: Value) -> Result<Self, ErrorReply> {
                let args = if args.is_null() { Value::Object(Default::default()) } else { args };
                match call {
                    $($name => serde_json::from_value(args).map(Self::$type).map_err(|e| {
                        ErrorReply::new(ErrorCode::BadRequest, format!("arguments of {call:?}: {e}"))
                    }),)*
                    _ => Err(ErrorReply::new(
                        ErrorCode::UnknownCall,
                        format!("there is no call {call:?}"),
                    )
                    .hint(format!("calls are {}", Self::NAMES.join(", ")))),
                }
            }
        }
    };
}

calls! {
    Hello = "hello" -> reply::Hello,
    Status = "status" -> StatusReply,
    Explain = "explain" -> reply::Explain,
    SetState = "set_state" -> reply::SetState,
    SetWeight = "set_weight" -> reply::SetWeight,
    Plan = "plan" -> reply::Plan,
    Reload = "reload" -> reply::Reload,
    Confirm = "confirm" -> reply::Confirm,
    Rollback = "rollback" -> reply::Rollback,
    KeptConfigs = "kept_configs" -> reply::KeptConfigs,
    ReloadCerts = "reload_certs" -> reply::ReloadCerts,
    Events = "events" -> reply::Events,
    RollingBegin = "rolling_begin" -> Rolling,
    RollingStep = "rolling_step" -> Rolling,
    RollingEnd = "rolling_end" -> reply::RollingEnd,
    Watch = "watch" -> reply::Watch,
}
