//! Values in the words of the configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{
    AccessLog, Action, Address, Balance, ClientAuth, HostPattern, Located, LogFormat, LogLevel,
    Mode, Outlier, PathPattern, Piece, Protocol, ProxyVersion, RateLimit, Role, SameSite, Share,
    TlsVersion, Url, units,
};
use crate::name::BackendName;

/// How a value is written.
pub(super) trait Words {
    /// `None`: it is not given.
    fn words(&self) -> Option<String>;
}

macro_rules! as_displayed {
    ($($type:ty),*) => {$(
        impl Words for $type {
            fn words(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

as_displayed!(
    bool,
    u16,
    u32,
    usize,
    String,
    SocketAddr,
    IpNet,
    BackendName,
    Address,
    Balance,
    Share,
    Url
);

macro_rules! as_named {
    ($($type:ty { $($variant:ident = $word:literal),* })*) => {$(
        impl Words for $type {
            fn words(&self) -> Option<String> {
                let word = match self {
                    $(Self::$variant => $word),*
                };
                Some(word.to_owned())
            }
        }
    )*};
}

as_named! {
    LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" }
    Role { Viewer = "viewer", Operator = "operator" }
    LogFormat { Text = "text", Json = "json" }
    Mode { Http = "http", Tcp = "tcp" }
    Protocol { Http1 = "http1", Http2 = "h2" }
    ProxyVersion { V1 = "v1", V2 = "v2" }
    SameSite { Strict = "strict", Lax = "lax", None = "none" }
    TlsVersion { Tls12 = "1.2", Tls13 = "1.3" }
    ClientAuth { None = "none", Optional = "optional", Required = "required" }
}

impl<T: Words> Words for Option<T> {
    fn words(&self) -> Option<String> {
        self.as_ref()?.words()
    }
}

impl<T: Words> Words for Vec<T> {
    fn words(&self) -> Option<String> {
        let each: Vec<String> = self.iter().filter_map(Words::words).collect();
        (!each.is_empty()).then(|| each.join(", "))
    }
}

/// A header and its value.
impl Words for (String, String) {
    fn words(&self) -> Option<String> {
        Some(format!("{}: {}", self.0, self.1))
    }
}

impl Words for Duration {
    fn words(&self) -> Option<String> {
        Some(units::words(*self))
    }
}

impl Words for PathBuf {
    fn words(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Words for Located {
    fn words(&self) -> Option<String> {
        self.path.words()
    }
}

impl Words for AccessLog {
    fn words(&self) -> Option<String> {
        let Self {
            path,
            format,
            request_id,
        } = self;
        let with_id = if *request_id {
            ", with request ids"
        } else {
            ""
        };
        Some(format!("{path}, {}{with_id}", format.words()?))
    }
}

impl Words for RateLimit {
    fn words(&self) -> Option<String> {
        let Self { requests, per } = self;
        Some(format!("{requests} per {}", units::words(*per)))
    }
}

impl Words for Outlier {
    fn words(&self) -> Option<String> {
        let Self {
            errors,
            window,
            eject,
        } = self;
        let (window, eject) = (units::words(*window), units::words(*eject));
        Some(format!("{errors} errors within {window}, for {eject}"))
    }
}

impl Words for HostPattern {
    fn words(&self) -> Option<String> {
        Some(match self {
            Self::Exact(host) => host.clone(),
            Self::Under(parent) => format!("*{parent}"),
        })
    }
}

impl Words for PathPattern {
    fn words(&self) -> Option<String> {
        Some(match self {
            Self::Prefix(path) => format!("{path}*"),
            Self::Exact(path) => path.clone(),
        })
    }
}

impl Words for Action {
    fn words(&self) -> Option<String> {
        Some(match self {
            Self::Backend(name) => format!("backend {name}"),
            Self::Redirect { to, status } => {
                let to: String = to.iter().map(piece).collect();
                format!("redirect {status} to {to}")
            }
            Self::Respond { status } => format!("respond {status}"),
        })
    }
}

fn piece(piece: &Piece) -> &str {
    match piece {
        Piece::Text(text) => text,
        Piece::Host => "{host}",
        Piece::Path => "{path}",
        Piece::Query => "{query}",
    }
}

/// `10.0.0.12:8080, weight 2, backup`: what is there of several things.
pub(super) fn joined(parts: impl IntoIterator<Item = Option<String>>) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}
