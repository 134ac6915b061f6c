//! What clients are shown, and where.

use serde::{Deserialize, Serialize};

/// A bind where clients speak TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TlsStatus {
    /// Its address, as bound.
    pub bind: String,
    /// Files and folders, as configured; whole paths.
    pub certs: Vec<String>,
}

/// A certificate file as it was read; what it holds now may be another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CertificateStatus {
    /// A whole path.
    pub file: String,
    pub names: Vec<String>,
    pub issuer: String,
    /// RFC 3339, UTC.
    pub not_before: String,
    /// RFC 3339, UTC.
    pub not_after: String,
    /// Whole days; negative from the moment of expiry.
    pub days_left: i64,
    pub state: CertificateState,
    /// SHA-256, hexadecimal.
    pub fingerprint: String,
    /// Addresses where clients are shown it, for a name of its own or as the default.
    pub binds: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CertificateState {
    Valid,
    Expired,
    NotYetValid,
}
