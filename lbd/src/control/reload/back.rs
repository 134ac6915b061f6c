//! The way back: `rollback`, and what comes back by itself. The file is never touched.

use std::sync::Arc;

use lb_proto::call::Call;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::reply;
use lb_proto::request::Rollback;
use lb_proto::status::By;
use rustix::process::{geteuid, getpid};
use tokio::task::spawn_blocking;
use tracing::{error, warn};

use super::read::{Ready, judge};
use super::trial::{Former, Trial};
use super::{Kept, Reloader, Running, Swapped, advice, came_of_it, refusal};
use crate::causes::in_full;
use crate::control::audit::{Asked, Auditor, Noting};
use crate::state::unix_now;

/// Where a way back leads.
struct Goal {
    ready: Ready,
    kept: Kept,
    /// When it was loaded the first time.
    of: String,
}

impl Reloader {
    /// Goes back to the configuration before this one; at once where that is on trial.
    ///
    /// # Errors
    /// Where there is none, or it cannot run any more. Nothing was changed then.
    pub(in crate::control) async fn rollback(
        &self,
        by: &str,
        noting: &mut Noting<'_>,
    ) -> Result<reply::Rollback, ErrorReply> {
        let mut running = self.turn.lock().await;
        self.not_stopping()?;
        let trial = self.trial.borrow().clone();
        let goal = match trial {
            Some(trial) => again(trial.former.clone()).await?,
            None => self.one_before(&running).await?,
        };
        let (from, of) = (self.shared.snapshot().loaded.generation, goal.of.clone());
        let swapped = self
            .go_back(&mut running, goal, &format!("rolled back by {by}"), noting)
            .await
            .inspect_err(|error| {
                warn!(error = error.message, "rollback failed, nothing changed")
            })?;
        Ok(reply::Rollback {
            generation: self.shared.snapshot().loaded.generation,
            from,
            of,
            changes: swapped.changes,
            warnings: swapped.warnings,
            path: self.path.display().to_string(),
            file_differs: self.file_differs().await,
        })
    }

    /// The good configurations, and which of them a rollback leads to.
    ///
    /// # Errors
    /// Where it cannot be told which there are.
    pub(in crate::control) async fn kept_configs(&self) -> Result<reply::KeptConfigs, ErrorReply> {
        let running = self.turn.lock().await.kept;
        let former = self.trial.borrow().as_ref().map(|trial| trial.former.kept);
        let history = self.history.clone();
        let read = spawn_blocking(move || {
            let next = match former {
                Some(former) => former.number(),
                // What cannot be read leads nowhere.
                None => running.before(&history).ok().flatten(),
            };
            history.all().map(|all| (all, next))
        });
        let (all, next) = match read.await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(ErrorReply::new(ErrorCode::Failed, in_full(&error))),
            Err(_) => return Err(refusal::unexpected("reading what was kept")),
        };
        let kept = all.iter().map(|(number, about, file)| reply::KeptConfig {
            number: *number,
            at: about.at.clone(),
            by: about.by.clone(),
            path: about.path.clone(),
            file: file.display().to_string(),
            runs: running.number() == Some(*number),
            next: next == Some(*number),
        });
        Ok(reply::KeptConfigs {
            kept: kept.collect(),
        })
    }

    /// What ran before what runs, as it was kept.
    async fn one_before(&self, running: &Running) -> Result<Goal, ErrorReply> {
        let nothing = || {
            ErrorReply::new(
                ErrorCode::Failed,
                "no configuration is kept from before the one that runs",
            )
            .hint("write the file as it should be, `lbctl plan` it and `lbctl reload`")
        };
        let (history, kept) = (self.history.clone(), running.kept);
        let read = spawn_blocking(move || {
            let before = kept.before(&history)?;
            before.map(|before| history.read(before)).transpose()
        });
        let entry = match read.await {
            Ok(Ok(entry)) => entry.ok_or_else(nothing)?,
            Ok(Err(error)) if error.is_missing() => return Err(nothing()),
            Ok(Err(error)) => return Err(nothing().hint(in_full(&error))),
            Err(_) => return Err(refusal::unexpected("reading what was kept")),
        };
        Ok(Goal {
            ready: judge(entry.about.path, entry.text).await?,
            kept: Kept::As(entry.number),
            of: entry.about.at,
        })
    }

    async fn go_back(
        &self,
        running: &mut Running,
        goal: Goal,
        reason: &str,
        noting: &mut Noting<'_>,
    ) -> Result<Swapped, ErrorReply> {
        let Goal { ready, kept, .. } = goal;
        let left = self.shared.snapshot().loaded.sha256.clone();
        let text = ready.text.clone();
        let mut swapped = self.swap(ready, false, reason, noting).await?;
        *running = Running {
            text,
            kept,
            owed: Some(running.refusing(left)),
        };
        self.trial.send_replace(None);
        // Edited since and never loaded: a restart is not the time to try it.
        if let Some(file) = self.file_as_refused().await {
            running.owed = Some(running.refusing(file));
        }
        let unwritten = self.write_down(running).await;
        swapped
            .warnings
            .extend(unwritten.map(|why| why.to_string()));
        self.report(&swapped.warnings, true, reason);
        Ok(swapped)
    }

    /// False: it could not be done, and is to be tried again.
    pub(super) async fn take_back(&self, trial: &Arc<Trial>, why: &str, audit: &Auditor) -> bool {
        let mut running = self.turn.lock().await;
        if !self.is_on_trial(trial) {
            return true;
        }
        let generation = trial.generation;
        warn!(
            generation,
            "{why}: going back to the configuration of {}", trial.former.at
        );
        let reason = format!("generation {generation} rolled back: {why}");
        let before = self.last().replace(came_of_it(Some(&reason)));
        let gone_back = match again(trial.former.clone()).await {
            Ok(goal) => {
                let asked = Asked::new(itself(), Rollback::NAME)
                    .on(self.path.display())
                    .because(Some(&why));
                let mut noting = Noting::of(audit, asked);
                self.go_back(&mut running, goal, &reason, &mut noting).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = gone_back else {
            return true;
        };
        let hint = error.hint.as_deref().unwrap_or_default();
        error!(error = error.message, hint, "cannot go back, trying again");
        *self.last() = before;
        let stuck = format!("{reason}, which fails: {}", error.message);
        self.trial.send_modify(|trial| {
            if let Some(trial) = trial {
                Arc::make_mut(trial).stuck = Some(came_of_it(Some(&stuck)));
            }
        });
        false
    }
}

/// The former configuration with its certificates read again, as far as they can be.
async fn again(former: Arc<Former>) -> Result<Goal, ErrorReply> {
    let read = spawn_blocking(move || {
        let again = former.certificates.read_again(None, unix_now());
        let unusable = again.unusable.iter().map(|unusable| &unusable.fault);
        Goal {
            ready: Ready {
                config: former.config.clone(),
                warnings: unusable.chain(&again.warnings).map(advice).collect(),
                certificates: again.certificates,
                text: former.text.clone(),
            },
            kept: former.kept,
            of: former.at.clone(),
        }
    });
    read.await
        .map_err(|_| refusal::unexpected("reading the certificates"))
}

/// On record as whoever goes back where nobody asked for it.
fn itself() -> By {
    By {
        uid: Some(geteuid().as_raw()),
        pid: Some(getpid().as_raw_pid()),
        user: Some("lbd".to_owned()),
        dashboard: None,
    }
}
