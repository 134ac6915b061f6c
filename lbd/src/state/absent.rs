//! Records that the configuration no longer mentions while somebody may still hold them: sessions on
//! a server, connections of a frontend. A configuration that mentions them again takes them up, or
//! what runs there would be counted nowhere. Until then the process tells of it as a whole.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use lb_proto::name::{BackendName, FrontendName, ServerId};

use super::pool::Pool;
use super::{FrontendRecord, Server, Shared, Snapshot};

/// Holds none of them. There is never more than one of a name: a new record is made only where
/// nobody holds the former one.
#[derive(Debug, Default, Clone)]
pub(super) struct Absent {
    frontends: HashMap<FrontendName, Weak<FrontendRecord>>,
    pools: HashMap<BackendName, Weak<Pool>>,
    servers: HashMap<ServerId, Weak<Server>>,
}

impl Absent {
    /// What is absent from `next`, where it comes after `before`; what nobody holds is forgotten.
    pub(super) fn from(next: &Snapshot, before: &Snapshot) -> Self {
        let mut absent = before.absent.clone();
        for frontend in &before.frontends {
            let (name, record) = (&frontend.config.name, &frontend.record);
            absent
                .frontends
                .insert(name.clone(), Arc::downgrade(record));
        }
        for backend in before.backends.iter() {
            let name = &backend.config.name;
            absent
                .pools
                .insert(name.clone(), Arc::downgrade(&backend.pool));
            let gone = backend.servers.iter().filter(|s| !next.has(&s.id));
            let gone = gone.map(|server| (server.id.clone(), Arc::downgrade(server)));
            absent.servers.extend(gone);
        }
        keep(&mut absent.frontends, |name| next.frontend(name).is_none());
        keep(&mut absent.pools, |name| next.backend(name).is_none());
        keep(&mut absent.servers, |id| !next.has(id));
        absent
    }

    pub(super) fn frontend(&self, name: &FrontendName) -> Option<Arc<FrontendRecord>> {
        self.frontends.get(name)?.upgrade()
    }

    /// To be asked for before its servers, which hold it.
    pub(super) fn pool(&self, name: &BackendName) -> Option<Arc<Pool>> {
        self.pools.get(name)?.upgrade()
    }

    pub(super) fn server(&self, id: &ServerId) -> Option<Arc<Server>> {
        self.servers.get(id)?.upgrade()
    }
}

/// Client connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connections {
    pub(crate) all: u64,
    /// Those of frontends that the configuration does not have.
    pub(crate) removed: u64,
}

impl Snapshot {
    /// What it does not have, and connections of before still do.
    pub(crate) fn removed_frontends(&self) -> impl Iterator<Item = Arc<FrontendRecord>> {
        self.absent.frontends.values().filter_map(Weak::upgrade)
    }
}

impl Shared {
    /// Those that are open now.
    pub(crate) fn connections_now(&self) -> Connections {
        let snapshot = self.snapshot();
        let frontends = snapshot.frontends.iter();
        let known: u64 = frontends.map(|f| f.record.connections()).sum();
        let removed = snapshot.removed_frontends();
        let removed = removed.map(|record| record.connections()).sum();
        let taken = self.connections.taken() as u64;
        Connections {
            // Who was let in from the queue of a listener that closed has no place.
            all: taken.max(known + removed),
            removed,
        }
    }
}

/// Keeps those that somebody holds and that are absent.
fn keep<K: Eq + Hash, T>(records: &mut HashMap<K, Weak<T>>, is_absent: impl Fn(&K) -> bool) {
    records.retain(|name, record| record.strong_count() > 0 && is_absent(name));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use lb_proto::reason::Reason;
    use lb_proto::state::{Admin, Health, State};
    use lb_proto::status::By;

    use super::*;
    use crate::state::{Ask, Shared, Taken, ThreadId, Wants, Who};

    fn config(frontend: &str, servers: &[&str], more: &str) -> String {
        let servers: String = servers
            .iter()
            .map(|name| format!("{{ name = \"{name}\", address = \"127.0.0.1:1\"{more} }},"))
            .collect();
        format!(
            "[frontend.{frontend}]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\
             max_connections = 2\n[backend.app]\nservers = [{servers}]\n"
        )
    }

    fn counts(shared: &Shared) -> (usize, usize, usize) {
        let absent = &shared.snapshot().absent;
        let (frontends, pools) = (absent.frontends.len(), absent.pools.len());
        (frontends, pools, absent.servers.len())
    }

    #[test]
    fn a_server_that_comes_back_has_its_sessions_and_nothing_else_of_before() {
        let slow = ", slow_start = \"1h\", max_connections = 2";
        let (with, without) = (
            config("web", &["a", "b"], slow),
            config("web", &["b"], slow),
        );
        let shared = Shared::of(&with);
        shared.set_health(&shared.server("app/b"), Health::Up, "by a test");
        let a = shared.server("app/a");
        assert_eq!(a.take_session(ThreadId(0), Who::Anybody), Taken::Yes);
        shared.set_health(&a, Health::Down, "by a test");
        shared.set_health(&a, Health::Up, "by a test");
        assert!(a.risen(Instant::now()).is_some());
        let backend = &shared.snapshot().backends[0];
        let maint = Ask {
            admin: Admin::Maint,
            move_sticky: None,
            lasts: Some(Duration::from_secs(60)),
            kill: true,
        };
        shared.set_weight(backend, &a, Some(7), By::default(), None::<&Reason>);
        shared.ask(&a, maint, By::default(), None);
        let epoch = a.epoch();

        shared.load(&without);
        shared.load(&with);
        let back = shared.server("app/a");
        assert!(Arc::ptr_eq(&back, &a));
        assert_eq!((a.sessions(), a.sessions_total()), (1, 1));
        assert_eq!((a.admin(), a.health()), (Admin::Ready, Health::Down));
        assert!(!a.is_killed() && a.overrides.kept(&a.id).is_none());
        assert!(a.epoch() > epoch, "idle connections are those of before");
        let changes = a.past.story().changes;
        let last = changes.last().map(|change| change.reason.as_str());
        assert_eq!(last, Some("a reload brought it back"));
        a.drop_session();
        assert_eq!(a.sessions(), 0);

        // Nobody else is there: as at the start.
        let other = config("web", &["c"], slow);
        shared.load(&other.replace("app", "other"));
        shared.load(&with.replace("\"b\"", "\"d\""));
        assert!(Arc::ptr_eq(&shared.server("app/a"), &a));
        assert_eq!(a.state(), State::Up);
        assert_eq!(a.health(), Health::Unchecked);
        assert_eq!(a.risen(Instant::now()), None, "it starts slowly");
    }

    #[test]
    fn what_is_set_by_hand_and_put_back_counts_before_anybody_who_waits() {
        let servers = |servers: &[&str]| {
            let config = config("web", servers, ", max_connections = 1");
            config.replace("[backend.app]", "[backend.app]\nhealth = false")
        };
        let (with, without) = (servers(&["a", "b"]), servers(&["b"]));
        let shared = Shared::of(&with);
        let a = shared.server("app/a");
        let drain = Ask {
            admin: Admin::Drain,
            move_sticky: None,
            lasts: None,
            kill: false,
        };
        shared.ask(&a, drain, By::default(), None);
        let before = shared.snapshot();
        let wants = Wants::Any {
            generation: before.loaded.generation,
            except: Vec::new(),
        };
        let b = shared.server("app/b");
        assert_eq!(b.take_session(ThreadId(0), Who::Anybody), Taken::Yes);
        let waits = before.backends[0].wait(None, wants).unwrap();
        shared.load_on_trial(&without);
        shared.load(&with);
        assert_eq!((a.admin(), a.sessions()), (Admin::Drain, 0));
        drop(waits);
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let shared = Shared::of(&config("web", &["a"], ""));
        for round in 0..50 {
            let name = format!("s{round}");
            let text = config(&format!("f{round}"), &[&name], "");
            shared.load(&text.replace("app", &format!("b{round}")));
        }
        let (frontends, pools, servers) = counts(&shared);
        assert!(frontends <= 2 && pools <= 2 && servers <= 2);
    }

    #[test]
    fn a_frontend_that_comes_back_has_its_connections() {
        let (web, other) = (config("web", &["a"], ""), config("other", &["a"], ""));
        let shared = Shared::of(&web);
        let place = shared.snapshot().frontends[0].record.limit.try_acquire();
        let record = shared.snapshot().frontends[0].record.clone();
        shared.load(&other);
        assert_eq!(counts(&shared), (1, 0, 0));
        shared.load(&web);
        assert_eq!(counts(&shared).0, 1, "the other one's");
        let back = shared.snapshot().frontends[0].record.clone();
        assert!(Arc::ptr_eq(&back, &record));
        assert_eq!(back.limit.taken(), 1);
        drop(place);
        assert_eq!(back.limit.taken(), 0);
    }
}
