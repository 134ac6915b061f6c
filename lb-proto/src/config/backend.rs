//! A backend as it is configured: its servers, how one is picked, and how they are checked.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Mode;
use super::frontend::ClientTimeouts;
use super::tls::ServerTls;
use crate::name::{BackendName, ServerName};

#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    pub name: BackendName,
    /// That of every frontend that leads to it.
    pub mode: Mode,
    /// What servers are spoken to in, where they are sent requests.
    pub protocol: Protocol,
    pub balance: Balance,
    /// `None`: checks are off.
    pub health: Option<Check>,
    /// How often a failed request is tried again.
    pub retries: u32,
    /// A retry goes to another server.
    pub redispatch: bool,
    /// Requests that may wait for a server with room.
    pub queue_max: u32,
    /// `None`: servers are judged by checks alone.
    pub outlier: Option<Outlier>,
    pub timeouts: ServerTimeouts,
    /// `None`: clients are not tied to a server.
    pub sticky: Option<Sticky>,
    /// Nor have they to be: what one server knows of a client, all do (`sticky = false`).
    pub shares_sessions: bool,
    pub request_headers: HeaderRules,
    pub response_headers: HeaderRules,
    pub servers: Vec<Server>,
}

/// What servers are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// The cookie that leads a client back to its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// Its name.
    pub cookie: String,
    pub secure: bool,
    pub same_site: Option<SameSite>,
    pub http_only: bool,
    /// In whole seconds; `None`: until the browser is closed.
    pub max_age: Option<Duration>,
    pub path: String,
    pub domain: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// What is changed in the headers of a message: removed, then set, then added. Names are
/// lower-case, and none of them frames a body or belongs to a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderRules {
    pub remove: Vec<String>,
    /// In place of every one that was there.
    pub set: Vec<(String, String)>,
    /// Beside those that are there.
    pub add: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    RoundRobin,
    LeastConn,
    Random,
    /// By the client's address.
    Source,
    /// By the path.
    Uri,
    /// By a header's value; the name is lower-case.
    Header(String),
}

impl Balance {
    /// Whether equal requests go to equal servers.
    pub fn is_hash(&self) -> bool {
        match self {
            Self::Source | Self::Uri | Self::Header(_) => true,
            Self::RoundRobin | Self::LeastConn | Self::Random => false,
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("roundrobin"),
            Self::LeastConn => f.write_str("leastconn"),
            Self::Random => f.write_str("random"),
            Self::Source => f.write_str("source"),
            Self::Uri => f.write_str("uri"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// A server that fails `errors` times within `window` gets no new sessions for `eject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlier {
    /// At least 1.
    pub errors: u32,
    pub window: Duration,
    pub eject: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub name: ServerName,
    pub address: Address,
    /// 0 to 256; 0 takes no new sessions.
    pub weight: u16,
    /// False: never checked, whatever the backend says.
    pub check: bool,
    /// Takes sessions only where no other server does.
    pub backup: bool,
    /// How long its share grows after it came up.
    pub slow_start: Option<Duration>,
    /// Sessions at once.
    pub max_connections: Option<u32>,
    /// The value of the backend's cookie that means this server.
    pub cookie: String,
    /// It is told by a PROXY header whose connection it is.
    pub send_proxy: Option<ProxyVersion>,
    /// `None`: it is spoken to in the clear.
    pub tls: Option<ServerTls>,
}

/// Versions of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary, with TLVs.
    V2,
}

impl ProxyVersion {
    /// The header of a connection that is made on nobody's behalf, as a health check's is: `PROXY
    /// UNKNOWN`, or LOCAL of no family (HAProxy, `proxy-protocol.txt`).
    pub fn about_nobody(self) -> &'static [u8] {
        match self {
            Self::V1 => b"PROXY UNKNOWN\r\n",
            Self::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        }
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    Ip(SocketAddr),
    /// A host name in lower case, looked up again and again, and a port.
    Name {
        host: String,
        port: u16,
    },
}

impl Address {
    /// The name to look up, if it has one.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Ip(_) => None,
            Self::Name { host, .. } => Some(host),
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Name { port, .. } => *port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub kind: CheckKind,
    pub interval: Duration,
    pub timeout: Duration,
    /// Successes in a row that bring a server up.
    pub rise: u32,
    /// Failures in a row that bring a server down.
    pub fall: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    Tcp,
    Http {
        method: String,
        path: String,
        /// The Host header; the server's address if absent.
        host: Option<String>,
        expect: Vec<RangeInclusive<u16>>,
    },
}

impl CheckKind {
    /// Whether a status is one of those expected.
    pub fn expects(&self, status: u16) -> bool {
        match self {
            Self::Tcp => true,
            Self::Http { expect, .. } => expect.iter().any(|range| range.contains(&status)),
        }
    }

    /// What it expects, as its configuration says it: `200,204` or `200-399`.
    pub fn expected(&self) -> String {
        let Self::Http { expect, .. } = self else {
            return String::new();
        };
        let ranges = expect
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (from, to) if from == to => from.to_string(),
                (from, to) => format!("{from}-{to}"),
            });
        ranges.collect::<Vec<_>>().join(",")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTimeouts {
    /// To wait for a server with room.
    pub queue: Duration,
    pub connect: Duration,
    /// Server silence.
    pub server: Duration,
    /// Silence on a tunnel, where the backend itself gives it.
    pub tunnel: Option<Duration>,
}

impl ServerTimeouts {
    /// How long both sides of a tunnel may be silent: the backend's word, then the frontend's, then
    /// the file's.
    pub fn tunnel_from(&self, frontend: &ClientTimeouts) -> Duration {
        self.tunnel.unwrap_or(frontend.tunnel)
    }
}
