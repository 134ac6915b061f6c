//! A thread's idle connections to servers.

use super::ByUid;
use super::connect::{Upstream, Way};
use crate::state::{Server, add};

/// Seconds an unused connection is kept; less than the keep-alive timeout of common servers, but
/// for the shortest of them, whose closing is noticed.
const IDLE_SECONDS: u32 = 20;

/// Idle connections kept per server and thread.
const MOST_IDLE: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Pools {
    /// By [`Server::uid`]; the one used last is at the end.
    idle: ByUid<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    upstream: Box<Upstream>,
    /// The thread's tick when it became idle.
    since: u32,
}

impl Pools {
    /// A connection to `server` that can be used at once.
    ///
    /// `recent`: only one that was used within the last second or so. A server may be about to
    /// close an older one, which a request that cannot be repeated must not run into.
    pub(super) fn take(
        &mut self,
        server: &Server,
        way: Way,
        now: u32,
        recent: bool,
    ) -> Option<Box<Upstream>> {
        let idle = self.idle.get_mut(&server.uid)?;
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let candidate = &idle[at];
            if !candidate.upstream.fits(way) || !candidate.upstream.is_quiet() {
                idle.swap_remove(at).leaves();
                continue;
            }
            if recent && now.wrapping_sub(candidate.since) > 1 {
                return None;
            }
            return Some(idle.swap_remove(at).leaves());
        }
        None
    }

    pub(super) fn put(&mut self, server: &Server, mut upstream: Box<Upstream>, now: u32) {
        upstream.rest();
        let idle = self.idle.entry(server.uid).or_default();
        if idle.len() < MOST_IDLE {
            add(&upstream.tally().idle, 1);
            idle.push(Idle {
                upstream,
                since: now,
            });
        }
    }

    /// Closes connections that stayed unused, and those that `is_current` does not want: it is
    /// asked for each server's uid and answers with the way to it.
    pub(super) fn sweep(&mut self, now: u32, current: impl Fn(u64) -> Option<Way>) {
        self.idle.retain(|uid, idle| {
            let way = current(*uid);
            let stays = |i: &Idle| {
                now.wrapping_sub(i.since) < IDLE_SECONDS
                    && way.is_some_and(|way| i.upstream.fits(way))
                    && i.upstream.is_quiet()
            };
            for gone in idle.extract_if(.., |i| !stays(i)) {
                gone.leaves();
            }
            !idle.is_empty()
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }
}

impl Idle {
    /// It is not kept any more.
    fn leaves(self) -> Box<Upstream> {
        add(&self.upstream.tally().idle, 1u64.wrapping_neg());
        self.upstream
    }
}
