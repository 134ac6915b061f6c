//! How many clients came back to a server by its cookie in the last minute, as an estimate that costs
//! a request one write at most and takes no lock.
//!
//! Linear counting (Whang, Vander-Zanden and Taylor, 1990) over a sliding window: a client's hash
//! picks a cell, which keeps the second it was seen last; how many cells are fresh tells how many
//! clients there are. Two threads may write a cell at once: one second is as good as the other.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// 4 KiB for a server that sticky clients come to. A few clients are told exactly, a thousand
/// within some 5 %; no more than [`MOST`] are ever told.
const CELLS: usize = 1024;

/// What all cells but one tell: -CELLS × ln(1 / CELLS).
const MOST: u64 = 7098;

/// Seconds after which a client that is seen no more is forgotten.
const WINDOW: u32 = 60;

#[derive(Debug, Default)]
pub(super) struct Returning {
    /// Made with the first client.
    cells: OnceLock<Box<[AtomicU32]>>,
}

impl Returning {
    /// A client, by a hash of what tells it from others, was seen in this second.
    pub(super) fn saw(&self, client: u64, now: u32) {
        let cells = self
            .cells
            .get_or_init(|| (0..CELLS).map(|_| AtomicU32::new(0)).collect());
        let cell = &cells[(client % CELLS as u64) as usize];
        // Most clients ask more than once a second, and a cell that is only read is not fought over.
        if cell.load(Ordering::Relaxed) != now {
            cell.store(now, Ordering::Relaxed);
        }
    }

    /// How many were seen within the last minute.
    pub(super) fn seen(&self, now: u32) -> u64 {
        let cells = self.cells.get().into_iter().flat_map(|cells| cells.iter());
        let is_fresh = |cell: &&AtomicU32| {
            let seen = cell.load(Ordering::Relaxed);
            seen != 0 && now.saturating_sub(seen) < WINDOW
        };
        let stale = CELLS - cells.filter(is_fresh).count();
        if stale <= 1 {
            return MOST;
        }
        let all = CELLS as f64;
        (-all * (stale as f64 / all).ln()).round() as u64
    }
}

/// Seconds since the process began to count them, from 1: no cell keeps 0.
pub(super) fn now() -> u32 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed().as_secs();
    u32::try_from(elapsed).unwrap_or(u32::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    fn hash(client: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        client.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn each_client_counts_once_and_for_a_minute() {
        let returning = Returning::default();
        assert_eq!(returning.seen(1), 0);
        for now in 1..=3 {
            for client in 0..5 {
                returning.saw(hash(client), now);
            }
        }
        returning.saw(hash(0), 40);
        assert_eq!((returning.seen(3), returning.seen(62)), (5, 5));
        assert_eq!((returning.seen(63), returning.seen(99)), (1, 1));
        assert_eq!(returning.seen(100), 0);
    }

    #[test]
    fn many_are_told_roughly_and_never_more_than_the_most() {
        for clients in [20, 100, 1_000, 4_000] {
            let returning = Returning::default();
            (0..clients).for_each(|client| returning.saw(hash(client), 7));
            let off = returning.seen(7).abs_diff(clients);
            assert!(off * 10 <= clients, "{clients} are off by {off}");
        }
        let returning = Returning::default();
        (0..1_000_000).for_each(|client| returning.saw(hash(client), 7));
        assert_eq!(returning.seen(7), MOST);
        let of_all_but_one = (CELLS as f64 * (CELLS as f64).ln()).round();
        assert_eq!(of_all_but_one as u64, MOST);
    }
}
