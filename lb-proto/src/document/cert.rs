//! Of certificate files.

use serde::Serialize;

use crate::status::CertificateState;

/// What a certificate says.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Certificate {
    /// Whole days; negative from the moment of expiry.
    pub days_left: i64,
    /// SHA-256, in hexadecimal.
    pub fingerprint: String,
    pub issuer: String,
    pub names: Vec<String>,
    /// RFC 3339, UTC.
    pub not_after: String,
    pub not_before: String,
    pub state: CertificateState,
}

/// A file that was made of a chain and its key.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Assembled {
    /// How many the chain in it has.
    pub certificates: usize,
    #[serde(flatten)]
    pub certificate: Certificate,
    pub file: String,
    /// Those of the file before it that this one is not for.
    pub lost_names: Vec<String>,
    pub warnings: Vec<String>,
}

/// One that was put where lbd reads it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Installed {
    #[serde(flatten)]
    pub assembled: Assembled,
    /// Where clients are shown it now; none without a running daemon.
    pub served: Vec<Served>,
}

/// A bind that shows it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Served {
    pub bind: String,
    /// Whose it is: a frontend, or `[admin]`.
    pub frontend: String,
    /// Those that were asked for, none where it is the default alone.
    pub names: Vec<String>,
    /// Whether handshakes were shown it; the warnings say why none were tried.
    pub read_back: bool,
}

/// The files that were looked at.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listed {
    pub certificates: Vec<File>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct File {
    #[serde(flatten)]
    pub held: Held,
    pub file: String,
    /// Until when the OCSP response beside it holds; absent where there is none to send. RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocsp_next_update: Option<String>,
    /// The binds that show it; absent where no daemon was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<Vec<String>>,
    /// Of the older certificate that is shown in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served_fingerprint: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Held {
    Certificate(Certificate),
    /// Nothing of use.
    Unusable {
        error: String,
        hint: String,
    },
}
