//! Times of the wall clock, which may be set meanwhile, beside those of the clock that nobody sets, which decides. Pure.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Since when something is so that began `at`, however the clock is set from now on. A clock that was set back has it
/// begin now.
pub(super) fn began(at: Timestamp, now: Timestamp, instant: Instant) -> Instant {
    let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
    instant.checked_sub(age).unwrap_or(instant)
}

/// When something comes that is so far off, as the clock is set now, where it was `said` before. It is the same time as
/// long as nobody sets the clock.
pub(crate) fn comes(said: Timestamp, left: Duration, now: Timestamp) -> Timestamp {
    let by_now = now.saturating_add(left).unwrap_or(Timestamp::MAX);
    let moved = by_now.duration_since(said).as_millis();
    let seconds = (moved + 500).div_euclid(1000);
    let moved = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0));
    said.saturating_add(moved).unwrap_or(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn what_began_before_the_process_is_as_old_as_the_clock_says_at_first() {
        let instant = Instant::now();
        let age = |now| instant - began(at(0), now, instant);
        assert_eq!(age(at(0)), Duration::ZERO);
        assert_eq!(age(at(60)), Duration::from_secs(60));
        assert_eq!(age(at(-60)), Duration::ZERO, "set back");
        began(Timestamp::MIN, Timestamp::MAX, instant);
    }

    #[test]
    fn what_comes_moves_with_the_clock_and_not_by_itself() {
        let (said, left) = (at(60), Duration::from_millis(49_997));
        assert_eq!(comes(said, left, at(10)), said);
        assert_eq!(comes(said, Duration::from_secs(50), at(10)), said);
        assert_eq!(comes(said, left, at(3610)), at(3660));
        assert_eq!(comes(said, left, at(-3590)), at(-3540));
        // What no calendar has is no reason to stop.
        comes(Timestamp::MAX, left, Timestamp::MIN);
        comes(Timestamp::MIN, Duration::MAX, Timestamp::MAX);
    }
}
