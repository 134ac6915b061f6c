//! What a configuration on trial is watched for: the time to confirm it, and backends that it leaves
//! without a server.

use std::sync::Arc;
use std::time::Duration;

use lb_proto::name::BackendName;
use lb_proto::state::{Admin, Health};
use tokio::time::{sleep, sleep_until};

use super::Reloader;
use super::trial::{Deadline, Trial};
use crate::control::audit::Auditor;
use crate::state::{Backend, Snapshot};

/// How long after a failed way back the next is tried: an address may be somebody else's by now.
const AGAIN: Duration = Duration::from_secs(5);

/// Backends that must not be left without a server, for a while.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) until: Deadline,
    backends: Vec<BackendName>,
}

/// What became of a trial.
enum Outcome {
    Failed(String),
    Held,
}

impl Watched {
    /// The backends that must not be left without a server, and for how long: as long as their checks
    /// may take to say so. Those that had none before are `excused`.
    pub(super) fn of(snapshot: &Snapshot, excused: &[BackendName]) -> Option<Self> {
        let backends = snapshot.backends.iter();
        let watched = backends.filter(|backend| !excused.contains(&backend.config.name));
        let windows = watched.filter_map(|backend| Some((window(backend)?, &backend.config.name)));
        let (windows, backends): (Vec<_>, Vec<_>) =
            windows.map(|(w, name)| (w, name.clone())).unzip();
        Some(Self {
            until: Deadline::after(windows.into_iter().max()?),
            backends,
        })
    }
}

impl Reloader {
    /// Brings the former configuration back when a trial fails, until lbd stops.
    pub(in crate::control) async fn watch_trials(&self, audit: &Auditor) {
        let mut trials = self.trial.subscribe();
        loop {
            let trial = trials.borrow_and_update().clone();
            let Some(trial) = trial else {
                // The sender is ours.
                let _ = trials.changed().await;
                continue;
            };
            let outcome = tokio::select! {
                _ = trials.changed() => continue,
                outcome = self.outcome(&trial) => outcome,
            };
            match outcome {
                // What runs now is not what the next start begins with, as for any other stop.
                _ if self.shared.is_stopping() => return,
                Outcome::Failed(why) => {
                    if !self.take_back(&trial, &why, audit).await {
                        sleep(AGAIN).await;
                    }
                }
                Outcome::Held => self.held(&trial).await,
            }
        }
    }

    async fn outcome(&self, trial: &Trial) -> Outcome {
        let not_confirmed = async {
            let Some(deadline) = &trial.confirm else {
                return std::future::pending().await;
            };
            sleep_until(deadline.at).await;
            format!("not confirmed within {:?}", deadline.within)
        };
        let watched = async {
            let Some(watched) = &trial.watched else {
                return match trial.confirm {
                    Some(_) => std::future::pending().await,
                    None => Outcome::Held,
                };
            };
            tokio::select! {
                biased;
                backend = self.left_without_a_server(&watched.backends) => {
                    Outcome::Failed(format!("backend {backend} was left without a server"))
                }
                () = sleep_until(watched.until.at) => Outcome::Held,
            }
        };
        tokio::select! {
            why = not_confirmed => Outcome::Failed(why),
            outcome = watched => outcome,
        }
    }

    async fn left_without_a_server(&self, watched: &[BackendName]) -> BackendName {
        let mut nudges = self.shared.phase();
        loop {
            let snapshot = self.shared.snapshot();
            let down = |name: &&BackendName| snapshot.backend(name).is_some_and(is_down);
            if let Some(name) = watched.iter().find(down) {
                return name.clone();
            }
            if nudges.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Every backend kept a server for as long as was to be watched.
    async fn held(&self, trial: &Arc<Trial>) {
        let mut running = self.turn.lock().await;
        if !self.is_on_trial(trial) {
            return;
        }
        if trial.confirm.is_none() {
            let why = "kept: no backend was left without a server";
            let unwritten = self.keep(&mut running, &trial.by).await;
            self.end_trial(trial, why, unwritten);
            return;
        }
        let mut rest = Trial::clone(trial);
        rest.watched = None;
        self.trial.send_replace(Some(Arc::new(rest)));
    }
}

/// The backends that have no server.
pub(super) fn down(snapshot: &Snapshot) -> Vec<BackendName> {
    let down = snapshot.backends.iter().filter(|backend| is_down(backend));
    down.map(|backend| backend.config.name.clone()).collect()
}

/// How long the checks of a backend may take to bring a server down, or one that starts over up. No
/// time is needed where none of its names leads anywhere.
fn window(backend: &Backend) -> Option<Duration> {
    if is_down(backend) {
        return Some(Duration::ZERO);
    }
    let check = backend.config.health.as_ref()?;
    if !backend.config.servers.iter().any(|server| server.check) {
        return None;
    }
    let most = check.rise.max(check.fall);
    Some((check.interval + check.timeout).saturating_mul(most))
}

/// Whether checks have left it without a server; one that operators have emptied is their business.
fn is_down(backend: &Backend) -> bool {
    let mut wanted = backend
        .servers
        .iter()
        .filter(|s| s.admin() == Admin::Ready)
        .peekable();
    wanted.peek().is_some() && wanted.all(|server| server.health() == Health::Down)
}
