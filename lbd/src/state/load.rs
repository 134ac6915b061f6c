//! How busy a server is: the numbers that data threads pick by.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};

/// The share of a server of weight 1 that has its whole share: the steps of a slow start.
pub(crate) const STEPS: u32 = 16;

/// Shared by all threads. Alone in its cache lines, so that a busy server does not slow the pick of
/// another.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Load {
    sessions: AtomicU64,
    sessions_max: AtomicU64,
    /// How many requests wait for this server alone.
    queued: AtomicU64,
    /// How many sessions it may have at once. Only the control plane writes it.
    most: AtomicU64,
    /// What the server gets of new sessions, in [`STEPS`]ths of a weight of 1; 0: none that is not
    /// tied to it. Only the control plane writes it.
    share: AtomicU32,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            sessions: AtomicU64::new(0),
            sessions_max: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            most: AtomicU64::new(u64::MAX),
            share: AtomicU32::new(0),
        }
    }
}

/// Whether a session could be counted.
pub(super) enum Room {
    /// There are so many now.
    Added(u64),
    Full,
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

    /// Tells whether that changes anything.
    pub(super) fn set_share(&self, share: u32, most: u64) -> bool {
        let share_was = self.share.swap(share, SeqCst);
        let most_was = self.most.swap(most, SeqCst);
        (share_was, most_was) != (share, most)
    }

    /// Whether a session may be added by somebody who has not waited.
    pub(crate) fn has_room(&self) -> bool {
        self.sessions() < self.most.load(SeqCst) && self.queued() == 0
    }

    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(SeqCst)
    }

    pub(super) fn count_queued(&self, by: i64) {
        self.queued.fetch_add(by as u64, SeqCst);
    }

    /// Counts a session, if there is room.
    pub(super) fn add(&self) -> Room {
        let most = self.most.load(SeqCst);
        if most == u64::MAX {
            return Room::Added(self.sessions.fetch_add(1, SeqCst) + 1);
        }
        let one_more = |sessions| (sessions < most).then_some(sessions + 1);
        match self.sessions.fetch_update(SeqCst, SeqCst, one_more) {
            Ok(before) => Room::Added(before + 1),
            Err(_) => Room::Full,
        }
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
        self.cost_of(self.sessions())
    }

    /// What it costs with so many sessions; a full one is not to be had.
    pub(super) fn cost_of(&self, sessions: u64) -> u64 {
        match sessions < self.most.load(SeqCst) {
            true => cost(sessions, self.share()),
            false => u64::MAX,
        }
    }
}

/// What leastconn compares: how loaded the server would be with one session more, by its share. An
/// idle server costs nothing, whatever its share, or the heaviest would get every request of a
/// quiet time (so does HAProxy, `lb_fwlc.c`). Equal quotients are equal here and others differ:
/// shares are below 2^13, so the 32 bits of fraction tell any two apart.
fn cost(sessions: u64, share: u32) -> u64 {
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
