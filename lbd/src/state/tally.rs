//! Counters that one thread writes and anybody sums.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::reason::{Handshake, Reason};

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

/// A counter for each class of status.
#[derive(Debug, Default)]
pub(crate) struct ByClass([AtomicU64; ByClass::NAMES.len()]);

impl ByClass {
    /// The first is for those that got no status.
    pub(crate) const NAMES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

    pub(crate) fn count(&self, status: Option<u16>) {
        let class = status.map_or(0, |status| usize::from(status / 100));
        // What is beyond 599 is what a client takes for 5xx (RFC 9110, 15).
        add(&self.0[class.min(Self::NAMES.len() - 1)], 1);
    }

    pub(crate) fn of(&self, class: usize) -> &AtomicU64 {
        &self.0[class]
    }
}

/// A counter for each value of something that has `N`.
#[derive(Debug)]
pub(crate) struct Each<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Each<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

impl<const N: usize> Each<N> {
    /// `which`: its number, below `N`.
    pub(crate) fn count(&self, which: usize) {
        add(&self.0[which], 1);
    }

    pub(crate) fn of(&self, which: usize) -> &AtomicU64 {
        &self.0[which]
    }
}

/// How often something took how long.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One for each bound, and one for what is above them.
    buckets: [AtomicU64; Histogram::BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// In microseconds: from what a server in the next rack takes to the patience of people.
    pub(crate) const BOUNDS: [u64; 13] = [
        1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 5_000_000, 10_000_000,
    ];

    pub(crate) fn count(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bounds = Self::BOUNDS.iter();
        let bucket = bounds.take_while(|bound| micros > **bound).count();
        add(&self.buckets[bucket], 1);
        add(&self.micros, micros);
    }

    /// Those within this bound and above the one before it.
    pub(crate) fn bucket(&self, bound: usize) -> &AtomicU64 {
        &self.buckets[bound]
    }

    pub(crate) fn micros(&self) -> &AtomicU64 {
        &self.micros
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
    /// Sessions that began because an attempt before them failed.
    pub(crate) retries: AtomicU64,
    /// Of these, those whose attempt before was on another server.
    pub(crate) redispatches: AtomicU64,
    /// Sessions for which a connection was to be made.
    pub(crate) connects: AtomicU64,
    /// Attempts that were sent on a connection that was there.
    pub(crate) reuses: AtomicU64,
    /// Connections that were made, TLS included.
    pub(crate) opened: AtomicU64,
    /// Kept for later requests now.
    pub(crate) idle: AtomicU64,
    pub(crate) handshakes: Each<{ Handshake::NAMES.len() }>,
    pub(crate) responses: ByClass,
    /// From when a request was sent to when the head of its response was there.
    pub(crate) times: Histogram,
}

/// What a data thread counts of a frontend.
#[derive(Debug, Default)]
pub(crate) struct FrontendTally {
    pub(crate) connections: AtomicU64,
    /// Ever.
    pub(crate) accepted: AtomicU64,
    pub(crate) handshakes: Each<{ Handshake::NAMES.len() }>,
    pub(crate) sessions: AtomicU64,
    pub(crate) requests_total: AtomicU64,
    /// What clients were sent.
    pub(crate) responses: ByClass,
    /// What lbd answered itself, because of this.
    pub(crate) errors: Each<{ Reason::NAMES.len() }>,
    /// From when a request's head was whole to when the head of a server's response was there.
    pub(crate) times: Histogram,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

/// What a data thread counts of a backend's queue.
#[derive(Debug, Default)]
pub(crate) struct QueueTally {
    /// How long requests waited, whatever came of it.
    pub(crate) times: Histogram,
    /// Those that found it full.
    pub(crate) refused: AtomicU64,
    /// Those that waited in vain.
    pub(crate) timeouts: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_counted_by_class_and_none_is_one() {
        let classes = ByClass::default();
        for status in [None, Some(101), Some(204), Some(200), Some(503), Some(999)] {
            classes.count(status);
        }
        let counts = [0, 1, 2, 3, 4, 5].map(|class| classes.of(class).load(Ordering::Relaxed));
        assert_eq!(counts, [1, 1, 2, 0, 0, 2]);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let times = Histogram::default();
        for micros in [0, 1_000, 1_001, 10_000_000, 10_000_001] {
            times.count(Duration::from_micros(micros));
        }
        let counts: Vec<_> = (0..=Histogram::BOUNDS.len())
            .map(|bound| times.bucket(bound).load(Ordering::Relaxed))
            .collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(times.micros().load(Ordering::Relaxed), 20_002_002);
    }

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
