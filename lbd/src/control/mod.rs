//! The control socket and what can be asked through it.
//!
//! Never names the data plane: what it changes reaches that through [`crate::state`].

mod audit;
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

use lb_proto::error::ErrorReply;
use lb_proto::reply::Reload;
use lb_proto::status::By;

use self::audit::Asked;
use crate::state::Shared;

pub(crate) use audit::Auditor;
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
    pub(crate) audit: Auditor,
}

impl Control {
    /// Reads the configuration file again because of a signal; it says in the log what came of it.
    pub(crate) async fn reload_by(&self, signal: &str) {
        let asked = self.asks_reload(By::default(), signal);
        let done = self.reloader.reload(&format!("by {signal}")).await;
        self.note_reload(asked, &done);
    }

    /// Takes note of a signal that asks for something else.
    pub(crate) fn note_signal(&self, what: &str) {
        self.audit.note(Asked::new(By::default(), what), &Ok(()));
    }

    fn asks_reload(&self, by: By, what: &str) -> Asked {
        let loaded = &self.shared.snapshot().loaded;
        let from = format!("generation {}", loaded.generation);
        Asked::new(by, what).on(&loaded.path).from(Some(from))
    }

    fn note_reload(&self, asked: Asked, answer: &Result<Reload, ErrorReply>) {
        let to = answer.as_ref().ok();
        let to = to.map(|done| format!("generation {}", done.generation));
        self.audit.note(asked.to(to), answer);
    }

    /// Keeps what operators set, and ends what was set for a time, until it is dropped.
    pub(crate) async fn keep(self: Arc<Self>) {
        persist::run(&self.shared, &self.keeper).await;
    }

    /// Has it on the disk how far rolling maintenances are. Where it cannot be written, the keeper tells
    /// of that.
    async fn keep_rolling(&self) {
        let _ = self.keeper.keep(&self.shared.kept()).await;
    }

    /// Serves clients of the socket until it is dropped.
    pub(crate) async fn serve(self: Arc<Self>, socket: ControlSocket) {
        session::accept(self, socket).await;
    }
}
