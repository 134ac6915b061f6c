//! What is to come out in the order of its slots, whenever each of them is filled. Pure.

use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Order<T> {
    /// The first that waits.
    first: u64,
    waiting: VecDeque<Option<T>>,
}

impl<T> Order<T> {
    /// A slot after all others.
    pub(super) fn slot(&mut self) -> u64 {
        self.waiting.push_back(None);
        self.first + self.waiting.len() as u64 - 1
    }

    /// Fills a slot; returns what may come out now.
    pub(super) fn fill(&mut self, slot: u64, with: T) -> Vec<T> {
        let at = slot.checked_sub(self.first);
        let at = at.and_then(|at| usize::try_from(at).ok());
        if let Some(empty) = at.and_then(|at| self.waiting.get_mut(at)) {
            *empty = Some(with);
        }
        let filled = self.waiting.iter().take_while(|slot| slot.is_some());
        let ready = filled.count();
        self.first += ready as u64;
        self.waiting.drain(..ready).flatten().collect()
    }
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self {
            first: 0,
            waiting: VecDeque::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_early_waits_for_what_is_before_it() {
        let mut order = Order::default();
        let slots = [order.slot(), order.slot(), order.slot()];
        assert_eq!(order.fill(slots[1], "b"), [""; 0]);
        assert_eq!(order.fill(slots[0], "a"), ["a", "b"]);
        let last = order.slot();
        assert_eq!(order.fill(last, "d"), [""; 0]);
        assert_eq!(order.fill(slots[2], "c"), ["c", "d"]);
        assert!(order.waiting.is_empty());
    }
}
