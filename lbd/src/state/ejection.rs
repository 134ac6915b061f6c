//! Servers that fail too often are left alone for a while (`outlier`): decided here alone, on the
//! control plane, so that never more than half of a backend is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lb_proto::config::Outlier;
use lb_proto::state::State;
use tokio::time::sleep_until;

use super::failures::Failures;
use super::{Backend, Server, Shared};

/// Whether a server is ejected, and until when.
#[derive(Debug, Default)]
pub(crate) struct Ejection {
    /// What data threads read.
    on: AtomicBool,
    term: Mutex<Option<Term>>,
    /// How often it was.
    times: AtomicU64,
}

/// A server gets no new sessions until then.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) until: Instant,
    pub(crate) reason: String,
}

impl Ejection {
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }

    pub(crate) fn term(&self) -> Option<Term> {
        self.lock().clone()
    }

    pub(super) fn begin(&self, term: Term) {
        *self.lock() = Some(term);
        self.on.store(true, Ordering::SeqCst);
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the server was ejected since the process started.
    pub(crate) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }

    /// Whether there was one.
    pub(super) fn end(&self) -> bool {
        self.on.store(false, Ordering::SeqCst);
        self.lock().take().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Term>> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ejects suspects and lets them back when their time is over, until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut nudges = shared.phase();
    loop {
        nudges.borrow_and_update();
        let due = review(&shared, Instant::now());
        let time_is_over = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = nudges.changed() => if changed.is_err() { return },
            () = shared.suspects.notified() => {}
            () = time_is_over => {}
        }
    }
}

/// Judges every server that could be ejected or is; returns when the next one may come back.
fn review(shared: &Shared, now: Instant) -> Option<Instant> {
    let snapshot = shared.snapshot();
    let backends = snapshot.backends.iter();
    backends
        .filter_map(|backend| review_backend(shared, backend, backend.config.outlier?, now))
        .min()
}

fn review_backend(
    shared: &Shared,
    backend: &Backend,
    outlier: Outlier,
    now: Instant,
) -> Option<Instant> {
    let mut due: Option<Instant> = None;
    for (server, failures) in backend.servers.iter().zip(&backend.failures) {
        match server.ejection.term() {
            Some(term) if term.until <= now => {
                // What failed before is paid for, and what the last sessions did since.
                failures.forget();
                shared.readmit(server, "its ejection is over");
            }
            Some(term) => due = Some(due.map_or(term.until, |due| due.min(term.until))),
            None => {}
        }
    }
    for (server, failures) in backend.servers.iter().zip(&backend.failures) {
        if !failures.is_suspect() {
            continue;
        }
        if server.state() != State::Up || server.ejection.is_on() || !failures.are_too_many(now) {
            failures.clear_suspicion();
        } else if can_spare_one(backend) {
            failures.forget();
            let until = now + outlier.eject;
            shared.eject(server, until, &reason(outlier));
            due = Some(due.map_or(until, |due| due.min(until)));
        }
        // Else it stays a suspect until the backend can do without it.
    }
    due
}

/// Whether one more server may go: at most half of those that are up.
fn can_spare_one(backend: &Backend) -> bool {
    let up = |server: &&Arc<Server>| server.state() == State::Up;
    let up_now = backend.servers.iter().filter(up);
    let (all, ejected) = up_now.fold((0, 0), |(all, ejected), server| {
        (all + 1, ejected + usize::from(server.ejection.is_on()))
    });
    (ejected + 1) * 2 <= all
}

fn reason(outlier: Outlier) -> String {
    let errors = match outlier.errors {
        1 => "1 error".to_owned(),
        many => format!("{many} errors"),
    };
    format!("{errors} within {:?}", outlier.window)
}

/// The failures of each server of a backend; those of `old` go on where the rule is the same.
pub(super) fn failures_of(
    outlier: Option<Outlier>,
    servers: &[Arc<Server>],
    old: Option<&Backend>,
) -> Vec<Arc<Failures>> {
    let Some(outlier) = outlier else {
        return Vec::new();
    };
    let kept = |server: &Arc<Server>| {
        let old = old.filter(|old| old.config.outlier == Some(outlier))?;
        let at = old.servers.iter().position(|s| s.uid == server.uid)?;
        old.failures.get(at).cloned()
    };
    let fresh = || Arc::new(Failures::new(outlier, Instant::now()));
    servers
        .iter()
        .map(|server| kept(server).unwrap_or_else(fresh))
        .collect()
}

/// How long a term still lasts, in whole seconds; the last one counts until it is over.
pub(crate) fn seconds_left(term: &Term, now: Instant) -> u64 {
    let left: Duration = term.until.saturating_duration_since(now);
    left.as_millis().div_ceil(1000) as u64
}

#[cfg(test)]
mod tests {
    use lb_proto::state::Admin;

    use super::*;

    fn config(servers: usize, outlier: &str) -> String {
        let list: String = (0..servers)
            .map(|n| format!("{{ name = \"s{n}\", address = \"127.0.0.1:{}\" }},", n + 1))
            .collect();
        format!(
            "[frontend.web]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\
             [backend.app]\nhealth = false\n{outlier}\nservers = [{list}]\n"
        )
    }

    const TWO: &str = "outlier = { errors = 2, window = \"10s\", eject = \"30s\" }";

    /// Makes the server fail `times`.
    fn fail(shared: &Shared, server: usize, times: u32, now: Instant) {
        let snapshot = shared.snapshot();
        for _ in 0..times {
            snapshot.backends[0].failures[server].count(now);
        }
    }

    fn ejected(shared: &Shared) -> Vec<bool> {
        let snapshot = shared.snapshot();
        let servers = snapshot.backends[0].servers.iter();
        servers.map(|server| server.ejection.is_on()).collect()
    }

    #[test]
    fn at_most_half_of_those_that_are_up_and_never_a_lone_one() {
        let now = Instant::now();
        for (servers, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let shared = Shared::of(&config(servers, TWO));
            (0..servers).for_each(|server| fail(&shared, server, 2, now));
            review(&shared, now);
            let count = ejected(&shared).into_iter().filter(|e| *e).count();
            assert_eq!(count, most, "of {servers}");
        }
        let shared = Shared::of(&config(4, TWO));
        for server in ["app/s2", "app/s3"] {
            shared.set_admin(&shared.server(server), Admin::Maint, "by a test");
        }
        fail(&shared, 0, 2, now);
        fail(&shared, 1, 2, now);
        review(&shared, now);
        assert_eq!(ejected(&shared), [true, false, false, false]);
    }

    #[test]
    fn it_comes_back_by_itself_and_counts_afresh() {
        let shared = Shared::of(&config(2, TWO));
        let now = Instant::now();
        fail(&shared, 0, 1, now);
        assert_eq!(review(&shared, now), None);
        fail(&shared, 0, 1, now);
        let due = review(&shared, now);
        assert_eq!(due, Some(now + Duration::from_secs(30)));
        assert_eq!(ejected(&shared), [true, false]);
        // What its last sessions do is no reason to keep it out longer.
        let later = now + Duration::from_secs(30);
        fail(&shared, 0, 5, later);
        assert_eq!(review(&shared, later), None);
        assert_eq!(ejected(&shared), [false, false]);
        fail(&shared, 0, 1, later);
        review(&shared, later);
        assert_eq!(ejected(&shared), [false, false]);
    }

    #[test]
    fn a_suspect_that_could_not_be_spared_goes_when_it_can_be() {
        let shared = Shared::of(&config(3, TWO));
        let now = Instant::now();
        fail(&shared, 0, 2, now);
        review(&shared, now);
        fail(&shared, 1, 2, now);
        review(&shared, now);
        assert_eq!(ejected(&shared), [true, false, false]);
        shared.set_admin(&shared.server("app/s0"), Admin::Ready, "by a test");
        review(&shared, now);
        assert_eq!(ejected(&shared), [false, true, false]);
    }

    #[test]
    fn the_operator_and_a_reload_end_it() {
        let shared = Shared::of(&config(2, TWO));
        let now = Instant::now();
        let server = shared.server("app/s0");
        let eject = || {
            fail(&shared, 0, 2, now);
            review(&shared, now);
            assert!(server.ejection.is_on());
        };
        eject();
        shared.set_admin(&server, Admin::Ready, "by a test");
        assert!(!server.ejection.is_on());
        eject();
        shared.set_admin(&server, Admin::Drain, "by a test");
        assert!(!server.ejection.is_on());
        shared.set_admin(&server, Admin::Ready, "by a test");
        eject();
        shared.load(&config(2, &format!("retries = 1\n{TWO}")));
        assert!(server.ejection.is_on(), "nothing about it has changed");
        shared.load(&config(2, ""));
        assert!(!server.ejection.is_on());
    }

    #[test]
    fn the_last_second_counts_until_it_is_over() {
        let now = Instant::now();
        let term = Term {
            until: now + Duration::from_millis(1500),
            reason: String::new(),
        };
        assert_eq!(seconds_left(&term, now), 2);
        assert_eq!(seconds_left(&term, now + Duration::from_secs(2)), 0);
    }
}
