//! `[admin]` as the rest of the program sees it.

use std::net::SocketAddr;
use std::time::Duration;

use super::tls::{BindTls, Place};
use crate::password::Hash;

/// Where the daemon tells by HTTP how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub bind: SocketAddr,
    /// `None`: it is spoken to in the clear.
    pub tls: Option<BindTls>,
    /// How often the dashboard is loaded again where it cannot be told of changes.
    pub refresh: Duration,
    /// Names that it may be asked by, in lower case, beside those that are always its own.
    pub allowed_hosts: Vec<String>,
    /// Servers can be set to drain, maint and ready there.
    pub actions: bool,
    /// Empty: nobody is asked who they are.
    pub users: Vec<User>,
    /// Of `bind`.
    pub(super) place: Place,
}

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password_hash: Hash,
    pub role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sees everything.
    Viewer,
    /// May act, too, where that may be done at all.
    Operator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}
