//! A frontend as it is configured: where clients connect, and where their requests go.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{BindTls, Mode};
use crate::name::{BackendName, FrontendName};

#[derive(Debug, Clone, PartialEq)]
pub struct Frontend {
    pub name: FrontendName,
    pub mode: Mode,
    pub binds: Vec<Bind>,
    pub timeouts: ClientTimeouts,
    /// Peers whose `X-Forwarded-*` are kept and appended to.
    pub trusted_proxies: Vec<IpNet>,
    /// With what status requests without TLS are sent to where there is TLS; `None`: they are served.
    pub https_redirect: Option<u16>,
    /// Who is served; `None`: everybody. Never empty.
    pub allow: Option<Vec<IpNet>>,
    /// Who is not, whatever `allow` says.
    pub deny: Vec<IpNet>,
    pub rate_limit: Option<RateLimit>,
    pub max_connections: Option<u32>,
    pub default_backend: Option<BackendName>,
    /// First match wins.
    pub routes: Vec<Route>,
}

/// How often one client address may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// At once; as many come back over `per`.
    pub requests: u32,
    /// At least a second.
    pub per: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// `*` is every IPv4 address; port 0 picks a free port.
    pub address: SocketAddr,
    /// Who must send a PROXY header, and may connect at all; `None`: everybody connects without one.
    /// Never empty.
    pub proxy_protocol: Option<Vec<IpNet>>,
    pub tls: Option<BindTls>,
    /// Clients without TLS may speak HTTP/2 from the first byte (prior knowledge, RFC 9113, 3.3).
    pub h2c: bool,
}

/// What clients are waited for; the rest of `[defaults.timeouts]` is [`ServerTimeouts`](super::ServerTimeouts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// To receive a whole request head.
    pub request: Duration,
    /// Client silence while a request or response is moving.
    pub client: Duration,
    /// Client idle between requests.
    pub keep_alive: Duration,
    /// Silence on a tunnel, unless its backend has a word of its own.
    pub tunnel: Duration,
    /// To finish a TLS handshake.
    pub tls_handshake: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub host: Option<HostPattern>,
    pub path: Option<PathPattern>,
    /// Empty: any method.
    pub methods: Vec<String>,
    /// Lower-case names and the value each must have; all must match.
    pub headers: Vec<(String, String)>,
    /// It comes before the frontend's `https_redirect`.
    pub plain: bool,
    pub action: Action,
}

/// Lower-case, without port and trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: any name that ends so, at any depth.
    Under(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    Prefix(String),
    Exact(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Backend(BackendName),
    Redirect { to: Vec<Piece>, status: u16 },
    Respond { status: u16 },
}

/// A piece of a redirect's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// `{host}`: the request's Host, port included.
    Host,
    /// `{path}`: as received, not decoded.
    Path,
    /// `{query}`: with its question mark, or nothing.
    Query,
}
