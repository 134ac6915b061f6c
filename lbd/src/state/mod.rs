//! What both planes know: the bridge between them.
//!
//! A [`Snapshot`] is immutable and swapped whole; [`Server`] and [`FrontendRecord`] outlive the
//! snapshots that mention them. One writer per fact: the control plane writes the snapshot pointer,
//! admin state and health; data threads write sessions and tallies.

mod absent;
mod build;
mod changes;
mod complaints;
mod ejection;
mod failures;
mod gate;
mod handshakes;
mod least;
mod limit;
mod listener;
mod load;
mod location;
mod networks;
mod operator;
mod overrides;
mod past;
mod pool;
mod presence;
mod queue;
mod quota;
mod ramp;
mod ranking;
mod rate;
mod reason;
mod recent;
mod restore;
mod returning;
mod ring;
mod rolling;
mod rotation;
mod server;
mod session_cookie;
mod share;
mod snapshot;
mod tally;
mod wall_clock;
#[cfg(test)]
mod testing;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use lb_proto::event::Event;
use tokio::sync::{Notify, broadcast, watch};

use self::handshakes::Handshakes;
use self::recent::Recent;
use crate::access_log::AccessLog;
use crate::traces::Spans;

pub(crate) use absent::Connections;
pub(crate) use build::BuildError;
pub(crate) use changes::{now, unix_now};
pub(crate) use ejection::{run as run_ejections, seconds_left};
pub(crate) use failures::Failures;
pub(crate) use gate::{Gate, Refusal};
pub(crate) use limit::{Limit, Permit};
pub(crate) use listener::{BindError, Listener, bind, can_bind};
pub(crate) use load::{Load, STEPS};
pub(crate) use location::Addresses;
pub(crate) use operator::Ask;
pub(crate) use overrides::{Kept, Remembered};
pub(crate) use queue::{Ahead, Granted, Told, Wants};
pub(crate) use ramp::run as run_slow_starts;
pub(crate) use reason::{Handshake, Reason};
pub(crate) use ring::{Ring, place};
pub(crate) use rolling::Claim;
pub(crate) use server::{Server, Taken, Who};
pub(crate) use snapshot::{Admin, Backend, Frontend, FrontendRecord, Loaded, Snapshot};
pub(crate) use tally::{
    ByClass, FrontendTally, Histogram, OneMore, PerThread, QueueTally, ServerTally, ThreadId, add,
};
pub(crate) use wall_clock::comes;

/// How many events a slow `watch` client may fall behind before some are dropped for it.
const EVENT_BACKLOG: usize = 4096;

/// What data threads are told beside the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// About to stop: serve as ever, while `/healthz` tells whoever sends clients here.
    Leaving,
    /// Accept nothing, close what is idle, let sessions finish.
    Stopping,
    /// Close what has not finished.
    Cutting,
}

/// The one value that every part holds.
#[derive(Debug)]
pub(crate) struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// Data threads wake on it to look at the snapshot, the pools and the phase again.
    phase: watch::Sender<Phase>,
    events: broadcast::Sender<Event>,
    recent: Recent,
    /// A server has failed often enough to be looked at.
    suspects: Notify,
    /// What operators set has changed, and is to be kept.
    overridden: Notify,
    /// What is kept for servers that the configuration does not have. Control plane only.
    aside: Mutex<Vec<Kept>>,
    pub(crate) rolling: Arc<rolling::Book>,
    /// How often servers' sessions were to be closed.
    kills: AtomicU64,
    /// Client connections at once, all frontends.
    pub(crate) connections: Limit,
    pub(crate) handshakes: Handshakes,
    pub(crate) access_log: AccessLog,
    pub(crate) spans: Spans,
    pub(crate) threads: usize,
    pub(crate) started: Instant,
    /// The same by the clock: RFC 3339, UTC.
    pub(crate) started_at: String,
}

impl Shared {
    /// `rest` is what is remembered beside the servers that the snapshot has.
    pub(crate) fn new(
        snapshot: Snapshot,
        rest: Remembered,
        threads: usize,
        max_connections: usize,
    ) -> Arc<Self> {
        let handshakes = Handshakes::new(snapshot.global.max_handshakes, threads);
        Arc::new(Self {
            handshakes,
            snapshot: ArcSwap::from_pointee(snapshot),
            phase: watch::Sender::new(Phase::Running),
            events: broadcast::Sender::new(EVENT_BACKLOG),
            recent: Recent::default(),
            suspects: Notify::new(),
            overridden: Notify::new(),
            kills: AtomicU64::new(0),
            aside: Mutex::new(rest.servers),
            rolling: Arc::new(rolling::Book::new(rest.rolling)),
            connections: Limit::new(max_connections),
            access_log: AccessLog::new(),
            spans: Spans::new(),
            threads,
            started: Instant::now(),
            started_at: now(),
        })
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// For a data thread that keeps its own copy and asks at each request whether it is current.
    pub(crate) fn snapshot_cell(&self) -> &ArcSwap<Snapshot> {
        &self.snapshot
    }

    /// Swaps the snapshot in and wakes the data threads; `reason` says who or what brought it.
    /// Control plane only.
    pub(crate) fn publish(&self, snapshot: Snapshot, reason: &str) {
        self.show(snapshot);
        self.tell_of_config(reason);
    }

    /// Streams that something became of the configuration that runs.
    pub(crate) fn tell_of_config(&self, reason: &str) {
        self.emit(Event::Config {
            at: now(),
            generation: self.snapshot().loaded.generation,
            reason: reason.to_owned(),
        });
    }

    /// Swaps in a snapshot of the same configuration. Control plane only.
    pub(crate) fn show(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.nudge();
    }

    /// Tells the neighbours that a stop is near.
    pub(crate) fn leave(&self) {
        self.phase.send_replace(Phase::Leaving);
    }

    /// Tells data threads to stop as [`Phase::Stopping`] says.
    pub(crate) fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Has data threads close the sessions that are left.
    pub(crate) fn cut(&self) {
        self.phase.send_replace(Phase::Cutting);
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Whether it is, or is about to.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.phase.borrow() != Phase::Running
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Has somebody look at the servers that fail too often.
    pub(crate) fn report_suspect(&self) {
        self.suspects.notify_one();
    }

    /// Waits until what operators set has changed since this was last asked.
    pub(crate) async fn overrides_change(&self) {
        self.overridden.notified().await;
    }

    fn overrides_changed(&self) {
        self.overridden.notify_one();
    }

    pub(crate) fn aside(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the sessions of a server, which is in maint: data threads look for them. Returns how many
    /// there were.
    fn kill(&self, server: &Server) -> u64 {
        let sessions = server.sessions();
        server.set_killed(true);
        self.kills.fetch_add(1, Ordering::SeqCst);
        self.nudge();
        sessions
    }

    pub(crate) fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// Wakes the data threads.
    fn nudge(&self) {
        self.phase.send_modify(|_| {});
    }

    /// What happened lately, oldest first, none of it older.
    pub(crate) fn recent(&self, since: Option<Timestamp>) -> Vec<Event> {
        self.recent.since(since)
    }

    /// Tells whoever watches, and whoever asks later.
    pub(crate) fn emit(&self, event: Event) {
        self.recent.add(event.clone());
        // An error only says that nobody watches.
        let _ = self.events.send(event);
    }
}
