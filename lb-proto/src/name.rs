//! Names of frontends, backends and servers, as types that cannot be mixed up.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name accepted, in bytes. HAProxy's own tables truncate far earlier; a bound keeps log
/// lines and tables sane.
const MAX_NAME: usize = 127;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name cannot be empty")]
    Empty,
    #[error("a name has at most {MAX_NAME} bytes")]
    TooLong,
    #[error("{0:?} cannot stand in a name: use letters, digits, '-', '_', '.' or ':'")]
    BadChar(char),
    #[error("{0:?} cannot be a name: in a path it leads elsewhere")]
    Dots(String),
    #[error("a server is named BACKEND/SERVER, as in app/web01")]
    NotServer,
}

/// The characters are those of HAProxy's proxy and server names (configuration manual, 4).
fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(NameError::BadChar(c)),
        None if matches!(text, "." | "..") => Err(NameError::Dots(text.to_owned())),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $type(Arc<str>);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// Where clients connect.
    FrontendName
);
name!(
    /// A pool of servers.
    BackendName
);
name!(
    /// A server within its backend.
    ServerName
);

/// A server as operators write it: `app/web01`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServerId {
    pub backend: BackendName,
    pub server: ServerName,
}

impl ServerId {
    pub fn new(backend: &BackendName, server: &ServerName) -> Self {
        Self {
            backend: backend.clone(),
            server: server.clone(),
        }
    }
}

impl FromStr for ServerId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (backend, server) = text.split_once('/').ok_or(NameError::NotServer)?;
        Ok(Self {
            backend: backend.parse()?,
            server: server.parse()?,
        })
    }
}

impl TryFrom<String> for ServerId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ServerId> for String {
    fn from(id: ServerId) -> String {
        id.to_string()
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.backend, self.server))
    }
}

/// The known name nearest to `wanted`, if one is near enough to be what was meant.
///
/// Where `wanted` names no backend, servers are compared by their own name: `web1` means `app/web01`.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const NEAR_ENOUGH: f64 = 0.75;
    // One slip in a name of three letters, which no share of its length lets pass otherwise.
    const SHORT: usize = 3;
    const NEAR_ENOUGH_IF_SHORT: f64 = 0.66;
    let enough = |name: &str| match name.len().max(wanted.len()) {
        ..=SHORT => NEAR_ENOUGH_IF_SHORT,
        _ => NEAR_ENOUGH,
    };
    known
        .into_iter()
        .map(|name| {
            let comparable = match name.rsplit_once('/') {
                Some((_, server)) if !wanted.contains('/') => server,
                _ => name,
            };
            let score = strsim::normalized_damerau_levenshtein(wanted, comparable);
            (score, name)
        })
        .filter(|(score, name)| *score >= enough(name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_backend_slash_server() {
        let id: ServerId = "app/web01".parse().unwrap();
        assert_eq!(id.to_string(), "app/web01");
        assert_eq!("web01".parse::<ServerId>(), Err(NameError::NotServer));
        assert_eq!("app/".parse::<ServerId>(), Err(NameError::Empty));
        assert_eq!("app/a/b".parse::<ServerId>(), Err(NameError::BadChar('/')));
        assert_eq!(
            "../a".parse::<ServerId>(),
            Err(NameError::Dots("..".to_owned()))
        );
        assert!("...".parse::<BackendName>().is_ok());
    }

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        let known = ["app/web01", "app/web02", "api/one"];
        assert_eq!(nearest("app/web1", known), Some("app/web01"));
        assert_eq!(nearest("web02", known), Some("app/web02"));
        assert_eq!(nearest("web1", known), Some("app/web01"));
        assert_eq!(nearest("zzz/qqq", known), None);
        assert_eq!(nearest("ap", ["app", "web"]), Some("app"));
        assert_eq!(nearest("db", ["app", "web"]), None);
    }
}
