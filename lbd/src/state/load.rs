//! How busy a server is: the numbers that data threads pick by.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// The share of a server of weight 1 that has its whole share: the steps of a slow start.
pub(crate) const STEPS: u32 = 16;

/// Shared by all threads. Alone in its cache lines, so that a busy server does not slow the pick of
/// another.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Load {
    sessions: AtomicU64,
    sessions_max: AtomicU64,
    /// What the server gets of new sessions, in [`STEPS`]ths of a weight of 1; 0: none that is not
    /// tied to it. Only the control plane writes it.
    share: AtomicU32,
}

impl Load {
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(SeqCst)
    }

    pub(crate) fn sessions_max(&self) -> u64 {
        self.sessions_max.load(Relaxed)
    }

    pub(crate) fn share(&self) -> u32 {
        self.share.load(SeqCst)
    }

    /// Returns what it was before.
    pub(super) fn set_share(&self, share: u32) -> u32 {
        self.share.swap(share, SeqCst)
    }

    /// Counts a session; returns how many there are.
    pub(super) fn add(&self) -> u64 {
        self.sessions.fetch_add(1, SeqCst) + 1
    }

    /// Counts a session if there are as many as `seen`.
    pub(super) fn add_to(&self, seen: u64) -> bool {
        self.sessions
            .compare_exchange(seen, seen + 1, SeqCst, SeqCst)
            .is_ok()
    }

    pub(super) fn remove(&self) {
        self.sessions.fetch_sub(1, SeqCst);
    }

    /// Says that there are so many sessions.
    pub(super) fn record(&self, now: u64) {
        if now > self.sessions_max.load(Relaxed) {
            self.sessions_max.fetch_max(now, Relaxed);
        }
    }

    pub(crate) fn cost(&self) -> u64 {
        cost(self.sessions(), self.share())
    }
}

/// What leastconn compares: how loaded the server would be with one session more, by its share. An
/// idle server costs nothing, whatever its share, or the heaviest would get every request of a
/// quiet time (so does HAProxy, `lb_fwlc.c`). Equal quotients are equal here and others differ:
/// shares are below 2^13, so the 32 bits of fraction tell any two apart.
pub(crate) fn cost(sessions: u64, share: u32) -> u64 {
    match (sessions, share) {
        (_, 0) => u64::MAX,
        (0, _) => 0,
        _ => ((sessions.min(u64::from(u32::MAX >> 1)) + 1) << 32) / u64::from(share),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_compares_sessions_by_share_exactly() {
        assert_eq!(cost(0, 16), cost(0, 4096));
        assert_eq!(cost(2, 3 * 16), cost(6, 7 * 16));
        assert!(cost(1, 16) > cost(1, 32));
        assert!(cost(4095, 4096) > cost(4093, 4095));
        assert!(cost(u64::MAX, 1) < cost(0, 0), "no share is no server");
    }
}
