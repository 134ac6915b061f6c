//! How often a server failed of late: counted by data threads, without a lock. Pure.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use lb_proto::config::Outlier;

/// The times of a server's last failures, as many as are too many: the window is exact, and a
/// server that does not fail costs nothing.
#[derive(Debug)]
pub(crate) struct Failures {
    start: Instant,
    window_ms: u64,
    /// Milliseconds from `start`, counted from 1; 0: none. A ring.
    times: Box<[AtomicU64]>,
    /// Where the next one goes, the ring unrolled.
    next: AtomicUsize,
    suspect: AtomicBool,
}

impl Failures {
    pub(super) fn new(outlier: Outlier, now: Instant) -> Self {
        Self {
            start: now,
            window_ms: outlier.window.as_millis() as u64,
            times: (0..outlier.errors).map(|_| AtomicU64::new(0)).collect(),
            next: AtomicUsize::new(0),
            suspect: AtomicBool::new(false),
        }
    }

    /// Counts one. True where that makes the server a suspect: somebody is to look at it.
    pub(crate) fn count(&self, now: Instant) -> bool {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        self.times[at % self.times.len()].store(self.millis(now), Ordering::Relaxed);
        self.are_too_many(now) && !self.suspect.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }

    /// Whether the last of them happened within the window, and are as many as are too many.
    pub(super) fn are_too_many(&self, now: Instant) -> bool {
        let oldest = self.next.load(Ordering::Relaxed) % self.times.len();
        let oldest = self.times[oldest].load(Ordering::Relaxed);
        oldest != 0 && self.millis(now).saturating_sub(oldest) <= self.window_ms
    }

    /// From now on the server is no suspect until it fails again.
    pub(super) fn clear_suspicion(&self) {
        self.suspect.store(false, Ordering::Release);
    }

    /// Forgets all of them.
    pub(super) fn forget(&self) {
        for time in &self.times {
            time.store(0, Ordering::Relaxed);
        }
        self.clear_suspicion();
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn failures(errors: u32, start: Instant) -> Failures {
        let outlier = Outlier {
            errors,
            window: Duration::from_secs(10),
            eject: Duration::from_secs(30),
        };
        Failures::new(outlier, start)
    }

    #[test]
    fn as_many_within_the_window_make_a_suspect_once() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let some = failures(3, start);
        assert!(!some.count(at(0)) && !some.count(at(5)));
        assert!(!some.count(at(11)), "the first is too old");
        assert!(some.count(at(12)));
        assert!(some.is_suspect());
        assert!(!some.count(at(12)), "it has been said");
        some.forget();
        assert!(!some.is_suspect() && !some.are_too_many(at(12)));
        assert!(!some.count(at(12)) && !some.count(at(12)) && some.count(at(12)));
    }

    #[test]
    fn one_may_be_too_many() {
        let start = Instant::now();
        assert!(failures(1, start).count(start));
    }

    proptest! {
        #[test]
        fn the_window_slides(
            errors in 1u32..6,
            pauses in prop::collection::vec(0u64..8_000, 1..60),
        ) {
            let start = Instant::now();
            let some = failures(errors, start);
            let mut recent = VecDeque::new();
            let mut at = 0;
            for pause in pauses {
                at += pause;
                recent.push_back(at);
                while recent.front().is_some_and(|first| at - first > 10_000) {
                    recent.pop_front();
                }
                let suspect = some.count(start + Duration::from_millis(at));
                prop_assert_eq!(suspect, recent.len() >= errors as usize);
                some.clear_suspicion();
            }
        }
    }
}
