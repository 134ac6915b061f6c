//! The servers of a `leastconn` backend by how loaded they are, for all threads.

use std::sync::Arc;

use super::least::Least;
use super::load::Load;

/// The configured order of one snapshot; replaced when the next one names other servers.
#[derive(Debug)]
pub(crate) struct Ranking {
    loads: Box<[Arc<Load>]>,
    least: Least,
}

impl Ranking {
    /// It counts after [`Ranking::renew`].
    pub(super) fn new(loads: impl Iterator<Item = Arc<Load>>) -> Self {
        let loads: Box<[_]> = loads.collect();
        Self {
            least: Least::new(loads.len()),
            loads,
        }
    }

    pub(super) fn renew(&self) {
        self.least.renew(|at| self.cost(at));
    }

    /// The least loaded server, the first of them from `from` on, as its position and the sessions
    /// that it is least loaded with. `None`: none takes sessions.
    pub(crate) fn least(&self, from: usize) -> Option<(usize, u64)> {
        loop {
            let (at, most) = self.least.find(from, |at| self.cost(at))?;
            let load = &self.loads[at];
            let sessions = load.sessions();
            if load.cost_of(sessions) <= most {
                return Some((at, sessions));
            }
        }
    }

    /// Whether the server at a position is the one with this load.
    pub(crate) fn has(&self, at: usize, load: &Arc<Load>) -> bool {
        self.loads.get(at).is_some_and(|at| Arc::ptr_eq(at, load))
    }

    pub(super) fn grew(&self, at: usize) {
        self.least.grew(at, |at| self.cost(at));
    }

    pub(super) fn changed(&self, at: usize) {
        self.least.changed(at, |at| self.cost(at));
    }

    fn cost(&self, at: usize) -> u64 {
        self.loads.get(at).map_or(u64::MAX, |load| load.cost())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::SeqCst;

    use proptest::prelude::*;

    use super::*;

    fn loads(shares: &[u32]) -> Vec<Arc<Load>> {
        let load = |share: &u32| {
            let load = Arc::new(Load::default());
            load.set_share(*share, u64::MAX);
            load
        };
        shares.iter().map(load).collect()
    }

    fn ranking(loads: &[Arc<Load>]) -> Ranking {
        let ranking = Ranking::new(loads.iter().cloned());
        ranking.renew();
        ranking
    }

    /// Picks the least loaded server for a new session, as data threads do.
    fn pick(ranking: &Ranking, from: usize) -> Option<usize> {
        loop {
            let (at, sessions) = ranking.least(from)?;
            if ranking.loads[at].add_to(sessions) {
                ranking.grew(at);
                return Some(at);
            }
        }
    }

    fn leave(ranking: &Ranking, at: usize) {
        ranking.loads[at].remove();
        ranking.changed(at);
    }

    proptest! {
        #[test]
        fn what_is_picked_has_the_least_cost_and_ties_go_on_from_the_last(
            shares in prop::collection::vec(prop::sample::select(vec![0u32, 16, 16, 32, 100]), 1..20),
            steps in prop::collection::vec((any::<bool>(), any::<usize>()), 1..200),
        ) {
            let loads = loads(&shares);
            let ranking = ranking(&loads);
            let mut running = Vec::new();
            let mut from = 0;
            for (comes, which) in steps {
                if !comes && !running.is_empty() {
                    leave(&ranking, running.swap_remove(which % running.len()));
                    continue;
                }
                let costs: Vec<_> = loads.iter().map(|load| load.cost()).collect();
                let least = costs.iter().copied().filter(|cost| *cost < u64::MAX).min();
                let turns = (from..loads.len()).chain(0..from.min(loads.len()));
                let due = least.and_then(|least| turns.into_iter().find(|at| costs[*at] == least));
                let picked = pick(&ranking, from);
                prop_assert_eq!(picked, due);
                from = picked.map_or(0, |at| at + 1);
                running.extend(picked);
            }
            for at in running {
                leave(&ranking, at);
            }
            prop_assert!(loads.iter().all(|load| load.sessions() == 0));
        }
    }

    #[test]
    fn threads_that_pick_at_once_keep_equal_servers_within_one_session() {
        for servers in [1, 2, 3, 7, 64] {
            let loads = loads(&vec![16; servers]);
            let ranking = ranking(&loads);
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let pickers: Vec<_> = (0..4)
                    .map(|thread| {
                        let ranking = &ranking;
                        scope.spawn(move || {
                            for turn in 0..25_000 {
                                pick(ranking, (thread * 17 + turn) % servers);
                            }
                        })
                    })
                    .collect();
                let watcher = scope.spawn(|| {
                    // Counts only grow here: a least one read later is no lower than it was before.
                    while !done.load(SeqCst) {
                        let before: Vec<_> = loads.iter().map(|load| load.sessions()).collect();
                        let after = loads.iter().map(|load| load.sessions()).min();
                        let most = before.into_iter().max();
                        assert!(
                            most.unwrap_or_default() <= after.unwrap_or_default() + 1,
                            "{most:?} and {after:?}"
                        );
                    }
                });
                for picker in pickers {
                    picker.join().unwrap();
                }
                done.store(true, SeqCst);
                watcher.join().unwrap();
            });
            let sessions: Vec<_> = loads.iter().map(|load| load.sessions()).collect();
            assert_eq!(sessions.iter().sum::<u64>(), 100_000);
            let apart = sessions.iter().max().unwrap() - sessions.iter().min().unwrap();
            assert!(apart <= 1, "{sessions:?}");
        }
    }

    #[test]
    fn threads_that_come_and_go_leave_the_tree_right() {
        let loads = loads(&[16, 16, 32, 0, 4096, 16, 16]);
        let ranking = ranking(&loads);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let ranking = &ranking;
                scope.spawn(move || {
                    let mut running = Vec::new();
                    for turn in 0..5_000 {
                        running.extend(pick(ranking, turn % 7));
                        if turn % 3 != thread % 3 {
                            leave(ranking, running.swap_remove(turn % running.len()));
                        }
                    }
                    running.into_iter().for_each(|at| leave(ranking, at));
                });
            }
        });
        assert!(loads.iter().all(|load| load.sessions() == 0));
        for from in [0, 1, 2, 4, 5, 6] {
            assert_eq!(ranking.least(from), Some((from, 0)));
        }
        assert_eq!(ranking.least(3), Some((4, 0)), "a server without a share");
    }
}
