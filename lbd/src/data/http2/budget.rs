//! How many requests a client may take back before they are answered: what it asks for costs it a
//! frame, and a server a request (CVE-2023-44487, rapid reset). Pure.

use std::cell::Cell;

/// Requests that may be taken back before it is looked at how many were not.
const SPARE: u64 = 200;

#[derive(Debug, Default)]
pub(super) struct Budget {
    begun: Cell<u64>,
    taken_back: Cell<u64>,
}

impl Budget {
    pub(super) fn began(&self) {
        self.begun.set(self.begun.get() + 1);
    }

    /// The client reset a stream that had no answer yet.
    pub(super) fn took_back(&self) {
        self.taken_back.set(self.taken_back.get() + 1);
    }

    /// Whether most of what it asks for is taken back.
    pub(super) fn is_spent(&self) -> bool {
        let taken_back = self.taken_back.get();
        taken_back > SPARE && taken_back > self.begun.get() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_most_of_it_back_has_spent_it() {
        let budget = Budget::default();
        for n in 0..SPARE {
            budget.began();
            budget.took_back();
            assert!(!budget.is_spent(), "after {n}");
        }
        budget.began();
        budget.took_back();
        assert!(budget.is_spent());
        for _ in 0..=SPARE {
            budget.began();
        }
        assert!(!budget.is_spent());
    }
}
