//! What runs, and whether it is kept on disk: what a way back needs to know.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Reloader, in_full};
use crate::control::history::About;

/// What runs, as far as a way back to it needs it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) text: Arc<str>,
    pub(super) kept: Kept,
}

/// Where it is among those that are kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kept {
    As(u64),
    /// It is not; the number of the last one before it that is.
    Not {
        before: Option<u64>,
    },
}

impl Kept {
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::As(number) => Some(number),
            Self::Not { .. } => None,
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

impl Reloader {
    /// Keeps what runs for good, and tells what is wrong with that: there is no way back to it then,
    /// or a restart begins with another one.
    pub(super) async fn keep(&self, running: &mut Running, by: &str) -> Option<String> {
        let (history, text) = (self.history.clone(), running.text.clone());
        let about = About {
            before: running.kept.latest(),
            at: self.shared.snapshot().loaded.at.clone(),
            by: by.to_owned(),
            path: self.path.display().to_string(),
        };
        let kept = spawn_blocking(move || {
            let number = history.keep(about, &text)?;
            history.set_unconfirmed(None).map(|()| number)
        });
        match kept.await {
            Ok(Ok(number)) => {
                running.kept = Kept::As(number);
                None
            }
            Ok(Err(error)) => Some(format!(
                "the configuration is not kept: {}",
                in_full(&error)
            )),
            Err(_) => Some("the configuration is not kept; see the log".to_owned()),
        }
    }
}
