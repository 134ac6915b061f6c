//! The control socket and what can be asked through it.
//!
//! Never names the data plane: what it changes reaches that through [`crate::state`].

mod dispatch;
mod expiry;
mod persist;
mod port_owner;
mod reload;
mod session;
mod socket;
mod users;
mod verbs;

use std::sync::Arc;

use crate::state::Shared;

pub(crate) use expiry::warn_daily;
pub(crate) use persist::{Folder, FolderError, Keeper};
pub(crate) use port_owner::explain as explain_bind;
pub(crate) use reload::{Reloader, in_words, loaded};
pub(crate) use socket::{ControlSocket, SocketError, SocketFile};

/// What every session and every signal acts through.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) shared: Arc<Shared>,
    pub(crate) reloader: Reloader,
    pub(crate) keeper: Keeper,
}

impl Control {
    /// Keeps what operators set, and ends what was set for a time, until it is dropped.
    pub(crate) async fn keep(self: Arc<Self>) {
        persist::run(&self.shared, &self.keeper).await;
    }

    /// Serves clients of the socket until it is dropped.
    pub(crate) async fn serve(self: Arc<Self>, socket: ControlSocket) {
        session::accept(self, socket).await;
    }
}
