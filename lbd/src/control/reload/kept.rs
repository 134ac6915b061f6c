//! What runs, and what the disk has to say of it: what a way back and the next start need to know.
//! What cannot be written is owed: shown, and tried again until it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::info;

use super::Reloader;
use crate::causes::in_full;
use crate::control::history::{About, History, HistoryError, Unconfirmed};

/// How long until what is owed is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// What runs, as far as a way back to it needs it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) text: Arc<str>,
    pub(super) kept: Kept,
    pub(super) owed: Option<Owed>,
}

/// Where it is among those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control) enum Kept {
    As(u64),
    /// It is not; the number of the last one before it that is.
    Not {
        before: Option<u64>,
    },
}

/// What the disk does not say yet.
#[derive(Debug, Clone)]
pub(super) enum Owed {
    /// That it is good, and nothing waits or was refused.
    Good {
        /// Who or what asked for it.
        by: String,
    },
    /// That what was left does not come back with a restart: of the bytes of each, hexadecimal.
    Refused(Vec<String>),
}

/// Why the disk does not say it.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Unwritten {
    #[error("the configuration is not kept: {0}")]
    Number(String),
    #[error("a restart may begin with the configuration before: {0}")]
    Confirmation(String),
    #[error("a restart may begin with what was left: {0}")]
    Refusal(String),
}

impl Kept {
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::As(number) => Some(number),
            Self::Not { .. } => None,
        }
    }

    /// Where a way back leads from here: of one that is kept, to what it names as before it.
    pub(super) fn before(self, history: &History) -> Result<Option<u64>, HistoryError> {
        match self {
            Self::As(number) => Ok(history.read(number)?.about.before),
            Self::Not { before } => Ok(before),
        }
    }

    /// The last one that is kept, from here back.
    pub(super) fn latest(self) -> Option<u64> {
        match self {
            Self::As(number) => Some(number),
            Self::Not { before } => before,
        }
    }
}

impl Running {
    /// Nothing yet.
    pub(super) fn nothing() -> Self {
        Self {
            text: Arc::default(),
            kept: Kept::Not { before: None },
            owed: None,
        }
    }

    /// What may not come back besides `left`, as far as the disk does not know.
    pub(super) fn refusing(&mut self, left: String) -> Owed {
        let mut all = match self.owed.take() {
            Some(Owed::Refused(all)) => all,
            _ => Vec::new(),
        };
        if !all.contains(&left) {
            all.push(left);
        }
        Owed::Refused(all)
    }
}

impl Reloader {
    /// What runs is good: it is kept for good. Tells what is wrong with that.
    pub(super) async fn keep(&self, running: &mut Running, by: &str) -> Option<Unwritten> {
        running.owed = Some(Owed::Good { by: by.to_owned() });
        self.write_down(running).await
    }

    /// Has the disk say what is owed. Tells why it does not.
    pub(super) async fn write_down(&self, running: &mut Running) -> Option<Unwritten> {
        let Some(owed) = running.owed.clone() else {
            self.unwritten.send_replace(None);
            return None;
        };
        let history = self.history.clone();
        let (mut kept, text) = (running.kept, running.text.clone());
        let at = self.shared.snapshot().loaded.at.clone();
        let path = self.path.display().to_string();
        let write = move || {
            let written = match owed {
                Owed::Good { by } => {
                    let about = About {
                        before: kept.latest(),
                        at,
                        by,
                        path,
                    };
                    good(&history, &mut kept, about, &text)
                }
                Owed::Refused(sha256) => refused(&history, kept, sha256),
            };
            (kept, written.err())
        };
        let unwritten = match spawn_blocking(write).await {
            Ok((kept, unwritten)) => {
                running.kept = kept;
                unwritten
            }
            Err(_) => Some(Unwritten::Confirmation("see the log".to_owned())),
        };
        if unwritten.is_none() {
            running.owed = None;
        }
        let told = unwritten.as_ref().map(ToString::to_string);
        self.unwritten.send_replace(told);
        unwritten
    }

    /// What is owed to the disk, as operators are told.
    pub(in crate::control) fn unwritten(&self) -> Option<String> {
        self.unwritten.borrow().clone()
    }

    /// Tries again what could not be written, until it is dropped.
    pub(in crate::control) async fn keep_trying(&self) {
        let mut unwritten = self.unwritten.subscribe();
        while unwritten.wait_for(Option::is_some).await.is_ok() {
            sleep(AGAIN).await;
            let mut running = self.turn.lock().await;
            if running.owed.is_some() && self.write_down(&mut running).await.is_none() {
                info!(
                    "the configuration that runs could be written down: a restart begins with it"
                );
            }
        }
    }
}

/// It is good, and nothing else is. The second half needs no room, and so does not wait for the first.
fn good(history: &History, kept: &mut Kept, about: About, text: &str) -> Result<(), Unwritten> {
    let numbered = match *kept {
        Kept::As(_) => Ok(()),
        Kept::Not { .. } => history
            .keep(about, text)
            .map(|number| *kept = Kept::As(number)),
    };
    let why = |error: HistoryError| in_full(&error);
    history
        .set_unconfirmed(None)
        .map_err(|error| Unwritten::Confirmation(why(error)))?;
    numbered.map_err(|error| Unwritten::Number(why(error)))
}

/// What was left is still in the file, and is not to come back with a restart; nor is what was left
/// before that.
fn refused(history: &History, kept: Kept, left: Vec<String>) -> Result<(), Unwritten> {
    let Some(fallback) = kept.number() else {
        return Ok(());
    };
    let write = || {
        let earlier = history.unconfirmed()?.filter(|earlier| !earlier.waiting);
        let mut sha256 = earlier.map_or_else(Vec::new, |earlier| earlier.sha256);
        for one in left {
            if !sha256.contains(&one) {
                sha256.push(one);
            }
        }
        history.set_unconfirmed(Some(&Unconfirmed {
            sha256,
            fallback,
            waiting: false,
        }))
    };
    write().map_err(|error| Unwritten::Refusal(in_full(&error)))
}
