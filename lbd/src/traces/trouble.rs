//! When the log is told that a collector does not take spans, and that it does again: pure. One that takes
//! some and refuses others would fill it.

use std::time::Duration;

use tokio::time::Instant;

/// How long it must have worked before that is told.
const STEADY: Duration = Duration::from_secs(20);

/// What the log was told; nothing: it works.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<Failing>);

#[derive(Debug)]
struct Failing {
    /// How many spans were dropped before.
    dropped_before: u64,
    last: Instant,
    /// It has taken some since.
    works: bool,
}

impl Trouble {
    /// It did not take some, and so many were dropped so far. True: that is to be told.
    pub(super) fn fails(&mut self, dropped: u64, now: Instant) -> bool {
        let is_new = self.0.is_none();
        let dropped_before = self.0.as_ref().map_or(dropped, |f| f.dropped_before);
        self.0 = Some(Failing {
            dropped_before,
            last: now,
            works: false,
        });
        is_new
    }

    /// It took some.
    pub(super) fn works(&mut self) {
        if let Some(failing) = &mut self.0 {
            failing.works = true;
        }
    }

    /// It has worked for long enough that this is to be told: with how many were dropped before.
    pub(super) fn is_over(&mut self, now: Instant) -> Option<u64> {
        let steady = |f: &mut Failing| f.works && now.duration_since(f.last) >= STEADY;
        self.0.take_if(steady).map(|failing| failing.dropped_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_told_once() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let mut trouble = Trouble::default();
        trouble.works();
        assert_eq!(trouble.is_over(begun), None);
        assert!(trouble.fails(7, begun));
        let mut now = begun;
        for dropped in 8..100 {
            trouble.works();
            now += STEADY - second;
            assert_eq!(trouble.is_over(now), None);
            assert!(!trouble.fails(dropped, now));
        }
        // Time alone does not mend it.
        now += STEADY * 2;
        assert_eq!(trouble.is_over(now), None);
        trouble.works();
        assert_eq!(trouble.is_over(now), Some(7));
        assert_eq!(trouble.is_over(now), None);
        assert!(trouble.fails(200, now));
    }
}
