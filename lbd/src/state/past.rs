//! What a server's record remembers of the last while, for whoever asks why it is as it is. Control
//! plane only.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lb_proto::reply::Change;
use lb_proto::status::CheckStatus;

/// How many of each are kept: a minute of probes or more, and what one looks at on one screen.
const KEPT: usize = 16;

/// The longest detail or reason that is kept, in bytes: servers have a say in it.
const LONGEST: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Past(Mutex<Events>);

#[derive(Debug, Default)]
struct Events {
    probes: Recent<CheckStatus>,
    made: Checks,
    against: u32,
    changes: Recent<Change>,
}

/// How many checks there were, ever.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checks {
    pub(crate) all: u64,
    pub(crate) failed: u64,
}

/// All that is remembered.
#[derive(Debug)]
pub(crate) struct Story {
    /// Oldest first.
    pub(crate) probes: Vec<CheckStatus>,
    /// How many of the last results, in a row, speak against its health.
    pub(crate) against: u32,
    /// Oldest first.
    pub(crate) changes: Vec<Change>,
}

impl Past {
    /// Keeps what a check saw, and how many results in a row speak against the server's health now.
    pub(crate) fn saw_check(&self, check: CheckStatus, against: u32) {
        let detail = bounded(check.detail);
        let mut events = self.lock();
        events.made.all += 1;
        events.made.failed += u64::from(!check.result.is_ok());
        events.probes.push(CheckStatus { detail, ..check });
        events.against = against;
    }

    /// Checks begin anew: no result counts that came before.
    pub(crate) fn begin_checks(&self) {
        self.lock().against = 0;
    }

    /// Forgets what checks saw, as when the address changes.
    pub(super) fn forget_checks(&self) {
        let mut events = self.lock();
        events.probes.clear();
        events.against = 0;
    }

    /// Keeps what happened to the server.
    pub(super) fn remember(&self, change: Change) {
        let reason = bounded(change.reason);
        self.lock().changes.push(Change { reason, ..change });
    }

    pub(crate) fn last_check(&self) -> Option<CheckStatus> {
        self.lock().probes.last().cloned()
    }

    /// How many of the last results, in a row, speak against its health.
    pub(crate) fn against(&self) -> u32 {
        self.lock().against
    }

    pub(crate) fn checks(&self) -> Checks {
        self.lock().made
    }

    /// How long the last check took, in milliseconds.
    pub(crate) fn last_latency_ms(&self) -> Option<f64> {
        Some(self.lock().probes.last()?.latency_ms)
    }

    pub(crate) fn story(&self) -> Story {
        let events = self.lock();
        Story {
            probes: events.probes.all(),
            against: events.against,
            changes: events.changes.all(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last few of something, oldest first.
#[derive(Debug)]
struct Recent<T>(VecDeque<T>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Recent<T> {
    fn push(&mut self, one: T) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(one);
    }

    fn last(&self) -> Option<&T> {
        self.0.back()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn all(&self) -> Vec<T> {
        self.0.iter().cloned().collect()
    }
}

/// A text that is not longer than is kept.
fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        let fits = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(fits.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_are_kept() {
        let mut recent = Recent::default();
        assert_eq!(recent.last(), None);
        for n in 0..100 {
            recent.push(n);
        }
        assert_eq!(recent.all(), (100 - KEPT as i32..100).collect::<Vec<_>>());
        assert_eq!(recent.last(), Some(&99));
        recent.clear();
        assert_eq!(recent.all(), [0; 0]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(bounded("short".to_owned()), "short");
        let long = bounded("ä".repeat(LONGEST));
        assert_eq!(long.chars().count(), LONGEST / 2 + 1);
        assert!(long.ends_with("ä…"));
    }
}
