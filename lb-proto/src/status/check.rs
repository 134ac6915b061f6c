//! What a health check saw.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckStatus {
    /// RFC 3339, UTC.
    pub at: String,
    pub result: CheckResult,
    /// The HTTP status, where one was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub latency_ms: f64,
    /// One sentence about what was seen.
    pub detail: String,
}

/// HAProxy's health check result codes (management guide, `show stat`, `check_status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CheckResult {
    L4OK,
    L4CON,
    L4TOUT,
    L6OK,
    L6RSP,
    L6TOUT,
    L7OK,
    L7STS,
    L7RSP,
    L7TOUT,
}

impl CheckResult {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L4OK => "L4OK",
            Self::L4CON => "L4CON",
            Self::L4TOUT => "L4TOUT",
            Self::L6OK => "L6OK",
            Self::L6RSP => "L6RSP",
            Self::L6TOUT => "L6TOUT",
            Self::L7OK => "L7OK",
            Self::L7STS => "L7STS",
            Self::L7RSP => "L7RSP",
            Self::L7TOUT => "L7TOUT",
        }
    }

    pub fn is_ok(self) -> bool {
        matches!(self, Self::L4OK | Self::L6OK | Self::L7OK)
    }
}
