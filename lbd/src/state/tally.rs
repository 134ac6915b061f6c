//! Counters that one thread writes and anybody sums.

use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a data thread, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadId(pub(crate) usize);

/// A cache line of its own for each thread's counters, so that threads do not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// One `T` per data thread.
#[derive(Debug)]
pub(crate) struct PerThread<T>(Box<[Padded<T>]>);

impl<T: Default> PerThread<T> {
    pub(crate) fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Padded::default()).collect())
    }

    pub(crate) fn of(&self, thread: ThreadId) -> &T {
        &self.0[thread.0].0
    }

    /// The sum over threads of one counter. A counter that goes up on one thread and down on
    /// another wraps, and the wrapping sum is right.
    pub(crate) fn sum(&self, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
        let values = self.0.iter().map(|t| counter(&t.0).load(Ordering::Relaxed));
        values.fold(0, u64::wrapping_add)
    }
}

/// Adds to a counter of the calling thread: no other thread writes it, so no locked instruction.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(n),
        Ordering::Relaxed,
    );
}

/// Counts one more of something for as long as it lives. On the calling thread's counter, as [`add`].
#[derive(Debug)]
pub(crate) struct OneMore<'a>(&'a AtomicU64);

impl<'a> OneMore<'a> {
    pub(crate) fn of(counter: &'a AtomicU64) -> Self {
        add(counter, 1);
        Self(counter)
    }
}

impl Drop for OneMore<'_> {
    fn drop(&mut self) {
        add(self.0, 1u64.wrapping_neg());
    }
}

/// What a data thread counts of a server.
#[derive(Debug, Default)]
pub(crate) struct ServerTally {
    pub(crate) sessions_total: AtomicU64,
    /// Towards the server.
    pub(crate) bytes_in: AtomicU64,
    /// From the server.
    pub(crate) bytes_out: AtomicU64,
    pub(crate) connect_errors: AtomicU64,
    pub(crate) response_errors: AtomicU64,
    /// Open now.
    pub(crate) tunnels: AtomicU64,
}

/// What a data thread counts of a frontend.
#[derive(Debug, Default)]
pub(crate) struct FrontendTally {
    pub(crate) connections: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) requests_total: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_up_here_and_down_there_sums_to_zero() {
        let tallies = PerThread::<FrontendTally>::new(2);
        add(&tallies.of(ThreadId(0)).sessions, 1);
        add(&tallies.of(ThreadId(1)).sessions, 1u64.wrapping_neg());
        let more = OneMore::of(&tallies.of(ThreadId(1)).sessions);
        assert_eq!(tallies.sum(|t| &t.sessions), 1);
        drop(more);
        assert_eq!(tallies.sum(|t| &t.sessions), 0);
    }
}
