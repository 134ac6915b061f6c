//! The configuration as the rest of the program sees it: read, checked, defaults filled in.
//!
//! [`read`] is the only way to one: what it returns holds no dangling name and no value out of
//! bounds. The keys are those of the README's reference; `file` turns TOML into this, `address`,
//! `cookie`, `http` and [`units`] judge single values, `check` holds the rules that span several keys,
//! [`render`] shows what is wrong, and [`diff()`] what two of them differ in.

mod address;
mod admin;
mod backend;
mod certificates;
mod check;
mod cookie;
mod diff;
mod file;
mod frontend;
mod http;
mod problem;
mod tls;
mod traces;
pub mod units;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::admin::{Admin, Role, User};
pub use self::backend::{
    Address, Backend, Balance, Check, CheckKind, HeaderRules, Outlier, Protocol, ProxyVersion,
    SameSite, Server, ServerTimeouts, Sticky,
};
pub use self::certificates::{Again, Certificates, URGENT_DAYS, Unusable, expiry, staple};
pub use self::check::summary;
pub use self::diff::{diff, diff_certificates};
pub(crate) use self::file::count;
pub use self::file::{LoadError, Loaded, bytes, judge, load, read, sha256, state_dir};
pub use self::frontend::{
    Action, Bind, ClientTimeouts, Frontend, HostPattern, PathPattern, Piece, RateLimit, Route,
};
pub use self::problem::{Fault, render, render_warnings};
pub use self::tls::{BindTls, ClientAuth, Located, ServerTls, TlsVersion};
pub use self::traces::{Share, Traces, Url};

/// Frontends and backends are in the order of the file, servers too.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub global: Global,
    /// `None`: nothing is told by HTTP.
    pub admin: Option<Admin>,
    /// `None`: lbd takes no part in traces.
    pub traces: Option<Traces>,
    pub frontends: Vec<Frontend>,
    pub backends: Vec<Backend>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Global {
    /// Data-plane threads; `None`: one per CPU.
    pub threads: Option<usize>,
    /// Client connections at once, all frontends; `None`: from the limit of open files.
    pub max_connections: Option<u32>,
    /// TLS handshakes with clients in progress at once; `None`: some hundreds a data thread.
    pub max_handshakes: Option<u32>,
    pub socket: PathBuf,
    /// Permission bits of the socket.
    pub socket_mode: u32,
    pub socket_group: Option<String>,
    pub state_dir: PathBuf,
    pub shutdown_timeout: Duration,
    /// How long a stop goes on accepting while `/healthz` tells of it; `None`: not at all.
    pub shutdown_delay: Option<Duration>,
    /// DNS servers; empty: those of `/etc/resolv.conf`.
    pub resolvers: Vec<SocketAddr>,
    pub log: Log,
    /// `None`: requests are not logged.
    pub access_log: Option<AccessLog>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    pub path: LogPath,
    pub format: LogFormat,
    /// Whether lines of text have the request's id; those in JSON always do.
    pub request_id: bool,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPath {
    Stdout,
    File(PathBuf),
}

impl fmt::Display for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// How many files a daemon may have to have open for so many client connections at once: each with the
/// one to a server that serves it, and those that are no connections (listeners, probes, control
/// clients, logs).
pub fn open_files(connections: u64) -> u64 {
    connections
        .saturating_mul(FILES_A_CONNECTION)
        .saturating_add(OTHER_FILES)
}

/// How many client connections fit into so many open files, one at least.
pub fn connections_within(open_files: u64) -> u64 {
    (open_files.saturating_sub(OTHER_FILES) / FILES_A_CONNECTION).max(1)
}

const FILES_A_CONNECTION: u64 = 2;

const OTHER_FILES: u64 = 64;

impl Config {
    /// The TLS of every bind that has it, `[admin]`'s last.
    pub fn binds_tls(&self) -> impl Iterator<Item = &BindTls> {
        let binds = self.frontends.iter().flat_map(|frontend| &frontend.binds);
        let admin = self.admin.iter().filter_map(|admin| admin.tls.as_ref());
        binds.filter_map(|bind| bind.tls.as_ref()).chain(admin)
    }
}

/// What a frontend or backend carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Http,
    /// Bare connections.
    Tcp,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}
