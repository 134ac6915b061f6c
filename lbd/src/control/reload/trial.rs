//! A configuration on trial: how it begins, and `confirm`. What watches it is `watch`'s, the way back
//! `back`'s.
//!
//! Whoever asked may be gone, cut off by the very change: the clock is the daemon's. What is on
//! trial is known on disk before it runs, so that a daemon that dies meanwhile starts from what was
//! confirmed.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lb_proto::config::{Certificates, Config, sha256};
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{BackendName, ServerId};
use lb_proto::reply;
use lb_proto::status::{LastReload, TrialStatus};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::{info, warn};

use super::kept::Unwritten;
use super::read::Ready;
use super::watch::Watched;
use super::{Ask, Kept, Reloader, Running, refusal};
use crate::causes::in_full;
use crate::control::history::Unconfirmed;
use crate::service;
use crate::state::{Snapshot, comes};

/// What runs under a condition, and what comes back otherwise.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) generation: u64,
    pub(super) by: String,
    pub(super) former: Arc<Former>,
    pub(super) confirm: Option<Deadline>,
    pub(super) watched: Option<Watched>,
    /// The servers that it has not and that something was set on: that comes back with them.
    pub(super) gone: Vec<ServerId>,
    /// Why the way back could not be taken the last time.
    pub(super) stuck: Option<LastReload>,
}

/// The configuration that was good.
#[derive(Debug)]
pub(super) struct Former {
    pub(super) config: Config,
    pub(super) certificates: Certificates,
    pub(super) text: Arc<str>,
    /// When it was loaded.
    pub(super) at: String,
    pub(super) kept: Kept,
}

#[derive(Debug, Clone)]
pub(super) struct Deadline {
    pub(super) within: Duration,
    pub(super) at: Instant,
    /// The same by the clock of the wall, as that was set then.
    pub(super) said: Timestamp,
}

impl Trial {
    /// What is told where a plain reload ends it.
    pub(super) fn unwatched(&self) -> String {
        let Self { generation, by, .. } = self;
        format!(
            "generation {generation}, which {by} loaded with `--rollback-if-down`, is no longer watched: if \
             a backend is left without a server now, nothing comes back by itself"
        )
    }
}

impl Deadline {
    pub(super) fn after(within: Duration) -> Self {
        let said = Timestamp::now().saturating_add(within);
        Self {
            within,
            at: Instant::now() + within,
            said: said.unwrap_or(Timestamp::MAX),
        }
    }

    /// When it is by the clock of the wall, RFC 3339.
    pub(super) fn shown(&self) -> String {
        let left = self.at.saturating_duration_since(Instant::now());
        format!("{:.3}", comes(self.said, left, Timestamp::now()))
    }

    pub(super) fn left_s(&self) -> u64 {
        let left = self.at.saturating_duration_since(Instant::now());
        u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
    }
}

impl Reloader {
    /// What is on trial now.
    pub(in crate::control) fn trial_status(&self) -> Option<TrialStatus> {
        let trial = self.trial.borrow().clone()?;
        let watched = trial.watched.as_ref().map(|watched| &watched.until);
        let shown = |deadline: Option<&Deadline>| deadline.map(Deadline::shown);
        let left = |deadline: Option<&Deadline>| deadline.map(Deadline::left_s);
        Some(TrialStatus {
            by: trial.by.clone(),
            confirm_until: shown(trial.confirm.as_ref()),
            confirm_left_s: left(trial.confirm.as_ref()),
            watched_until: shown(watched),
            watched_left_s: left(watched),
        })
    }

    /// While one waits to be confirmed, only one that is to be confirmed as well takes its place.
    pub(super) fn not_waiting(&self, ask: &Ask) -> Result<(), ErrorReply> {
        let trial = self.trial.borrow().clone();
        let Some(deadline) = trial.as_ref().and_then(|trial| trial.confirm.as_ref()) else {
            return Ok(());
        };
        if ask.confirm_within.is_some() {
            return Ok(());
        }
        let generation = trial.as_ref().map_or(0, |trial| trial.generation);
        let message = format!(
            "generation {generation} waits to be confirmed until {}",
            deadline.shown()
        );
        Err(ErrorReply::new(ErrorCode::Failed, message).hint(
            "`lbctl confirm` keeps it, `lbctl rollback` takes it back, and `lbctl reload \
             --confirm-within` puts another one in its place",
        ))
    }

    /// What comes back if what is loaded now is no good: of several on trial, what was before the first.
    pub(super) fn fallback(&self, running: &Running, before: &Snapshot) -> Arc<Former> {
        if let Some(trial) = &*self.trial.borrow() {
            return trial.former.clone();
        }
        Arc::new(Former {
            config: before.config(),
            certificates: before.certificates.clone(),
            text: running.text.clone(),
            at: before.loaded.at.clone(),
            kept: running.kept,
        })
    }

    /// Writes down that it is on trial, before it runs. Gives what was written there before.
    pub(super) async fn prepare_trial(
        &self,
        ready: &Ready,
        former: &Former,
        ask: &Ask,
    ) -> Result<Option<Unconfirmed>, ErrorReply> {
        if ready.config.global.state_dir != self.at_start.state_dir {
            return Err(ErrorReply::new(
                ErrorCode::Failed,
                "state_dir cannot be changed on trial: after a restart nobody would find what was confirmed",
            )
            .hint("change state_dir by itself, with a plain `lbctl reload` and a restart"));
        }
        let Some(fallback) = former.kept.number() else {
            return Err(ErrorReply::new(
                ErrorCode::Failed,
                "the configuration that runs is not kept on disk: a restart could not go back to it",
            )
            .hint(
                "make room or repair state_dir, `lbctl doctor` says what is wrong there; `lbctl reload` \
                 without conditions keeps no way back",
            ));
        };
        let history = self.history.clone();
        let unconfirmed = Unconfirmed {
            sha256: vec![sha256(&*ready.text)],
            fallback,
            waiting: true,
        };
        info!(by = ask.by, fallback, "on trial");
        let written = spawn_blocking(move || {
            let earlier = history.unconfirmed()?;
            history
                .set_unconfirmed(Some(&unconfirmed))
                .map(|()| earlier)
        });
        match written.await {
            Ok(Ok(earlier)) => Ok(earlier),
            Ok(Err(error)) => Err(ErrorReply::new(
                ErrorCode::Failed,
                format!("a trial cannot be written down: {}", in_full(&error)),
            )
            .hint("make room or repair state_dir; nothing was changed")),
            Err(_) => Err(refusal::unexpected("writing the trial down")),
        }
    }

    /// What was written there before is true again: nothing came of the trial.
    pub(super) async fn unprepare_trial(&self, earlier: Option<Unconfirmed>) {
        let history = self.history.clone();
        let written = spawn_blocking(move || history.set_unconfirmed(earlier.as_ref())).await;
        if let Ok(Err(error)) = written {
            warn!(
                "a restart may begin with another configuration: {}",
                in_full(&error)
            );
        }
    }

    /// From now on it runs under its conditions. Tells what is wrong with them.
    pub(super) fn start_trial(
        &self,
        former: Arc<Former>,
        down: &[BackendName],
        mut gone: Vec<ServerId>,
        ask: &Ask,
    ) -> Vec<String> {
        let snapshot = self.shared.snapshot();
        let watched = match ask.rollback_if_down {
            true => Watched::of(&snapshot, down),
            false => None,
        };
        let confirm = ask.confirm_within.map(Deadline::after);
        let generation = snapshot.loaded.generation;
        if let Some(deadline) = &confirm {
            warn!(
                generation,
                until = deadline.shown(),
                "waits to be confirmed"
            );
        }
        if let Some(Watched { until, .. }) = &watched {
            let until = until.shown();
            info!(
                generation,
                until, "goes if a backend is left without a server"
            );
        }
        let mut warnings = Vec::new();
        if ask.rollback_if_down && watched.is_none() {
            warnings.push(
                "no backend has health checks and a server that is up: there is nothing to watch"
                    .to_owned(),
            );
        }
        if let Some(replaced) = &*self.trial.borrow() {
            gone.extend(replaced.gone.iter().cloned());
        }
        self.trial.send_replace(Some(Arc::new(Trial {
            generation,
            by: ask.by.clone(),
            former,
            confirm,
            watched,
            gone,
            stuck: None,
        })));
        warnings
    }

    /// The file was asked for again as it is: the time to confirm begins anew, if that was asked for.
    pub(super) fn once_more(&self, ask: &Ask) -> Option<TrialStatus> {
        if let Some(within) = ask.confirm_within {
            self.trial.send_if_modified(|trial| {
                let Some(trial) = trial else {
                    return false;
                };
                let trial = Arc::make_mut(trial);
                trial.confirm = Some(Deadline::after(within));
                trial.stuck = None;
                true
            });
        }
        self.trial_status()
    }

    /// Keeps what waits to be confirmed.
    ///
    /// # Errors
    /// Where nothing does, or a restart would go back all the same.
    pub(in crate::control) async fn confirm(&self, by: &str) -> Result<reply::Confirm, ErrorReply> {
        let mut running = self.turn.lock().await;
        let trial = self.trial.borrow().clone();
        let generation = self.shared.snapshot().loaded.generation;
        let Some(trial) = trial else {
            let message = format!("nothing waits to be confirmed: generation {generation} stays");
            return Err(ErrorReply::new(ErrorCode::Failed, message)
                .hint("where it should have been confirmed in time, `lbctl status` says what became of it"));
        };
        let unwritten = self.keep(&mut running, &trial.by).await;
        if let Some(Unwritten::Confirmation(why)) = unwritten {
            running.owed = None;
            self.write_down(&mut running).await;
            let message = format!(
                "generation {generation} cannot be confirmed, a restart would go back: {why}"
            );
            return Err(ErrorReply::new(ErrorCode::Failed, message)
                .hint("it is on trial as before: repair state_dir, then `lbctl confirm` again"));
        }
        let why = format!("confirmed by {by}");
        let warnings = self.end_trial(&trial, &why, unwritten);
        Ok(reply::Confirm {
            generation,
            warnings,
        })
    }

    /// It stays. `unwritten`: what is wrong with keeping it.
    pub(super) fn end_trial(
        &self,
        trial: &Trial,
        why: &str,
        unwritten: Option<Unwritten>,
    ) -> Vec<String> {
        self.trial.send_replace(None);
        let mut warnings = self.shared.end_trial(&trial.gone);
        warnings.extend(unwritten.map(|why| why.to_string()));
        info!(generation = trial.generation, "configuration {why}");
        self.shared.tell_of_config(why);
        service::ready(&service::in_one_line(&self.shared.snapshot()));
        for warning in &warnings {
            warn!("{warning}");
        }
        warnings
    }

    pub(super) fn is_on_trial(&self, trial: &Arc<Trial>) -> bool {
        self.trial
            .borrow()
            .as_ref()
            .is_some_and(|now| Arc::ptr_eq(now, trial))
    }
}
