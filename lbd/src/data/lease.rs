//! A session on a server, counted from when the server was picked until this is dropped.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lb_proto::config::{self, Balance};

use super::thread::Thread;
use super::view::{Edits, View};
use crate::state::{Backend, Granted, Server, Taken, Wants, Who};
use crate::tls::Originator;

/// A server whose name leads nowhere is down and gets no session; nothing listens on port 0.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[derive(Debug)]
pub(super) struct Lease {
    view: Rc<View>,
    backend: usize,
    server: usize,
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Missed {
    /// No server takes such sessions.
    NoServer,
    /// This is to be waited for.
    Full(Wants),
}

impl Missed {
    fn full(server: &Arc<Server>, who: Who) -> Self {
        let server = server.clone();
        Self::Full(Wants::Server { server, who })
    }
}

impl Lease {
    /// Picks a server for a new session and counts the session there. `key` is the request's, where
    /// it has one. Servers in `tried` come last; a full one of the others is waited for rather.
    pub(super) fn take(
        thread: &Thread,
        view: &Rc<View>,
        backend: usize,
        key: Option<u64>,
        tried: &[usize],
    ) -> Result<Self, Missed> {
        let state = &view.snapshot.backends[backend];
        let by_key = key.is_some() && state.config.balance.is_hash();
        // Those that stopped taking sessions between the look and the count.
        let mut refused = Vec::new();
        loop {
            let picker = view.picker(backend);
            let open = |at: usize| !refused.contains(&at);
            let fresh = |at: usize| open(at) && !tried.contains(&at);
            let again = !tried.is_empty() && !picker.has(fresh);
            let may = |at: usize| if again { open(at) } else { fresh(at) };
            let has_room = |at: usize| state.servers[at].load.has_room();
            let behind = state.pool.queue.is_ahead_of_all();
            let random = || fastrand::u64(..);
            let choice = match by_key {
                true => picker.pick(state, key, random, may),
                false if behind => None,
                false => picker.pick(state, key, random, |at| may(at) && has_room(at)),
            };
            let Some(choice) = choice else {
                if !picker.has(may) {
                    return Err(Missed::NoServer);
                }
                let tried = if again { &[] } else { tried };
                return Err(Missed::Full(Wants::Any {
                    generation: view.snapshot.loaded.generation,
                    except: tried.iter().map(|at| state.servers[*at].uid).collect(),
                }));
            };
            let server = &state.servers[choice.server];
            // Whose key it is has to wait for it, whatever room others have.
            let taken = match choice.sessions {
                _ if by_key && (behind || !server.load.has_room()) => Taken::Full,
                None => server.take_session(thread.id, Who::Anybody),
                Some(seen) => server.take_session_after(thread.id, seen),
            };
            match taken {
                Taken::Yes => {
                    if state.config.balance == Balance::LeastConn {
                        let next = choice.server as u64 + 1;
                        state.pool.turn.store(next, Ordering::Relaxed);
                    }
                    return Ok(Self::new(view, backend, choice.server));
                }
                Taken::Full if by_key => {
                    return Err(Missed::full(server, Who::Anybody));
                }
                // Somebody was quicker.
                Taken::Full | Taken::Moved => {}
                Taken::Refused => refused.push(choice.server),
            }
        }
    }

    /// Counts a session on this very server, if it takes sessions of such clients.
    pub(super) fn on(
        thread: &Thread,
        view: &Rc<View>,
        backend: usize,
        server: usize,
        who: Who,
    ) -> Result<Self, Missed> {
        let record = &view.snapshot.backends[backend].servers[server];
        if record.load.has_room() {
            match record.take_session(thread.id, who) {
                Taken::Yes => return Ok(Self::new(view, backend, server)),
                Taken::Refused => return Err(Missed::NoServer),
                Taken::Full | Taken::Moved => {}
            }
        }
        match record.takes(who) {
            true => Err(Missed::full(record, who)),
            false => Err(Missed::NoServer),
        }
    }

    /// What was waited for; `None` where this view does not have the server.
    pub(super) fn granted(
        thread: &Thread,
        view: &Rc<View>,
        backend: usize,
        granted: Granted,
    ) -> Option<Self> {
        let server = granted.server()?;
        // Granted before its sessions were closed, and claimed after.
        if server.is_killed() {
            return None;
        }
        let position = view.position(server.uid)?;
        let (of, server) = position;
        (of == backend).then(|| {
            granted.claim(thread.id);
            Self::new(view, backend, server)
        })
    }

    /// For a session that is counted already.
    fn new(view: &Rc<View>, backend: usize, server: usize) -> Self {
        Self {
            view: view.clone(),
            backend,
            server,
        }
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.view.snapshot.backends[self.backend]
    }

    /// The server as it is configured.
    pub(super) fn config(&self) -> &config::Server {
        &self.backend().config.servers[self.server]
    }

    pub(super) fn edits(&self) -> &Edits {
        &self.view.edits[self.backend]
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.backend().servers[self.server]
    }

    /// The server's position in its backend.
    pub(super) fn position(&self) -> usize {
        self.server
    }

    /// The server failed at what it was asked.
    pub(super) fn failed(&self, thread: &Thread) {
        if let Some(failures) = self.backend().failures.get(self.server)
            && failures.count(Instant::now())
        {
            thread.shared.report_suspect();
        }
    }

    /// How the server speaks TLS, if it does.
    pub(super) fn tls(&self) -> Option<&Arc<Originator>> {
        self.backend().originators[self.server].as_ref()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server().location.address().unwrap_or(NOWHERE)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server().drop_session();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    use lb_proto::state::{Admin, Health};

    use super::*;
    use crate::state::{Shared, ThreadId};

    const BALANCES: [&str; 6] = [
        "roundrobin",
        "leastconn",
        "random",
        "source",
        "uri",
        "header:x-user",
    ];

    fn config(balance: &str, servers: &[(&str, &str)]) -> String {
        let servers: String = servers
            .iter()
            .map(|(name, more)| {
                format!("{{ name = \"{name}\", address = \"127.0.0.1:1\"{more} }},\n")
            })
            .collect();
        format!(
            "[frontend.web]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\
             [backend.app]\nhealth = false\nbalance = \"{balance}\"\nservers = [\n{servers}]\n"
        )
    }

    fn equal(balance: &str, servers: usize) -> String {
        let names: Vec<_> = (0..servers).map(|i| format!("s{i}")).collect();
        let servers: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        config(balance, &servers)
    }

    /// What a thread picks with, and how many it picked.
    struct Picks {
        thread: Rc<Thread>,
        keys: u64,
    }

    impl Picks {
        fn of(shared: &Arc<Shared>) -> Self {
            Self {
                thread: Thread::new(ThreadId(0), shared.clone()),
                keys: 0,
            }
        }

        fn take(&self, key: u64, tried: &[usize]) -> Option<Lease> {
            // Keys that are near each other must not be so on the ring.
            let key = Some(crate::state::place(&key.to_be_bytes()));
            Lease::take(&self.thread, &self.thread.view(), 0, key, tried).ok()
        }

        /// The servers of so many sessions, one after the other.
        fn names(&mut self, sessions: u64) -> BTreeMap<String, u64> {
            let mut names = BTreeMap::new();
            for _ in 0..sessions {
                self.keys += 1;
                let lease = self.take(self.keys, &[]).unwrap();
                *names
                    .entry(lease.server().id.server.to_string())
                    .or_default() += 1;
            }
            names
        }
    }

    #[test]
    fn every_balance_passes_over_servers_that_take_nothing() {
        for balance in BALANCES {
            let shared = Shared::of(&config(
                balance,
                &[
                    ("a", ""),
                    ("b", ""),
                    ("zero", ", weight = 0"),
                    ("spare", ", backup = true"),
                ],
            ));
            let mut picks = Picks::of(&shared);
            let names = picks.names(100);
            assert_eq!(Vec::from_iter(names.keys()), ["a", "b"], "{balance}");
            shared.set_admin(&shared.server("app/a"), Admin::Drain, "by a test");
            assert_eq!(
                picks.names(10),
                BTreeMap::from([("b".into(), 10)]),
                "{balance}"
            );
            shared.set_health(&shared.server("app/b"), Health::Down, "for a test");
            assert_eq!(
                picks.names(10),
                BTreeMap::from([("spare".into(), 10)]),
                "{balance}"
            );
            shared.set_admin(&shared.server("app/spare"), Admin::Maint, "by a test");
            assert!(picks.take(0, &[]).is_none(), "{balance}");
            shared.set_admin(&shared.server("app/a"), Admin::Ready, "by a test");
            assert_eq!(
                picks.names(10),
                BTreeMap::from([("a".into(), 10)]),
                "{balance}"
            );
        }
    }

    #[test]
    fn every_balance_tries_another_server_and_the_same_only_at_last() {
        for balance in BALANCES {
            let shared = Shared::of(&equal(balance, 4));
            let picks = Picks::of(&shared);
            for key in 0..50 {
                let mut tried = Vec::new();
                for _ in 0..4 {
                    let lease = picks.take(key, &tried).unwrap();
                    assert!(!tried.contains(&lease.position()), "{balance}: {tried:?}");
                    tried.push(lease.position());
                }
                assert!(picks.take(key, &tried).is_some(), "{balance}");
            }
        }
    }

    #[test]
    fn a_server_that_came_up_begins_with_a_small_share_and_one_at_the_start_does_not() {
        for balance in ["roundrobin", "leastconn", "random", "uri"] {
            let slow = ", weight = 4, slow_start = \"1h\"";
            let shared = Shared::of(&config(balance, &[("old", slow), ("new", slow)]));
            let mut picks = Picks::of(&shared);
            let held: Vec<_> = (0..100).map(|key| picks.take(key, &[]).unwrap()).collect();
            let new = || shared.server("app/new").sessions();
            assert!((30..=70).contains(&new()), "{balance}: {}", new());
            drop(held);
            shared.set_health(&shared.server("app/new"), Health::Down, "for a test");
            shared.set_health(&shared.server("app/new"), Health::Up, "for a test");
            let _held: Vec<_> = (0..170).map(|key| picks.take(key, &[]).unwrap()).collect();
            assert!((1..=25).contains(&new()), "{balance}: {}", new());
            assert!(picks.names(1).len() == 1);
        }
    }

    #[test]
    fn keys_of_a_drained_server_move_and_come_back_and_no_other_moves() {
        let shared = Shared::of(&equal("uri", 5));
        let picks = Picks::of(&shared);
        let owners = || -> Vec<usize> {
            let owner = |key| picks.take(key, &[]).unwrap().position();
            (0..500).map(owner).collect()
        };
        let before = owners();
        shared.set_admin(&shared.server("app/s2"), Admin::Drain, "by a test");
        let meanwhile = owners();
        assert!(!meanwhile.contains(&2));
        for (before, meanwhile) in before.iter().zip(&meanwhile) {
            assert!(before == meanwhile || *before == 2);
        }
        shared.set_admin(&shared.server("app/s2"), Admin::Ready, "by a test");
        assert_eq!(owners(), before);
    }

    #[test]
    fn a_reload_to_another_balance_counts_the_sessions_that_run() {
        let shared = Shared::of(&equal("roundrobin", 3));
        let picks = Picks::of(&shared);
        let held: Vec<_> = (0..4).map(|key| picks.take(key, &[]).unwrap()).collect();
        let old = picks.thread.view();
        shared.load(&equal("leastconn", 4));
        let counts =
            || ["app/s0", "app/s1", "app/s2", "app/s3"].map(|s| shared.server(s).sessions());
        let more: Vec<_> = (0..5).map(|key| picks.take(key, &[]).unwrap()).collect();
        let mut now = counts();
        now.sort_unstable();
        assert_eq!(now, [2, 2, 2, 3]);
        // A connection whose listener is gone goes on with the view it had.
        let late = Lease::take(&picks.thread, &old, 0, None, &[]).unwrap();
        drop(held);
        let least = counts().into_iter().min();
        let next = picks.take(0, &[]).unwrap();
        assert_eq!(Some(next.server().sessions() - 1), least);
        drop((more, late, next));
        assert_eq!(counts(), [0; 4]);
    }

    #[test]
    fn threads_that_come_and_go_while_servers_change_leave_no_count() {
        for balance in BALANCES {
            let shared = Shared::of(&equal(balance, 5));
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|n| {
                        let shared = &shared;
                        scope.spawn(move || {
                            let picks = Picks::of(shared);
                            let mut held = Vec::new();
                            for key in 0..3_000 {
                                held.extend(picks.take(key, &[]));
                                if key % 3 != n % 3 && !held.is_empty() {
                                    held.swap_remove(key as usize % held.len());
                                }
                            }
                        })
                    })
                    .collect();
                scope.spawn(|| {
                    let mut turn = 0;
                    while !done.load(Ordering::SeqCst) {
                        let server = shared.server(&format!("app/s{}", turn % 4));
                        let admin = [Admin::Drain, Admin::Ready, Admin::Maint][turn % 3];
                        shared.set_admin(&server, admin, "by a test");
                        turn += 1;
                        std::thread::yield_now();
                    }
                });
                threads
                    .into_iter()
                    .for_each(|thread| thread.join().unwrap());
                done.store(true, Ordering::SeqCst);
            });
            for n in 0..5 {
                let server = shared.server(&format!("app/s{n}"));
                assert_eq!(server.sessions(), 0, "{balance}");
                shared.set_admin(&server, Admin::Ready, "by a test");
            }
            let picks = Picks::of(&shared);
            let held: Vec<_> = (0..500).map(|key| picks.take(key, &[]).unwrap()).collect();
            let least = (0..5)
                .map(|n| shared.server(&format!("app/s{n}")).sessions())
                .min();
            assert!(
                least >= Some(if balance == "leastconn" { 100 } else { 40 }),
                "{balance}"
            );
            drop(held);
        }
    }

    /// `cargo test --release -p lbd -- --ignored --nocapture cost_of`
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_a_session() {
        const SESSIONS: u32 = 200_000;
        for balance in BALANCES {
            let costs = [10, 1_000, 10_000].map(|servers| {
                let shared = Shared::of(&equal(balance, servers));
                let picks = Picks::of(&shared);
                // So many that no server is idle, taken and left in turn.
                let mut held: Vec<_> = (0..2 * servers as u64)
                    .map(|key| picks.take(key, &[]))
                    .collect();
                let at_once = held.len();
                let began = Instant::now();
                for key in 0..SESSIONS {
                    held[key as usize * 7919 % at_once] = None;
                    held[key as usize * 7919 % at_once] = picks.take(u64::from(key), &[]);
                }
                format!(
                    "{:>6.0} ns",
                    (began.elapsed() / SESSIONS).as_secs_f64() * 1e9
                )
            });
            println!(
                "{balance:14} 10, 1,000 and 10,000 servers: {}",
                costs.join(", ")
            );
        }
    }
}
