//! Which generations of the configuration have a server.

use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A server comes and goes this often before it is forgotten that its first generations had it: what
/// asks for them has waited in a queue ever since.
const MOST: usize = 16;

/// The control plane writes it; data threads ask where somebody waits.
#[derive(Debug)]
pub(super) struct Presence(Mutex<Vec<RangeInclusive<u64>>>);

impl Presence {
    pub(super) fn since(generation: u64) -> Self {
        Self(Mutex::new(vec![generation..=u64::MAX]))
    }

    pub(super) fn has(&self, generation: u64) -> bool {
        self.lock().iter().any(|span| span.contains(&generation))
    }

    /// The generation after this one does not have it.
    pub(super) fn ends_with(&self, generation: u64) {
        if let Some(last) = self.lock().last_mut() {
            *last = *last.start()..=generation.min(*last.end());
        }
    }

    /// This generation has it; tells whether the one before it did not.
    pub(super) fn returns_with(&self, generation: u64) -> bool {
        let mut spans = self.lock();
        if spans.last().is_some_and(|last| *last.end() == u64::MAX) {
            return false;
        }
        if spans.len() == MOST {
            spans.remove(0);
        }
        spans.push(generation..=u64::MAX);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RangeInclusive<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_and_goes_is_in_the_generations_that_have_it() {
        let presence = Presence::since(2);
        assert!(!presence.returns_with(3), "it was there all the time");
        presence.ends_with(4);
        presence.ends_with(9);
        assert!(presence.returns_with(7));
        let has: Vec<u64> = (0..9).filter(|n| presence.has(*n)).collect();
        assert_eq!(has, [2, 3, 4, 7, 8]);
        for round in 0..1000 {
            presence.ends_with(100 + 2 * round);
            presence.returns_with(102 + 2 * round);
        }
        assert_eq!(presence.lock().len(), MOST);
        assert!(presence.has(5000) && !presence.has(3));
    }
}
