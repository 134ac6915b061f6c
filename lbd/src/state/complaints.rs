//! How often the log is told what is wrong with a server when it is asked for something.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// From one complaint about a server to the next.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    others: u32,
}

impl Complaints {
    /// Whether one is to be told: then, how many were not since the last. Whoever asks has one.
    pub(crate) fn tell(&self, now: Instant) -> Option<u32> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = |last: Instant| now.saturating_duration_since(last) < PAUSE;
        if told.last.is_some_and(soon) {
            told.others = told.others.saturating_add(1);
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_minute_is_told_and_counts_the_others() {
        let complaints = Complaints::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(complaints.tell(start), Some(0));
        assert_eq!(complaints.tell(after(1)), None);
        assert_eq!(complaints.tell(after(59)), None);
        assert_eq!(complaints.tell(after(60)), Some(2));
        assert_eq!(complaints.tell(after(121)), Some(0));
    }
}
