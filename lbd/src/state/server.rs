//! A server's record: it outlives the snapshots that mention it.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use lb_proto::name::ServerId;
use lb_proto::state::{Admin, Health, State};
use lb_proto::status::{CheckStatus, Errors};
use tokio::sync::Notify;

use super::quota::{LogLine, LogQuota};
use super::tally::{PerThread, ServerTally, ThreadId, add};

/// What belongs to a backend and outlives its configuration.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// The turn of the rotation, shared by all threads.
    pub(crate) turn: AtomicU64,
    /// Goes up when the set of servers that take new sessions may have changed.
    version: AtomicU32,
}

impl Pool {
    pub(crate) fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// Whose session it is that a server is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Anybody,
    /// A client whose cookie names the server.
    Returning,
}

/// A server, keyed by name. Its address and weight are the snapshot's.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) id: ServerId,
    /// Tells two records of the same name apart; never used again in this process.
    pub(crate) uid: u64,
    pool: Arc<Pool>,
    admin: AtomicU8,
    health: AtomicU8,
    /// Connections opened under an older epoch are not used again.
    epoch: AtomicU32,
    sessions: AtomicU64,
    sessions_max: AtomicU64,
    tallies: PerThread<ServerTally>,
    /// Wakes the health check: the server went into maint or left it.
    pub(crate) check_wake: Notify,
    seen: Mutex<Seen>,
}

/// What only the control plane reads and writes.
#[derive(Debug)]
struct Seen {
    changed: Instant,
    last_check: Option<CheckStatus>,
    log_quota: LogQuota,
}

impl Server {
    pub(super) fn new(id: ServerId, pool: Arc<Pool>, health: Health, threads: usize) -> Self {
        static UIDS: AtomicU64 = AtomicU64::new(1);
        Self {
            id,
            uid: UIDS.fetch_add(1, Ordering::Relaxed),
            pool,
            admin: AtomicU8::new(Admin::Ready as u8),
            health: AtomicU8::new(health as u8),
            epoch: AtomicU32::new(0),
            sessions: AtomicU64::new(0),
            sessions_max: AtomicU64::new(0),
            tallies: PerThread::new(threads),
            check_wake: Notify::new(),
            seen: Mutex::new(Seen {
                changed: Instant::now(),
                last_check: None,
                log_quota: LogQuota::default(),
            }),
        }
    }

    // SeqCst here and in `take_session`: a drain that writes the state and then reads zero sessions
    // must not miss a thread that counted its session and then read the old state.
    pub(crate) fn admin(&self) -> Admin {
        match self.admin.load(Ordering::SeqCst) {
            a if a == Admin::Ready as u8 => Admin::Ready,
            a if a == Admin::Drain as u8 => Admin::Drain,
            _ => Admin::Maint,
        }
    }

    pub(crate) fn health(&self) -> Health {
        match self.health.load(Ordering::SeqCst) {
            h if h == Health::Up as u8 => Health::Up,
            h if h == Health::Down as u8 => Health::Down,
            _ => Health::Unchecked,
        }
    }

    pub(crate) fn state(&self) -> State {
        State::of(self.admin(), self.health())
    }

    /// Writes both facts; returns the state before and after. Control plane only, through
    /// [`Shared`](super::Shared), which tells everybody.
    pub(super) fn write(&self, admin: Admin, health: Health) -> (State, State) {
        let was = self.state();
        self.admin.store(admin as u8, Ordering::SeqCst);
        self.health.store(health as u8, Ordering::SeqCst);
        let state = self.state();
        if was != state {
            self.seen().changed = Instant::now();
            self.pool.changed();
        }
        if was != state && matches!(state, State::Down | State::Maint) {
            self.forget_connections();
        }
        (was, state)
    }

    /// Makes idle connections to it unusable: it is down, or lives elsewhere now.
    pub(super) fn forget_connections(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Counts a session, unless the server stopped taking them a moment ago.
    #[must_use]
    pub(crate) fn take_session(&self, thread: ThreadId, who: Who) -> bool {
        let now = self.sessions.fetch_add(1, Ordering::SeqCst) + 1;
        if !self.takes(who) {
            self.sessions.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        if now > self.sessions_max.load(Ordering::Relaxed) {
            self.sessions_max.fetch_max(now, Ordering::Relaxed);
        }
        add(&self.tally(thread).sessions_total, 1);
        true
    }

    fn takes(&self, who: Who) -> bool {
        let state = self.state();
        match who {
            Who::Anybody => state.takes_new_sessions(),
            Who::Returning => state.takes_returning_clients(),
        }
    }

    pub(crate) fn drop_session(&self) {
        self.sessions.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::SeqCst)
    }

    pub(crate) fn sessions_max(&self) -> u64 {
        self.sessions_max.load(Ordering::Relaxed)
    }

    pub(crate) fn tally(&self, thread: ThreadId) -> &ServerTally {
        self.tallies.of(thread)
    }

    pub(crate) fn sessions_total(&self) -> u64 {
        self.tallies.sum(|t| &t.sessions_total)
    }

    pub(crate) fn bytes_in(&self) -> u64 {
        self.tallies.sum(|t| &t.bytes_in)
    }

    pub(crate) fn bytes_out(&self) -> u64 {
        self.tallies.sum(|t| &t.bytes_out)
    }

    pub(crate) fn errors(&self) -> Errors {
        Errors {
            connect: self.tallies.sum(|t| &t.connect_errors),
            response: self.tallies.sum(|t| &t.response_errors),
        }
    }

    /// When its state last changed.
    pub(crate) fn changed(&self) -> Instant {
        self.seen().changed
    }

    pub(crate) fn last_check(&self) -> Option<CheckStatus> {
        self.seen().last_check.clone()
    }

    /// Keeps what a check saw; `None` forgets it, as when the address changes.
    pub(crate) fn set_last_check(&self, check: Option<CheckStatus>) {
        self.seen().last_check = check;
    }

    /// Whether a change of health is to be logged.
    pub(super) fn log_quota(&self) -> LogLine {
        self.seen().log_quota.take(Instant::now())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let id = "app/web01".parse().unwrap();
        Server::new(id, Arc::default(), Health::Unchecked, 1)
    }

    #[test]
    fn a_session_is_refused_after_drain_and_leaves_no_count() {
        let server = server();
        assert!(server.take_session(ThreadId(0), Who::Anybody));
        server.write(Admin::Drain, Health::Up);
        assert!(!server.take_session(ThreadId(0), Who::Anybody));
        assert_eq!(server.sessions(), 1);
        server.drop_session();
        assert_eq!(
            (
                server.sessions(),
                server.sessions_max(),
                server.sessions_total()
            ),
            (0, 1, 1)
        );
    }

    #[test]
    fn a_returning_client_keeps_a_draining_server_but_none_that_is_down_or_in_maint() {
        let server = server();
        let taken = |admin, health| {
            server.write(admin, health);
            server.take_session(ThreadId(0), Who::Returning)
        };
        assert!(taken(Admin::Ready, Health::Unchecked));
        assert!(taken(Admin::Drain, Health::Up));
        assert!(!taken(Admin::Drain, Health::Down));
        assert!(!taken(Admin::Maint, Health::Up));
        assert_eq!(server.sessions(), 2);
    }

    #[test]
    fn going_down_forgets_connections_and_draining_keeps_them() {
        let server = server();
        server.write(Admin::Drain, Health::Up);
        assert_eq!(server.epoch(), 0);
        server.write(Admin::Drain, Health::Down);
        assert_eq!(server.epoch(), 1);
    }
}
