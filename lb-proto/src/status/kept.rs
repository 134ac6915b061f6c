//! What is to outlive the process, and what is wrong with that.

use serde::{Deserialize, Serialize};

use crate::name::ServerId;

/// Where what operators set outlives the process, and what is wrong with that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeptStatus {
    pub path: String,
    /// Why it could not be written the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why a restart may begin with another configuration, or there is no way back to this one: what
    /// could not be written below `state_dir/configs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_error: Option<String>,
    /// Why the last change is not in the audit file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_error: Option<String>,
    /// Why it could not be read at the start, and where it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
    /// Servers that something is kept for and the configuration does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<ServerId>,
}
