//! `leastconn` (HAProxy configuration manual, `balance`): the server with the fewest sessions by its
//! weight; ties in turn.
//!
//! The pick itself is the ranking's (`state/ranking.rs`), which all threads share: a thread takes
//! what it found only if the count is still what it saw, and else looks again. Here is what is done
//! where some servers are not to be taken, as at a retry.

use crate::state::Load;

/// The least loaded of the servers that may be taken, the first from `turn` on. Looks at each.
pub(super) fn scan<'l>(
    turn: usize,
    servers: usize,
    load: impl Fn(usize) -> &'l Load,
    may: impl Fn(usize) -> bool,
) -> Option<usize> {
    let turn = turn.min(servers);
    (turn..servers)
        .chain(0..turn)
        .filter(|at| may(*at))
        .map(|at| (load(at).cost(), at))
        .filter(|(cost, _)| *cost < u64::MAX)
        .min_by_key(|(cost, _)| *cost)
        .map(|(_, at)| at)
}
