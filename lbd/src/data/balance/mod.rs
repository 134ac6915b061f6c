//! Which server gets the next session. Pure but for the counts that threads share.

mod hash;
mod least_conn;
mod random;
mod round_robin;

use std::sync::atomic::Ordering::Relaxed;

use lb_proto::config::Balance;

pub(super) use self::hash::key;
use self::round_robin::Rotation;
use crate::state::Backend;

/// What one thread has made of the shares that a backend's servers have; made anew when they change.
#[derive(Debug)]
pub(super) struct Picker {
    rotation: Rotation,
    /// Where servers are picked by a key.
    points: Option<hash::Points>,
}

/// A server, as its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) server: usize,
    /// It was chosen because it has so many sessions.
    pub(super) sessions: Option<u64>,
}

impl From<usize> for Choice {
    fn from(server: usize) -> Self {
        Self {
            server,
            sessions: None,
        }
    }
}

impl Picker {
    pub(super) fn new(backend: &Backend) -> Self {
        let shares = backend.servers.iter().map(|server| server.load.share());
        let shares: Vec<u32> = shares.collect();
        let ring = backend.ring.load_full();
        Self {
            points: ring.map(|ring| hash::Points::new(ring, &shares)),
            rotation: Rotation::new(shares.into_iter().enumerate()),
        }
    }

    /// Whether there is any server that suits, with room or without.
    pub(super) fn has(&self, suits: impl Fn(usize) -> bool) -> bool {
        self.rotation.from(0).any(suits)
    }

    /// The server whose turn it is, among those that may be taken. `key`: of the request, where it
    /// has one. `random`: a random number.
    pub(super) fn pick(
        &self,
        backend: &Backend,
        key: Option<u64>,
        random: impl FnOnce() -> u64,
        may: impl Fn(usize) -> bool,
    ) -> Option<Choice> {
        let load = |at: usize| &*backend.servers[at].load;
        match (&backend.config.balance, &self.points, key) {
            (Balance::LeastConn, ..) => {
                let turn = backend.pool.turn.load(Relaxed) as usize;
                let guard = backend.pool.ranking();
                let ranking = guard.as_ref().and_then(|ranking| ranking.as_deref());
                let ours = |at: usize| {
                    let server = backend.servers.get(at);
                    server.is_some_and(|server| ranking.is_some_and(|r| r.has(at, &server.load)))
                };
                ranking
                    .and_then(|ranking| ranking.least(turn))
                    .filter(|(at, _)| ours(*at) && may(*at))
                    .map(|(server, sessions)| Choice {
                        server,
                        sessions: Some(sessions),
                    })
                    .or_else(|| {
                        let servers = backend.servers.len();
                        least_conn::scan(turn, servers, load, may).map(Choice::from)
                    })
            }
            (Balance::Random, ..) => {
                random::pick(&self.rotation, random(), load, may).map(Choice::from)
            }
            (_, Some(points), Some(key)) => points
                .pick(key, &may)
                .or_else(|| self.rotation.from(key).find(|at| may(*at)))
                .map(Choice::from),
            _ => {
                let turn = backend.pool.turn.fetch_add(1, Relaxed);
                let due = self.rotation.at(turn).filter(|at| may(*at));
                due.or_else(|| self.rotation.from(turn).find(|at| may(*at)))
                    .map(Choice::from)
            }
        }
    }
}
