//! What belongs to a backend and outlives its configuration.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use arc_swap::{ArcSwapOption, Guard};

use super::queue::Queue;
use super::ranking::Ranking;
use super::server::Server;
use super::tally::{PerThread, QueueTally};

/// What belongs to a backend and outlives its configuration.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The turn of the rotation, shared by all threads.
    pub(crate) turn: AtomicU64,
    requests: AtomicU64,
    /// Goes up when what servers get of new sessions may have changed.
    version: AtomicU32,
    /// There is a ranking: asked at each session's end, so cheaper than the ranking itself.
    ranked: AtomicBool,
    ranking: ArcSwapOption<Ranking>,
    pub(crate) queue: Queue,
    pub(crate) waits: PerThread<QueueTally>,
}

impl Pool {
    pub(super) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self {
            turn: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            version: AtomicU32::new(0),
            ranked: AtomicBool::new(false),
            ranking: ArcSwapOption::empty(),
            queue: Queue::default(),
            waits: PerThread::new(threads),
        })
    }

    pub(crate) fn version(&self) -> u32 {
        self.version.load(Acquire)
    }

    /// Requests that are at the backend now, as far as they are logged.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// A request that is logged has come to the backend.
    pub(crate) fn request_began(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn request_ended(&self) {
        self.requests.fetch_sub(1, Relaxed);
    }

    pub(super) fn changed(&self) {
        self.version.fetch_add(1, Release);
    }

    /// `None`: nobody picks by load.
    pub(crate) fn ranking(&self) -> Option<Guard<Option<Arc<Ranking>>>> {
        self.ranked.load(SeqCst).then(|| self.ranking.load())
    }

    /// From now on servers are ranked in this order, or not at all.
    pub(super) fn rank(&self, servers: Option<&[Arc<Server>]>) {
        let Some(servers) = servers else {
            self.ranked.store(false, SeqCst);
            self.ranking.store(None);
            return;
        };
        for (at, server) in servers.iter().enumerate() {
            server.set_rank(at);
        }
        let loads = servers.iter().map(|server| server.load.clone());
        let ranking = Arc::new(Ranking::new(loads));
        self.ranking.store(Some(ranking.clone()));
        self.ranked.store(true, SeqCst);
        // Whoever counts a session from here on sees the ranking; whoever did before is seen here.
        ranking.renew();
    }
}
