//! What each call does; one file for each, named as the call.

pub(super) mod confirm;
pub(super) mod events;
pub(super) mod explain;
pub(super) mod hello;
pub(super) mod kept_configs;
pub(super) mod plan;
pub(super) mod reload;
pub(super) mod reload_certs;
pub(super) mod rollback;
pub(super) mod rolling_begin;
pub(super) mod rolling_end;
pub(super) mod rolling_step;
pub(super) mod set_state;
pub(super) mod set_weight;
pub(super) mod status;
pub(super) mod watch;

use std::path::Path;
use std::sync::Arc;

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{ServerId, nearest};

use crate::state::{Backend, Server, Snapshot};

/// A server and its backend, or the error that names what was probably meant.
fn find_server<'a>(
    snapshot: &'a Snapshot,
    id: &ServerId,
) -> Result<(&'a Backend, &'a Arc<Server>), ErrorReply> {
    let backend = snapshot.backend(&id.backend);
    backend
        .and_then(|backend| Some((backend, backend.server(&id.server)?)))
        .ok_or_else(|| unknown(snapshot, ErrorCode::NoSuchServer, &id.to_string()))
}

/// A path that leads to the same place from everywhere.
fn whole(path: &Path) -> String {
    let whole = std::path::absolute(path);
    whole.as_deref().unwrap_or(path).display().to_string()
}

/// The error for a name that nothing has.
fn unknown(snapshot: &Snapshot, code: ErrorCode, name: &str) -> ErrorReply {
    let what = match code {
        ErrorCode::NoSuchBackend => "backend",
        _ => "server",
    };
    let error = ErrorReply::new(code, format!("no such {what}: {name}"));
    let servers = snapshot.backends.iter().flat_map(|b| &b.servers);
    let mut known: Vec<String> = servers.map(|s| s.id.to_string()).collect();
    if code == ErrorCode::NoSuchBackend {
        let backends = snapshot.backends.iter();
        known.extend(backends.map(|b| b.config.name.to_string()));
    }
    match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("`lbctl status` lists them"),
    }
}
