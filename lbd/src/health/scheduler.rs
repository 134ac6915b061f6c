//! One task per checked server, kept in step with the snapshot that runs.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use lb_proto::config::{Address, Check, Protocol, ProxyVersion};
use lb_proto::name::{ServerId, ServerName};
use lb_proto::state::Admin;
use lb_proto::status::CheckStatus;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, warn};

use super::verdict::{Change, Verdict};
use super::{NotProbed, Seen, Target, probe};
use crate::state::{Backend, Server, Shared, Snapshot, now};
use crate::tls::Originator;

/// First probes in flight at once. All servers are due in the same instant when a configuration is
/// loaded; later probes are spread over the interval and need no bound.
const FIRST_PROBES: usize = 512;

/// Runs checks until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut nudges = shared.phase();
    let mut scheduler = Scheduler::new(shared.clone());
    let mut current = None;
    loop {
        let snapshot = shared.snapshot();
        let known = current.as_ref().is_some_and(|c| Arc::ptr_eq(c, &snapshot));
        if !known {
            scheduler.reconcile(&snapshot);
            current = Some(snapshot);
        }
        if nudges.changed().await.is_err() {
            return;
        }
    }
}

struct Scheduler {
    shared: Arc<Shared>,
    /// By [`Server::uid`].
    tasks: HashMap<u64, Task>,
    first_probes: Arc<Semaphore>,
}

/// How a server is checked.
#[derive(Debug)]
struct How {
    address: Address,
    send_proxy: Option<ProxyVersion>,
    tls: Option<Arc<Originator>>,
    protocol: Protocol,
    check: Check,
}

/// The check of one server; ends when dropped.
struct Task {
    how: Arc<How>,
    handle: AbortHandle,
}

impl How {
    /// `None`: it is not.
    fn of(backend: &Backend, name: &ServerName) -> Option<Self> {
        let server = backend.server_config(name)?;
        Some(Self {
            address: server.address.clone(),
            send_proxy: server.send_proxy,
            tls: backend.originator(name).cloned(),
            protocol: backend.config.protocol,
            check: backend.checks(name)?.clone(),
        })
    }

    fn is_as(&self, other: &Self) -> bool {
        let uid = |how: &Self| how.tls.as_ref().map(|tls| tls.uid);
        self.address == other.address
            && self.send_proxy == other.send_proxy
            && uid(self) == uid(other)
            && self.protocol == other.protocol
            && self.check == other.check
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Scheduler {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            tasks: HashMap::new(),
            first_probes: Arc::new(Semaphore::new(FIRST_PROBES)),
        }
    }

    /// Starts, restarts and stops checks as the snapshot says; what it leaves alone goes on.
    fn reconcile(&mut self, snapshot: &Snapshot) {
        let mut before = std::mem::take(&mut self.tasks);
        for backend in snapshot.backends.iter() {
            for server in &backend.servers {
                let name = &server.id.server;
                let Some(how) = How::of(backend, name) else {
                    continue;
                };
                let task = match before.remove(&server.uid) {
                    Some(task) if task.how.is_as(&how) => task,
                    _ => self.start(server.clone(), how),
                };
                self.tasks.insert(server.uid, task);
            }
        }
    }

    fn start(&self, server: Arc<Server>, how: How) -> Task {
        let how = Arc::new(how);
        let checker = Checker {
            shared: self.shared.clone(),
            verdict: Verdict::new(server.health(), how.check.rise, how.check.fall),
            probed: true,
            server,
            host: how.address.to_string(),
            how: how.clone(),
        };
        let handle = tokio::spawn(checker.run(self.first_probes.clone())).abort_handle();
        Task { how, handle }
    }
}

struct Checker {
    shared: Arc<Shared>,
    server: Arc<Server>,
    /// The address as configured, for want of a Host.
    host: String,
    how: Arc<How>,
    verdict: Verdict,
    /// Whether the last probe could be made at all.
    probed: bool,
}

impl Checker {
    async fn run(mut self, first_probes: Arc<Semaphore>) {
        let server = self.server.clone();
        loop {
            while server.admin() == Admin::Maint || server.location.address().is_none() {
                server.check_wake.notified().await;
            }
            // A wake means that the server went into maint, left it or moved: start over.
            tokio::select! {
                biased;
                () = server.check_wake.notified() => {}
                () = self.check_steadily(&first_probes) => {}
            }
        }
    }

    /// Probes now and then at a fixed cadence, judging from the health that the server has now.
    async fn check_steadily(&mut self, first_probes: &Semaphore) {
        self.verdict = Verdict::new(
            self.server.health(),
            self.how.check.rise,
            self.how.check.fall,
        );
        self.server.past.begin_checks();
        let turn = first_probes.acquire().await;
        let start = Instant::now() + first_pause(&self.server.id, self.how.check.interval);
        self.check_once().await;
        drop(turn);
        let mut ticks = interval_at(start, self.how.check.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.check_once().await;
        }
    }

    async fn check_once(&mut self) {
        let Some(address) = self.server.location.address() else {
            return;
        };
        let began = Instant::now();
        let target = Target {
            address,
            fallback_host: &self.host,
            send_proxy: self.how.send_proxy,
            tls: self.how.tls.as_deref(),
            protocol: self.how.protocol,
        };
        match probe(&target, &self.how.check).await {
            Ok(seen) => self.hear(&seen, began.elapsed()),
            Err(error) => self.skip(&error),
        }
    }

    fn hear(&mut self, seen: &Seen, latency: Duration) {
        let server = &self.server;
        self.probed = true;
        debug!(server = %server.id, result = seen.result.as_str(), detail = seen.detail, ?latency, "checked");
        let change = self.verdict.hear(seen.result.is_ok());
        let check = CheckStatus {
            at: now(),
            result: seen.result,
            status: seen.status,
            latency_ms: (latency.as_secs_f64() * 1e6).round() / 1e3,
            detail: seen.detail.clone(),
        };
        server.past.saw_check(check, self.verdict.against());
        if let Some(change) = change {
            let reason = reason(change, seen);
            self.shared.set_health(server, change.health, &reason);
        }
    }

    /// A probe that could not be made changes nothing: servers must not go down because this
    /// process ran out of descriptors.
    fn skip(&mut self, error: &NotProbed) {
        if std::mem::take(&mut self.probed) {
            let cause = &error.source;
            warn!(server = %self.server.id, %cause, "{error}; its health stays as it is");
        }
    }
}

/// How long the second probe waits after the first: a part of the interval that depends on the
/// name, so that servers loaded together are not probed together ever after.
fn first_pause(id: &ServerId, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let part = (hasher.finish() >> 32) as f64 / f64::from(u32::MAX);
    interval.mul_f64(0.5 + 0.5 * part)
}

/// Why health changed, as in "3 of 3 checks failed: L4CON, connection refused".
fn reason(change: Change, seen: &Seen) -> String {
    let did = match seen.result.is_ok() {
        true => "succeeded",
        false => "failed",
    };
    let (result, detail) = (seen.result.as_str(), &seen.detail);
    match change.results {
        1 => format!("check {did}: {result}, {detail}"),
        n => format!("{n} of {n} checks {did}: {result}, {detail}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use lb_proto::event::Event;
    use lb_proto::state::Health;
    use lb_proto::status::CheckResult;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn first_pauses_differ_and_stay_within_the_interval() {
        let interval = Duration::from_secs(2);
        let pauses: Vec<_> = (0..1000)
            .map(|i| first_pause(&format!("app/web{i}").parse().unwrap(), interval))
            .collect();
        assert!(pauses.iter().all(|p| *p >= interval / 2 && *p <= interval));
        let mut tenths = [0; 10];
        for pause in &pauses {
            tenths[((pause.as_secs_f64() - 1.0) * 9.999) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| (50..150).contains(n)), "{tenths:?}");
    }

    #[test]
    fn the_reason_counts_the_checks_that_made_it() {
        let seen = Seen::new(
            CheckResult::L7STS,
            "GET /healthz answered 404, expected 200",
        );
        let change = |results| Change {
            health: Health::Down,
            results,
        };
        assert_eq!(
            reason(change(3), &seen),
            "3 of 3 checks failed: L7STS, GET /healthz answered 404, expected 200"
        );
        assert_eq!(
            reason(change(1), &seen),
            "check failed: L7STS, GET /healthz answered 404, expected 200"
        );
    }

    /// A server that answers 200 or 503 as it is told, and counts its probes.
    async fn origin() -> (SocketAddr, Arc<AtomicBool>, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let well = Arc::new(AtomicBool::new(true));
        let probes = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (well.clone(), probes.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                count.fetch_add(1, Ordering::Relaxed);
                let status = match answer.load(Ordering::Relaxed) {
                    true => "200 OK",
                    false => "503 Sick",
                };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (address, well, probes)
    }

    fn config(servers: &[SocketAddr]) -> String {
        let servers: Vec<String> = servers
            .iter()
            .enumerate()
            .map(|(i, a)| format!("{{ name = \"s{i}\", address = \"{a}\" }}"))
            .collect();
        format!(
            "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
             [backend.app]\n\
             health = {{ type = \"http\", path = \"/\", interval = \"50ms\", timeout = \"60s\", rise = 2, fall = 3 }}\n\
             servers = [{}]\n",
            servers.join(", ")
        )
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let patience = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < patience, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn health_follows_the_server_and_maint_starts_it_over() {
        let (first, well, probes) = origin().await;
        let (second, _, _) = origin().await;
        let shared = Shared::of(&config(&[first, second]));
        let mut events = shared.events();
        tokio::spawn(run(shared.clone()));
        let (server, other) = (shared.server("app/s0"), shared.server("app/s1"));
        until("both are up", || {
            [&server, &other].iter().all(|s| s.health() == Health::Up)
        })
        .await;
        let Ok(Event::Server { reason, .. }) = events.try_recv() else {
            panic!("no event of a server");
        };
        assert_eq!(reason, "check succeeded: L7OK, GET / answered 200");

        well.store(false, Ordering::Relaxed);
        until("it is down", || server.health() == Health::Down).await;
        let seen = server.past.last_check().unwrap();
        assert_eq!((seen.result, seen.status), (CheckResult::L7STS, Some(503)));

        shared.set_admin(&server, Admin::Maint, "by a test");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let before = probes.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(probes.load(Ordering::Relaxed), before, "no probe in maint");

        well.store(true, Ordering::Relaxed);
        shared.set_admin(&server, Admin::Ready, "by a test");
        assert_eq!(server.health(), Health::Down);
        until("it is up again", || server.health() == Health::Up).await;
        let fresh = probes.load(Ordering::Relaxed) - before;
        assert!(fresh >= 2, "up after {fresh} fresh successes");
    }

    #[tokio::test]
    async fn a_reload_stops_the_checks_of_what_it_removes() {
        let (kept, _, kept_probes) = origin().await;
        let (removed, _, removed_probes) = origin().await;
        let shared = Shared::of(&config(&[kept, removed]));
        tokio::spawn(run(shared.clone()));
        until("both are probed", || {
            [&kept_probes, &removed_probes]
                .iter()
                .all(|p| p.load(Ordering::Relaxed) > 1)
        })
        .await;
        shared.load(&config(&[kept]));
        tokio::time::sleep(Duration::from_millis(20)).await;
        let before = removed_probes.load(Ordering::Relaxed);
        let kept_before = kept_probes.load(Ordering::Relaxed);
        until("the other goes on", || {
            kept_probes.load(Ordering::Relaxed) > kept_before + 3
        })
        .await;
        assert_eq!(removed_probes.load(Ordering::Relaxed), before);
        assert_eq!(shared.server("app/s0").health(), Health::Up);
    }
}
