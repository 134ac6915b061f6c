//! A server's record: it outlives the snapshots that mention it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use lb_proto::name::ServerId;
use lb_proto::state::{Admin, Health, State};
use lb_proto::status::Errors;
use tokio::sync::Notify;

use super::complaints::Complaints;
use super::ejection::Ejection;
use super::load::{Load, Room};
use super::location::Location;
use super::overrides::Overrides;
use super::past::Past;
use super::pool::Pool;
use super::presence::Presence;
use super::quota::{LogLine, LogQuota};
use super::returning::{self, Returning};
use super::session_cookie::SessionCookie;
use super::tally::{PerThread, ServerTally, ThreadId, add};

/// Whose session it is that a server is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Anybody,
    /// A client whose cookie names the server.
    Returning,
}

/// A server, keyed by name. Its weight is the snapshot's, unless somebody has set another.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) id: ServerId,
    /// Tells two records of the same name apart; never used again in this process.
    pub(crate) uid: u64,
    pool: Arc<Pool>,
    admin: AtomicU8,
    health: AtomicU8,
    /// Its cookie is not honoured while it drains.
    moves_sticky: AtomicBool,
    /// The sessions that it has are closed.
    killed: AtomicBool,
    /// Connections opened under an older epoch are not used again.
    epoch: AtomicU32,
    pub(crate) ejection: Ejection,
    pub(crate) overrides: Overrides,
    pub(crate) location: Location,
    pub(crate) load: Arc<Load>,
    /// The server's position in the pool's ranking, if it has one there.
    rank: AtomicUsize,
    pub(super) presence: Presence,
    pub(crate) tallies: PerThread<ServerTally>,
    returning: Returning,
    pub(crate) complaints: Complaints,
    pub(crate) session_cookie: SessionCookie,
    pub(crate) past: Past,
    /// Wakes the health check: the server went into maint or left it.
    pub(crate) check_wake: Notify,
    seen: Mutex<Seen>,
}

/// What only the control plane reads and writes.
#[derive(Debug)]
struct Seen {
    changed: Instant,
    /// How often it did.
    changes: u64,
    /// When it came up after having been down or in maint; never set at the start.
    risen: Option<Instant>,
    log_quota: LogQuota,
}

/// What became of the wish to count a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    /// The server takes no such sessions any more.
    Refused,
    /// It has as many as it may.
    Full,
    /// The count was another one than was seen.
    Moved,
}

/// What happened to a count.
enum Recount {
    Grew,
    Changed,
}

impl Server {
    pub(super) fn new(
        id: ServerId,
        pool: Arc<Pool>,
        health: Health,
        since: u64,
        threads: usize,
    ) -> Self {
        static UIDS: AtomicU64 = AtomicU64::new(1);
        Self {
            id,
            uid: UIDS.fetch_add(1, Ordering::Relaxed),
            pool,
            admin: AtomicU8::new(Admin::Ready as u8),
            health: AtomicU8::new(health as u8),
            moves_sticky: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            epoch: AtomicU32::new(0),
            ejection: Ejection::default(),
            overrides: Overrides::default(),
            location: Location::default(),
            load: Arc::default(),
            rank: AtomicUsize::new(0),
            presence: Presence::since(since),
            tallies: PerThread::new(threads),
            returning: Returning::default(),
            complaints: Complaints::default(),
            session_cookie: SessionCookie::default(),
            past: Past::default(),
            check_wake: Notify::new(),
            seen: Mutex::new(Seen {
                changed: Instant::now(),
                changes: 0,
                risen: None,
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
    /// [`Shared`](super::Shared), which shares out anew and tells everybody.
    pub(super) fn write(&self, admin: Admin, health: Health) -> (State, State) {
        let was = self.state();
        self.admin.store(admin as u8, Ordering::SeqCst);
        self.health.store(health as u8, Ordering::SeqCst);
        let state = self.state();
        if state != State::Up {
            self.ejection.end();
        }
        if was == state {
            return (was, state);
        }
        let out = |state| matches!(state, State::Down | State::Maint);
        let now = Instant::now();
        let mut seen = self.seen();
        seen.changed = now;
        seen.changes += 1;
        if out(state) || out(was) {
            seen.risen = (!out(state)).then_some(now);
        }
        drop(seen);
        if out(state) {
            self.forget_connections();
        }
        (was, state)
    }

    /// What it was when the configuration had it before is over: as if it were new, but for the
    /// sessions that it still has and what was counted.
    pub(super) fn begin_anew(&self, health: Health) -> (State, State) {
        self.overrides.clear();
        self.set_moves_sticky(false);
        self.set_killed(false);
        let states = self.write(Admin::Ready, health);
        // Its check, if it goes on, begins anew, too.
        self.check_wake.notify_one();
        let mut seen = self.seen();
        (seen.changed, seen.risen) = (Instant::now(), None);
        states
    }

    /// Whether clients that its cookie names are sent elsewhere while it drains.
    pub(crate) fn moves_sticky(&self) -> bool {
        self.moves_sticky.load(Ordering::SeqCst)
    }

    pub(super) fn set_moves_sticky(&self, moves: bool) {
        self.moves_sticky.store(moves, Ordering::SeqCst);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    pub(super) fn set_killed(&self, killed: bool) {
        self.killed.store(killed, Ordering::SeqCst);
    }

    /// Makes idle connections to it unusable: it is down, or lives elsewhere now.
    pub(super) fn forget_connections(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Counts a session, unless the server is full or stopped taking them a moment ago.
    pub(crate) fn take_session(self: &Arc<Self>, thread: ThreadId, who: Who) -> Taken {
        let Room::Added(sessions) = self.load.add() else {
            return Taken::Full;
        };
        self.recount(Recount::Grew);
        self.keep_session(thread, who, sessions)
    }

    /// Counts a session where there are as many as `seen`.
    pub(crate) fn take_session_after(self: &Arc<Self>, thread: ThreadId, seen: u64) -> Taken {
        if !self.load.add_to(seen) {
            return Taken::Moved;
        }
        self.recount(Recount::Grew);
        self.keep_session(thread, Who::Anybody, seen + 1)
    }

    /// Keeps the session just counted, or gives it back where the server takes none any more.
    fn keep_session(self: &Arc<Self>, thread: ThreadId, who: Who, sessions: u64) -> Taken {
        if !self.takes(who) {
            self.drop_session();
            return Taken::Refused;
        }
        self.load.record(sessions);
        add(&self.tally(thread).sessions_total, 1);
        Taken::Yes
    }

    /// Counts a session for somebody in the queue, who is yet to claim it.
    pub(super) fn count_session_for(&self, who: Who) -> bool {
        let Room::Added(sessions) = self.load.add() else {
            return false;
        };
        self.recount(Recount::Grew);
        if !self.takes(who) {
            self.uncount_session();
            return false;
        }
        self.load.record(sessions);
        true
    }

    pub(crate) fn takes(&self, who: Who) -> bool {
        let state = self.state();
        match who {
            Who::Anybody => state.takes_new_sessions(),
            Who::Returning if self.moves_sticky() => state.takes_new_sessions(),
            // It is ill: better another server, unless there is none, and then it is anybody's.
            Who::Returning => state.takes_returning_clients() && !self.ejection.is_on(),
        }
    }

    /// A client came here because its cookie said so; `client` is a hash that tells it from others.
    pub(crate) fn saw_returning(&self, client: u64) {
        self.returning.saw(client, returning::now());
    }

    /// How many clients came here by their cookie in the last minute, roughly.
    pub(crate) fn returning_clients(&self) -> u64 {
        self.returning.seen(returning::now())
    }

    /// The end of a session; its place is for the first who waits for it.
    pub(crate) fn drop_session(self: &Arc<Self>) {
        self.uncount_session();
        self.offer();
    }

    pub(super) fn uncount_session(&self) {
        self.load.remove();
        self.recount(Recount::Changed);
    }

    /// Gives what room it has to those who wait for it.
    pub(crate) fn offer(self: &Arc<Self>) {
        if !self.pool.queue.is_empty() {
            self.pool.queue.offer(self);
        }
    }

    pub(super) fn set_rank(&self, rank: usize) {
        self.rank.store(rank, Ordering::SeqCst);
    }

    /// Tells the ranking what was done to the count.
    fn recount(&self, how: Recount) {
        let Some(guard) = self.pool.ranking() else {
            return;
        };
        let Some(ranking) = &*guard else {
            return;
        };
        let rank = self.rank.load(Ordering::SeqCst);
        if !ranking.has(rank, &self.load) {
            return;
        }
        match how {
            Recount::Grew => ranking.grew(rank),
            Recount::Changed => ranking.changed(rank),
        }
    }

    /// Sets what it gets of new sessions and how many it may have at once; tells whether that is
    /// anything new. Control plane only.
    pub(super) fn set_share(&self, share: u32, most: u64) -> bool {
        let changed = self.load.set_share(share, most);
        if changed {
            self.recount(Recount::Changed);
        }
        changed
    }

    /// How long it has been up again, after it was down or in maint.
    pub(super) fn risen(&self, now: Instant) -> Option<Duration> {
        let risen = self.seen().risen?;
        Some(now.saturating_duration_since(risen))
    }

    pub(crate) fn sessions(&self) -> u64 {
        self.load.sessions()
    }

    pub(crate) fn sessions_max(&self) -> u64 {
        self.load.sessions_max()
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

    /// Sessions that are tunnels, of mode http.
    pub(crate) fn tunnels(&self) -> u64 {
        self.tallies.sum(|t| &t.tunnels)
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

    /// How often it did since the process started.
    pub(crate) fn changes(&self) -> u64 {
        self.seen().changes
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

    fn server() -> Arc<Server> {
        let id = "app/web01".parse().unwrap();
        Arc::new(Server::new(id, Pool::new(1), Health::Unchecked, 1, 1))
    }

    #[test]
    fn a_session_is_refused_after_drain_and_leaves_no_count() {
        let server = server();
        assert_eq!(server.take_session(ThreadId(0), Who::Anybody), Taken::Yes);
        server.write(Admin::Drain, Health::Up);
        assert_eq!(
            server.take_session(ThreadId(0), Who::Anybody),
            Taken::Refused
        );
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
            server.take_session(ThreadId(0), Who::Returning) == Taken::Yes
        };
        assert!(taken(Admin::Ready, Health::Unchecked));
        assert!(taken(Admin::Drain, Health::Up));
        assert!(!taken(Admin::Drain, Health::Down));
        assert!(!taken(Admin::Maint, Health::Up));
        server.set_moves_sticky(true);
        assert!(!taken(Admin::Drain, Health::Up));
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
