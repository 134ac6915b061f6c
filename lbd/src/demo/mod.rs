//! `lbd demo`: three small servers and a load balancer before them, in a folder of its own.
//!
//! Takes the ordinary way (a configuration file, then [`crate::app`]), so that everything that can
//! be tried on it is real.

mod origin;
mod text;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::app::{self, AppError};
use crate::print;
use crate::state::Shared;

use origin::Origin;

const ORIGINS: [&str; 3] = ["web01", "web02", "web03"];

#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("cannot make a folder for the demo")]
    Folder(#[source] io::Error),
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the demo's servers")]
    Origins(#[source] io::Error),
    #[error(transparent)]
    App(#[from] AppError),
}

/// Runs the demo until it is told to stop; its folder goes with it.
pub(crate) fn run(bind: SocketAddr, admin: SocketAddr) -> Result<(), DemoError> {
    let folder = tempfile::Builder::new()
        .prefix("lbd-demo-")
        .tempdir()
        .map_err(DemoError::Folder)?;
    let origins = origin::start(&ORIGINS).map_err(DemoError::Origins)?;
    let config = folder.path().join("lbd.toml");
    std::fs::write(&config, text::config(folder.path(), bind, admin, &origins)).map_err(
        |source| DemoError::Write {
            path: config.clone(),
            source,
        },
    )?;
    app::run(&config, |shared| introduce(&config, shared, &origins)).map_err(suggest_bind)?;
    Ok(())
}

/// Says what to try, the socket first.
fn introduce(config: &Path, shared: &Shared, origins: &[Origin]) {
    let snapshot = shared.snapshot();
    let listeners = snapshot.frontends.iter().flat_map(|f| &f.listeners);
    // The configuration has one bind, and [admin].
    let frontend = listeners.map(|listener| listener.address).next();
    let admin = snapshot.admin.as_ref().map(|admin| admin.listener.address);
    let (Some(frontend), Some(admin)) = (frontend, admin) else {
        return;
    };
    let socket = &snapshot.global.socket;
    print::stdout(&format!("LBCTL_SOCKET={}", socket.display()));
    print::stdout(&text::guide(config, socket, frontend, admin, origins));
}

/// A port that is taken is the one thing that commonly goes wrong.
fn suggest_bind(error: AppError) -> AppError {
    let AppError::Bind { message, hint } = error else {
        return error;
    };
    let another =
        "`lbd demo --bind 127.0.0.1:8081 --admin 127.0.0.1:8405` takes other addresses".to_owned();
    let hint = Some(match hint {
        Some(hint) => format!("{another}; {hint}"),
        None => another,
    });
    AppError::Bind { message, hint }
}
