//! What an operator may say to `lbd`, and what it answers.
//!
//! `lbd` and `lbctl` both speak from this crate and never depend on each other. Plain messages need
//! serde alone; the blocking client is behind `client`, reading configuration files behind `config`,
//! reading certificate files behind `pem`, and the schemas of documents behind `schema`.

pub mod audit;
pub mod call;
pub mod document;
pub mod error;
pub mod event;
pub mod exit;
pub mod frame;
pub mod harmless;
pub mod name;
pub mod os_error;
pub mod plan;
pub mod reason;
pub mod regular;
pub mod reply;
pub mod request;
pub mod rolling;
pub mod sockets;
pub mod state;
pub mod status;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "config")]
pub mod password;
#[cfg(feature = "pem")]
pub mod pem;
#[cfg(feature = "schema")]
pub mod schema;
#[cfg(feature = "config")]
pub mod tls;

/// The number of the control protocol; it changes only when a message loses or changes a field.
pub const PROTOCOL: u32 = 1;

/// The version of the workspace, as the daemon's first line and `--version` give it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the daemon listens for `lbctl` unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/lbd/lbd.sock";

/// Where lbd keeps what outlives it, unless the configuration says otherwise.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/lbd";

/// Where the daemon and `lbctl validate` look for the configuration unless told otherwise.
pub const DEFAULT_CONFIG: &str = "/etc/lbd/lbd.toml";
