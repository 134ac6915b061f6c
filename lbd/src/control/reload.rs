//! The one way to another configuration while the daemon runs: the whole of it, or nothing.
//!
//! What comes of it on trial, and the way back, is `trial`'s.

mod back;
mod certs;
mod kept;
mod read;
mod refusal;
mod trial;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use lb_proto::config::{self, Global};
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{BackendName, ServerId};
use lb_proto::plan::Change;
use lb_proto::reply;
use lb_proto::status::LastReload;
use tokio::sync::{Mutex, watch as channel};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use self::kept::{Owed, Running};
use self::read::Ready;
use self::trial::Trial;
use super::audit::Noting;
use super::history::History;
use super::start::Origin;
use crate::dns::Names;
use crate::limits::OpenFiles;
use crate::state::{Loaded, Shared, Snapshot, now};
use crate::{log, service};

pub(super) use self::certs::advice;
pub(super) use self::kept::Kept;
pub(crate) use self::read::in_words;

#[derive(Debug)]
pub(crate) struct Reloader {
    shared: Arc<Shared>,
    path: PathBuf,
    files: OpenFiles,
    names: Arc<Names>,
    /// What a running process cannot change is as it was at the start.
    at_start: Global,
    history: History,
    /// One change of the configuration at a time.
    turn: Mutex<Running>,
    trial: channel::Sender<Option<Arc<Trial>>>,
    last: std::sync::Mutex<Option<LastReload>>,
    /// What the disk does not say yet, and why.
    unwritten: channel::Sender<Option<String>>,
    /// Held while somebody looks whether the file differs.
    looking: Arc<Mutex<()>>,
}

/// Who wants a reload, and whether it is on trial.
#[derive(Debug)]
pub(crate) struct Ask {
    /// As in "uid 0, pid 4711".
    pub(crate) by: String,
    pub(crate) confirm_within: Option<Duration>,
    pub(crate) rollback_if_down: bool,
}

impl Ask {
    /// For good.
    pub(crate) fn plain(by: &str) -> Self {
        Self {
            by: by.to_owned(),
            confirm_within: None,
            rollback_if_down: false,
        }
    }

    /// For those who watch.
    fn reason(&self) -> String {
        let Self { by, .. } = self;
        match self.confirm_within {
            Some(within) => format!("loaded by {by}, to be confirmed within {within:?}"),
            None => format!("loaded by {by}"),
        }
    }

    fn is_trial(&self) -> bool {
        self.confirm_within.is_some() || self.rollback_if_down
    }
}

/// What became of it.
#[derive(Debug)]
struct Swapped {
    changes: Vec<Change>,
    warnings: Vec<String>,
    /// The servers that it has not and that something was set on, which is put aside on trial.
    gone: Vec<ServerId>,
    /// The backends that had no server right before it.
    down: Vec<BackendName>,
}

impl Reloader {
    /// `path` must be absolute: the same file at every reload.
    pub(crate) fn new(
        shared: Arc<Shared>,
        path: PathBuf,
        files: OpenFiles,
        names: Arc<Names>,
    ) -> Self {
        let at_start = shared.snapshot().global.clone();
        Self {
            history: History::below(&at_start.state_dir),
            at_start,
            shared,
            path,
            files,
            names,
            turn: Mutex::new(Running::nothing()),
            trial: channel::Sender::new(None),
            last: std::sync::Mutex::new(None),
            unwritten: channel::Sender::new(None),
            looking: Arc::default(),
        }
    }

    /// Keeps what the daemon was started from.
    pub(crate) async fn begin(&self, text: String, origin: Origin) {
        let mut running = self.turn.lock().await;
        running.text = text.into();
        let (history, text) = (self.history.clone(), running.text.clone());
        running.owed = Some(match origin.refused() {
            Some(refused) => Owed::Refused(refused),
            None => Owed::Good {
                by: "the start".to_owned(),
            },
        });
        let kept = spawn_blocking(move || origin.kept(&text, &history)).await;
        running.kept = kept.unwrap_or(Kept::Not { before: None });
        if let Some(why) = self.write_down(&mut running).await {
            warn!("{why}");
        }
    }

    /// Reads the file and swaps it in.
    ///
    /// # Errors
    /// `invalid_config` with every problem of the file, `failed` where it cannot be read, an
    /// address not bound, or another one waits to be confirmed, `stopping`. Nothing was changed then.
    pub(super) async fn reload(
        &self,
        ask: &Ask,
        noting: &mut Noting<'_>,
    ) -> Result<reply::Reload, ErrorReply> {
        let mut running = self.turn.lock().await;
        self.not_stopping()?;
        info!(path = %self.path.display(), "reload asked by {}", ask.by);
        self.not_waiting(ask)
            .inspect_err(|error| warn!("reload refused: {error}"))?;
        service::reloading();
        let outcome = self.load_and_swap(&mut running, ask, noting).await;
        match &outcome {
            Ok(reply) => {
                self.remember(None);
                self.report(&reply.warnings, reply.changed, "reloaded");
            }
            Err(error) => {
                self.remember(Some(&error.message));
                let hint = error.hint.as_deref().unwrap_or_default();
                warn!(
                    error = error.message,
                    hint, "reload failed, nothing changed"
                );
                service::ready(&format!("last reload failed: {}", error.message));
            }
        }
        outcome
    }

    /// What came of the last one; while the way back from it fails, that.
    pub(super) fn last_reload(&self) -> Option<LastReload> {
        let stuck = self.trial.borrow().as_ref().and_then(|t| t.stuck.clone());
        stuck.or_else(|| self.last().clone())
    }

    fn remember(&self, error: Option<&str>) {
        *self.last() = Some(came_of_it(error));
    }

    fn last(&self) -> MutexGuard<'_, Option<LastReload>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_stopping(&self) -> Result<(), ErrorReply> {
        match self.shared.is_stopping() {
            true => Err(ErrorReply::new(ErrorCode::Stopping, "lbd is stopping")),
            false => Ok(()),
        }
    }

    fn report(&self, warnings: &[String], changed: bool, done: &str) {
        for warning in warnings {
            warn!("{warning}");
        }
        let snapshot = self.shared.snapshot();
        let summary = service::in_one_line(&snapshot);
        let generation = snapshot.loaded.generation;
        info!(generation, changed, "{done}: {summary}");
        service::ready(&summary);
    }

    async fn load_and_swap(
        &self,
        running: &mut Running,
        ask: &Ask,
        noting: &mut Noting<'_>,
    ) -> Result<reply::Reload, ErrorReply> {
        let ready = self.load().await?;
        let before = self.shared.snapshot();
        // There may be room by now.
        let unwritten = self.write_down(running).await;
        if read::is_same(&ready, &before) {
            let (_, mut warnings) = self.warnings(&ready);
            warnings.extend(unwritten.map(|why| why.to_string()));
            return Ok(reply::Reload {
                generation: before.loaded.generation,
                changed: false,
                warnings,
                changes: Vec::new(),
                trial: self.once_more(ask),
            });
        }
        let former = self.fallback(running, &before);
        let text = ready.text.clone();
        let earlier = match ask.is_trial() {
            true => Some(self.prepare_trial(&ready, &former, ask).await?),
            false => None,
        };
        let reason = ask.reason();
        let swapped = match self.swap(ready, ask.is_trial(), &reason, noting).await {
            Ok(swapped) => swapped,
            Err(error) => {
                if let Some(earlier) = earlier {
                    self.unprepare_trial(earlier).await;
                }
                return Err(error);
            }
        };
        let Swapped {
            changes,
            mut warnings,
            gone,
            down,
        } = swapped;
        *running = Running {
            text,
            kept: Kept::Not {
                before: former.kept.latest(),
            },
            owed: None,
        };
        let unwritten = if ask.is_trial() {
            warnings.extend(self.start_trial(former, &down, gone, ask));
            self.write_down(running).await
        } else {
            if let Some(trial) = self.trial.send_replace(None) {
                warnings.push(trial.unwatched());
                warnings.extend(self.shared.end_trial(&trial.gone));
            }
            self.keep(running, &ask.by).await
        };
        warnings.extend(unwritten.map(|why| why.to_string()));
        Ok(reply::Reload {
            generation: self.shared.snapshot().loaded.generation,
            changed: true,
            warnings,
            changes,
            trial: self.trial_status(),
        })
    }

    /// Has it run. Nothing is changed where it cannot.
    async fn swap(
        &self,
        ready: Ready,
        on_trial: bool,
        reason: &str,
        noting: &mut Noting<'_>,
    ) -> Result<Swapped, ErrorReply> {
        let before = self.shared.snapshot();
        let known = self.names.prepare(&ready.config, Some(&before)).await;
        let sink = self
            .open_access_log(ready.config.global.access_log.clone())
            .await?;
        let (ready, changes) = self.compare(ready).await?;
        // From here to the end nothing waits: no probe and no call comes between.
        let before = self.shared.snapshot();
        // Servers that both have are the same ones, and may be down from here on.
        let down = watch::down(&before);
        let (most, mut warnings) = self.warnings(&ready);
        let generation = before.loaded.generation + 1;
        let loaded = loaded(&self.path, &ready.text, generation);
        let logging = ready.config.global.log;
        let threads = self.shared.threads;
        let Ready {
            config,
            certificates,
            ..
        } = ready;
        let snapshot =
            Snapshot::build(config, certificates, loaded, Some(&before), &known, threads)
                .map_err(|error| refusal::of_build(&error))?;
        let (told, gone) = self.shared.settle(&snapshot, &before, on_trial);
        warnings.extend(told);
        self.shared.connections.resize(most);
        let most = snapshot.global.max_handshakes;
        self.shared.handshakes.resize(most, threads);
        self.shared.access_log.switch(sink);
        self.shared.publish(snapshot, reason);
        noting.swapped(before.loaded.generation, generation);
        log::apply(logging);
        Ok(Swapped {
            changes,
            warnings,
            gone,
            down,
        })
    }

    /// Client connections at once, and what an operator should know.
    fn warnings(&self, ready: &Ready) -> (usize, Vec<String>) {
        let global = &ready.config.global;
        let (most, too_many) = self.files.connections(global);
        let mut warnings = self.needs_restart(global);
        warnings.extend(too_many);
        warnings.extend(ready.warnings.iter().cloned());
        (most, warnings)
    }

    /// What the file says and the process will do only after a restart.
    fn needs_restart(&self, new: &Global) -> Vec<String> {
        let old = &self.at_start;
        let differs = [
            ("threads", old.threads != new.threads),
            ("socket", old.socket != new.socket),
            ("socket_mode", old.socket_mode != new.socket_mode),
            ("socket_group", old.socket_group != new.socket_group),
            ("state_dir", old.state_dir != new.state_dir),
        ];
        differs
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(key, _)| format!("{key} takes effect when lbd is restarted"))
            .collect()
    }
}

/// How a reload ended, now.
fn came_of_it(error: Option<&str>) -> LastReload {
    LastReload {
        at: now(),
        ok: error.is_none(),
        error: error.map(str::to_owned),
    }
}

/// Where a configuration came from, now.
pub(crate) fn loaded(path: &Path, text: &str, generation: u64) -> Loaded {
    Loaded {
        path: path.display().to_string(),
        generation,
        at: now(),
        sha256: config::sha256(text),
    }
}
