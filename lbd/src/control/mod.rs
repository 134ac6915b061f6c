//! The control socket and what can be asked through it.
//!
//! Never names the data plane: what it changes reaches that through [`crate::state`].

mod audit;
mod dispatch;
mod expiry;
mod history;
mod persist;
mod places;
mod plan;
mod port_owner;
mod reload;
mod session;
mod socket;
mod start;
mod users;
mod verbs;

use std::sync::Arc;

use lb_proto::call::Call;
use lb_proto::error::ErrorReply;
use lb_proto::name::ServerId;
use lb_proto::reply;
use lb_proto::request::{self, SetState};
use lb_proto::status::{By, LastReload, Status, TrialStatus};

use self::audit::{Asked, Noting};
use self::reload::Ask;
use crate::state::Shared;

pub(crate) use audit::Auditor;
pub(crate) use expiry::warn_daily;
pub(crate) use persist::{Folder, FolderError, Keeper};
pub(crate) use port_owner::explain as explain_bind;
pub(crate) use reload::{Reloader, in_words, loaded};
pub(crate) use socket::{ControlSocket, SocketError, SocketFile};
pub(crate) use start::{NoStart, Start, choose};

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
        let mut noting = self.asks_config(By::default(), signal);
        let ask = Ask::plain(signal);
        let done = self.reloader.reload(&ask, &mut noting).await;
        self.note_config(noting, &done);
    }

    /// How everything is.
    pub(crate) async fn status(&self) -> Result<Status, ErrorReply> {
        verbs::status::run(&request::Status::default(), self).await
    }

    /// As the call of the control socket, for somebody who asked otherwise.
    pub(crate) async fn set_state(
        &self,
        call: &SetState,
        by: By,
    ) -> Result<reply::SetState, ErrorReply> {
        verbs::set_state::run(call, self, by).await
    }

    pub(crate) fn last_reload(&self) -> Option<LastReload> {
        self.reloader.last_reload()
    }

    pub(crate) fn trial(&self) -> Option<TrialStatus> {
        self.reloader.trial_status()
    }

    /// Takes note of a change that somebody may not make, who asked otherwise.
    pub(crate) fn note_refused(&self, by: By, server: Option<ServerId>, error: ErrorReply) {
        let mut asked = Asked::new(by, SetState::NAME);
        if let Some(server) = server {
            asked = asked.on(server);
        }
        self.audit.note::<()>(asked, &Err(error));
    }

    /// Takes note of a signal that asks for something else.
    pub(crate) fn note_signal(&self, what: &str) {
        self.audit.note(Asked::new(By::default(), what), &Ok(()));
    }

    fn asks_config(&self, by: By, what: &str) -> Noting<'_> {
        let asked = Asked::new(by, what).on(&self.shared.snapshot().loaded.path);
        Noting::of(&self.audit, asked)
    }

    fn note_config<T>(&self, noting: Noting<'_>, answer: &Result<T, ErrorReply>) {
        noting.ends(self.shared.snapshot().loaded.generation, answer);
    }

    /// Puts a change that was just made, or refused, on record in its place, and keeps what is set now. Where
    /// that fails, the record and `not_kept` of the answer say why.
    async fn keep_change<T>(
        &self,
        asked: Asked,
        answer: Result<T, ErrorReply>,
        not_kept: impl FnOnce(&mut T) -> &mut Option<String>,
    ) -> Result<T, ErrorReply> {
        let slot = self.audit.slot().holds(asked, &answer);
        let mut done = answer?;
        let why = self.keeper.keep(&self.shared.kept()).await.err();
        slot.but(why.as_deref());
        *not_kept(&mut done) = why;
        Ok(done)
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

    /// Keeps what operators set as it is after another configuration: what that has ended is not to
    /// come back with a crash. Tells whoever asked for it where that fails.
    async fn keep_set(&self) -> Option<String> {
        let kept = self.keeper.keep(&self.shared.kept()).await;
        let why = kept.err()?;
        Some(format!("a restart of lbd would forget what was set: {why}"))
    }

    /// Brings former configurations back when those on trial fail, until it is dropped.
    pub(crate) async fn watch_trials(self: Arc<Self>) {
        self.reloader.watch_trials(&self.audit).await;
    }

    /// Tries again what could not be written of configurations, until it is dropped.
    pub(crate) async fn keep_config(self: Arc<Self>) {
        self.reloader.keep_trying().await;
    }

    /// Serves clients of the socket until it is dropped.
    pub(crate) async fn serve(self: Arc<Self>, socket: ControlSocket) {
        session::accept(self, socket).await;
    }
}
