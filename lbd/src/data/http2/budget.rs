//! What a client may have us do for nothing. Pure.
//!
//! How many requests it may take back before they are answered: what it asks for costs it a frame, and a
//! server a request (CVE-2023-44487, rapid reset). And how many frames it may send that carry nothing of a
//! request (RFC 9113, 10.5): all are answered or made a note of, while others on the thread wait.

use std::cell::Cell;

use super::frames::Beside;

/// Requests that may be taken back before it is looked at how many were not.
const SPARE: u64 = 200;

/// Frames beside requests that may come between two looks, which are a second apart at most: they take
/// less than a hundredth of a thread's time.
const MOST_OTHERS: u64 = 20_000;

/// Bytes sent to the client for which one more may come: what it takes it may say a word about. Answers to
/// such frames are shorter.
const SENT_FOR_ONE: u64 = 64;

/// The same for those that make room for more. A frame of content is ten bytes at least, and they may
/// follow each, for the stream and for the connection.
const SENT_FOR_UPDATE: u64 = 5;

#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Bytes since the last look.
    sent: Cell<u64>,
    /// Frames up to then.
    before: Cell<Beside>,
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

    /// Bytes went out.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// The connection is looked at; so many frames beside requests came so far.
    pub(super) fn looked(&self, beside: Beside) {
        self.before.set(beside);
        self.sent.set(0);
    }

    /// Whether more such came since than can be meant well.
    pub(super) fn is_flooded(&self, beside: Beside) -> bool {
        let (before, sent) = (self.before.get(), self.sent.get());
        beside.others - before.others > MOST_OTHERS + sent / SENT_FOR_ONE
            || beside.updates - before.updates > MOST_OTHERS + sent / SENT_FOR_UPDATE
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

    #[test]
    fn frames_beside_requests_are_counted_from_look_to_look_against_what_was_sent() {
        let others = |others| Beside { updates: 0, others };
        let updates = |updates| Beside { updates, others: 0 };
        for (beside, bytes) in [
            (&others as &dyn Fn(u64) -> Beside, SENT_FOR_ONE),
            (&updates, SENT_FOR_UPDATE),
        ] {
            let budget = Budget::default();
            assert!(!budget.is_flooded(beside(MOST_OTHERS)));
            assert!(budget.is_flooded(beside(MOST_OTHERS + 1)));
            budget.sent(bytes as usize);
            assert!(!budget.is_flooded(beside(MOST_OTHERS + 1)));
            assert!(budget.is_flooded(beside(MOST_OTHERS + 2)));
            budget.looked(beside(MOST_OTHERS + 2));
            assert!(!budget.is_flooded(beside(2 * MOST_OTHERS + 2)));
            assert!(budget.is_flooded(beside(2 * MOST_OTHERS + 3)));
        }
    }
}
