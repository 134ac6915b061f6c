//! The answer to `status`: `lbctl status --json` prints it as it is.

mod certificates;
mod check;
mod kept;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::name::{BackendName, FrontendName, ServerName};
use crate::rolling::Rolling;
use crate::state::{Admin, Health, State};

pub use self::certificates::{CertificateState, CertificateStatus, TlsStatus};
pub use self::check::{CheckResult, CheckStatus};
pub use self::kept::KeptStatus;

/// The schema number of [`Status`]; it changes only when a field is lost or changes its meaning.
pub const SCHEMA: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    pub schema: u32,
    pub daemon: Daemon,
    pub frontends: Vec<FrontendStatus>,
    pub backends: Vec<BackendStatus>,
    /// Those that clients are shown, by their files; none where one backend or server was asked for.
    #[serde(default)]
    pub certificates: Vec<CertificateStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Daemon {
    pub version: String,
    pub pid: u32,
    /// Seconds since the process started.
    pub uptime_s: u64,
    /// When that was by the clock of then: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    pub config: ConfigStatus,
    /// Client connections open now: those that count for the limit.
    pub connections: u64,
    /// Of these, those of frontends that the configuration no longer has.
    #[serde(default)]
    pub connections_removed: u64,
    /// How many client connections may be open at once.
    pub connections_limit: u64,
    /// TLS handshakes with clients in progress now.
    #[serde(default)]
    pub handshakes: u64,
    /// Those that wait for one of the others to end.
    #[serde(default)]
    pub handshakes_waiting: u64,
    /// How many may be in progress at once.
    #[serde(default)]
    pub handshakes_limit: u64,
    /// Absent while requests are not logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLogStatus>,
    #[serde(default)]
    pub kept: KeptStatus,
    /// Where it answers by HTTP; absent where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<AdminStatus>,
}

/// What `[admin]` comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AdminStatus {
    /// As bound.
    pub bind: String,
    /// Present where it is spoken to by TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccessLogStatus {
    /// The file, or `stdout`.
    pub path: String,
    /// Lines that could not be written since the process started.
    pub lost: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigStatus {
    pub path: String,
    /// 1 at process start, one more with each reload that changed something.
    pub generation: u64,
    /// RFC 3339, UTC.
    pub loaded_at: String,
    /// Of the bytes of what runs, hexadecimal.
    pub sha256: String,
    /// The file says something else by now. Absent: it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_differs: Option<bool>,
    /// False while `lbctl confirm` is waited for.
    #[serde(default = "yes")]
    pub confirmed: bool,
    /// Present while the former configuration may come back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<TrialStatus>,
    /// What came of the last reload; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<LastReload>,
}

fn yes() -> bool {
    true
}

/// What brings the former configuration back. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrialStatus {
    /// Who asked for it.
    pub by: String,
    /// Unless it is confirmed until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_left_s: Option<u64>,
    /// Where a backend is left without a server until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_left_s: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastReload {
    /// RFC 3339, UTC.
    pub at: String,
    /// Whether what it loaded runs, or did until somebody changed it.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FrontendStatus {
    pub name: FrontendName,
    pub mode: String,
    /// Addresses listened on, the ports chosen for port 0 included.
    pub binds: Vec<String>,
    /// Client connections open now.
    pub connections: u64,
    /// Requests in flight now.
    pub sessions: u64,
    pub requests_total: u64,
    /// Bytes from clients, heads included.
    pub bytes_in: u64,
    /// Bytes to clients, heads included.
    pub bytes_out: u64,
    /// Those of its binds where clients speak TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<TlsStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BackendStatus {
    pub name: BackendName,
    pub balance: String,
    /// Requests waiting for a server.
    pub queued: u64,
    pub servers: Vec<ServerStatus>,
    /// Present while a rolling maintenance is on, or stopped part-way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Rolling>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerStatus {
    pub name: ServerName,
    /// Where it is; the name as configured while that leads nowhere.
    pub address: String,
    /// Present where the configuration has a host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostStatus>,
    pub weight: u16,
    /// What it is where nobody has set another.
    #[serde(default)]
    pub weight_configured: u16,
    /// It takes sessions only while no other server can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
    pub admin: Admin,
    pub health: Health,
    pub state: State,
    /// Whether health checks are configured for it.
    pub check: bool,
    /// Clients that its cookie led to it in the last minute, roughly: pairs of address and
    /// User-Agent. Absent where the backend is not sticky.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_clients: Option<u64>,
    /// Its cookie is not honoured while it drains.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub move_sticky: bool,
    /// Sessions now.
    pub sessions: u64,
    /// The most sessions at once since the process started.
    pub sessions_max: u64,
    pub sessions_total: u64,
    /// Bytes from clients to the server, heads included.
    pub bytes_in: u64,
    /// Bytes from the server to clients, heads included.
    pub bytes_out: u64,
    pub errors: Errors,
    /// Absent until a check has spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<CheckStatus>,
    /// Present while it is down and no check speaks against it: it waits for enough that succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rising: Option<Rising>,
    /// Seconds since its state last changed.
    pub changed_s: u64,
    /// The name of a cookie that it set and that looks like a session of its own, where the backend is
    /// not sticky.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_cookie: Option<String>,
    /// Present while it gets no new sessions because it failed too often (`outlier`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected: Option<Ejected>,
    /// What is not as the configuration has it, because somebody said so.
    #[serde(default)]
    pub overrides: Overrides,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overrides {
    /// Present while the server is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Override>,
    /// Present while its weight is not the configured one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Override>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Override {
    /// RFC 3339, UTC.
    pub at: String,
    /// Seconds since then.
    pub age_s: u64,
    pub by: By,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it ends by itself. RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Seconds until then, whatever the clock was set to meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_s: Option<u64>,
    /// What the server is then, where not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Admin>,
}

/// Who did something: by the control socket as the kernel and the user database know them, by HTTP as `[admin]`
/// does; nobody who is known where a signal asked for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct By {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The name of `uid`, where it has one; with `dashboard` who logged in there, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Asked by HTTP, at `[admin]`, from this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dashboard: Option<IpAddr>,
}

impl By {
    /// Whether they are known to be the same one. The process may be another.
    pub fn is_also(&self, other: &Self) -> bool {
        match self.uid {
            Some(_) => self.uid == other.uid,
            None => self == other,
        }
    }
}

/// `ops (uid 1000, pid 4711)`, `ops (dashboard, 192.0.2.7)`
impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("a signal");
        }
        if let Some(from) = self.dashboard {
            return match &self.user {
                Some(user) => write!(f, "{user} (dashboard, {from})"),
                None => write!(f, "dashboard ({from})"),
            };
        }
        let uid = self
            .uid
            .map_or("unknown uid".to_owned(), |uid| format!("uid {uid}"));
        let pid = self.pid.map_or(String::new(), |pid| format!(", pid {pid}"));
        match &self.user {
            Some(user) => write!(f, "{user} ({uid}{pid})"),
            None => write!(f, "{uid}{pid}"),
        }
    }
}

/// The host name of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostStatus {
    pub name: String,
    /// Whether it has led somewhere. Until then the server is down.
    pub resolved: bool,
    /// Why it cannot be looked up at present; the last address is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// For how many seconds it has not been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_s: Option<u64>,
}

/// How far a server is on its way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rising {
    /// Checks in a row that succeeded.
    pub has: u32,
    /// How many of them bring it up (`rise`).
    pub needs: u32,
}

/// `it waits for its checks: 1 of 2 succeeded`
impl fmt::Display for Rising {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it waits for its checks: {} of {} succeeded",
            self.has, self.needs
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ejected {
    /// Seconds until it gets sessions again.
    pub left_s: u64,
    /// What it did, as in "10 errors within 10s".
    pub reason: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Errors {
    /// Connects that were refused, failed or timed out.
    pub connect: u64,
    /// Responses that were bad, cut or late.
    pub response: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_the_same_one_is_known_by_uid_or_by_all_that_http_tells() {
        let local = |uid, pid| By {
            uid: Some(uid),
            pid: Some(pid),
            ..By::default()
        };
        let web = |user: &str, host| By {
            user: Some(user.to_owned()),
            dashboard: Some([192, 0, 2, host].into()),
            ..By::default()
        };
        assert!(local(1000, 1).is_also(&local(1000, 2)));
        assert!(!local(1000, 1).is_also(&local(0, 1)));
        assert!(web("ops", 7).is_also(&web("ops", 7)));
        for other in [web("eve", 7), web("ops", 8), local(1000, 1), By::default()] {
            assert!(!web("ops", 7).is_also(&other), "{other}");
        }
    }
}
