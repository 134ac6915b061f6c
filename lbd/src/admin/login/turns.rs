//! Whose turn it is where logins have to wait for the next try. Pure.
//!
//! Whoever knows a password comes again with the same one, and a guesser with another: among the claims that were
//! refused and came again the one that came first is next, and new ones stand back. So each failure is followed by the
//! try of another one, whoever asks most often.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::memory::Tag;
use super::throttle::Key;

/// Who has not come again for so long has given up: nobody is told to wait longer than a minute.
const GONE: Duration = Duration::from_secs(90);

/// Claims at most; the one that came longest ago makes room.
const MOST: usize = 4096;

#[derive(Debug)]
struct Came {
    /// Who waits for the same try.
    line: Key,
    first: Instant,
    last: Instant,
    again: bool,
}

impl Came {
    fn is_there(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < GONE
    }
}

#[derive(Debug, Default)]
pub(super) struct Turns(HashMap<Tag, Came>);

impl Turns {
    pub(super) fn came(&mut self, tag: &Tag, line: &Key, now: Instant) {
        let before = self.0.get_mut(tag).filter(|came| came.is_there(now));
        if let Some(came) = before {
            came.again = true;
            came.last = now;
            came.line.clone_from(line);
            return;
        }
        if self.0.len() >= MOST && !self.0.contains_key(tag) {
            let oldest = self.0.iter().min_by_key(|(_, came)| came.last);
            if let Some(oldest) = oldest.map(|(tag, _)| *tag) {
                self.0.remove(&oldest);
            }
        }
        let came = Came {
            line: line.clone(),
            first: now,
            last: now,
            again: false,
        };
        self.0.insert(*tag, came);
    }

    /// Whether nobody goes before this one.
    pub(super) fn is_next(&self, tag: &Tag, line: &Key, now: Instant) -> bool {
        let own = self.0.get(tag).filter(|came| came.is_there(now));
        let own = own.map(|came| (came.first, tag));
        let before = |other: (Instant, &Tag)| own.is_none_or(|own| other < own);
        !self.0.iter().any(|(other, came)| {
            let waits = came.again && came.is_there(now) && came.line == *line;
            waits && before((came.first, other))
        })
    }

    /// It was tried.
    pub(super) fn done(&mut self, tag: &Tag) {
        self.0.remove(tag);
    }
}

#[cfg(test)]
mod tests {
    use super::super::throttle::widest;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn line(name: &str) -> Key {
        widest([127, 0, 0, 1].into(), name)
    }

    fn tag(n: u32) -> Tag {
        let mut tag = Tag::default();
        tag[..4].copy_from_slice(&n.to_be_bytes());
        tag
    }

    #[test]
    fn what_comes_again_goes_before_what_is_new() {
        let (mut turns, ops, start) = (Turns::default(), line("ops"), Instant::now());
        let right = tag(u32::MAX);
        assert!(turns.is_next(&right, &ops, start), "nobody waits");
        // Twice a second another one; whoever knows the password comes each minute.
        let mut now = start;
        for n in 0..240 {
            turns.came(&tag(n), &ops, now);
            if n % 120 == 0 {
                turns.came(&right, &ops, now);
            }
            now += SECOND / 2;
        }
        assert!(!turns.is_next(&tag(999), &ops, now));
        assert!(!turns.is_next(&tag(239), &ops, now));
        assert!(turns.is_next(&right, &ops, now));
        assert!(turns.is_next(&tag(999), &line("eve"), now), "another line");
        turns.done(&right);
        assert!(turns.is_next(&tag(999), &ops, now));
    }

    #[test]
    fn of_those_that_come_again_the_first_is_next_until_it_is_gone() {
        let (mut turns, ops, start) = (Turns::default(), line("ops"), Instant::now());
        for round in 0..3 {
            for n in [7, 3, 5] {
                turns.came(&tag(n), &ops, start + round * SECOND + SECOND / (10 - n));
            }
        }
        let next = |turns: &Turns, now| {
            let next = [3, 5, 7].into_iter();
            let next = next.filter(|n| turns.is_next(&tag(*n), &ops, now));
            next.collect::<Vec<_>>()
        };
        let now = start + 3 * SECOND;
        assert_eq!(next(&turns, now), [3]);
        turns.done(&tag(3));
        assert_eq!(next(&turns, now), [5]);
        turns.came(&tag(7), &ops, now + GONE / 2);
        assert_eq!(next(&turns, now + GONE), [7], "5 is gone");
    }

    #[test]
    fn it_is_bounded_and_keeps_who_came_lately() {
        let (mut turns, ops, start) = (Turns::default(), line("ops"), Instant::now());
        for n in 0..10_000 {
            let now = start + n * Duration::from_millis(1);
            turns.came(&tag(n), &ops, now);
            if n % 2000 == 0 {
                turns.came(&tag(u32::MAX), &ops, now);
            }
        }
        assert_eq!(turns.0.len(), MOST);
        assert!(turns.0[&tag(u32::MAX)].again);
    }
}
