//! A hundred times kill -9 in the middle of changes: every change that was acknowledged is there
//! afterwards.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use lb_proto::client::Client;
use lb_proto::request::{SetState, SetWeight};
use lb_proto::state::Admin;
use lb_proto::status::{ServerStatus, Status};
use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::{Lbd, eventually};

const KILLS: usize = 100;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// What a server was last known to be, and what it was asked to be without an answer.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    acknowledged: Set,
    asked: Set,
}

#[derive(Debug, Clone, PartialEq)]
struct Set {
    admin: Admin,
    weight: u16,
    reason: Option<String>,
}

impl Set {
    fn of(server: &ServerStatus) -> Self {
        let admin = server.overrides.admin.as_ref();
        Self {
            admin: server.admin,
            weight: server.weight,
            reason: admin.and_then(|set| set.reason.clone()),
        }
    }
}

/// Changes one server again and again until the daemon is gone.
fn change(socket: &Path, server: &str, mut now: Set, changes: &AtomicU64) -> Known {
    let id = || format!("app/{server}").parse().expect("a name");
    let Ok(mut client) = Client::connect(socket) else {
        let asked = now.clone();
        return Known {
            acknowledged: now,
            asked,
        };
    };
    loop {
        let mut wanted = now.clone();
        let admin = [Admin::Ready, Admin::Drain, Admin::Maint][fastrand::usize(..3)];
        let asked = match fastrand::bool() {
            true => {
                // A reason that is new tells one change from the next.
                let reason = format!("reason {}", fastrand::u64(..));
                wanted.admin = admin;
                wanted.reason = Some(reason.clone()).filter(|_| admin != Admin::Ready);
                let call = SetState {
                    server: id(),
                    admin,
                    was: None,
                    move_sticky: None,
                    reason: Some(reason.parse().expect("it is one")),
                    for_s: None,
                    kill: false,
                };
                client.call(&call).map(|reply| reply.not_kept)
            }
            false => {
                wanted.weight = fastrand::u16(1..=256);
                let call = SetWeight {
                    server: id(),
                    weight: Some(wanted.weight.into()),
                    reason: None,
                };
                client.call(&call).map(|reply| reply.not_kept)
            }
        };
        match asked {
            Ok(not_kept) => assert_eq!(not_kept, None),
            Err(_) => {
                return Known {
                    acknowledged: now,
                    asked: wanted,
                };
            }
        }
        now = wanted;
        changes.fetch_add(1, SeqCst);
    }
}

fn set(status: &Status, server: &str) -> Set {
    let mut servers = status.backends.iter().flat_map(|backend| &backend.servers);
    let server = servers.find(|known| known.name.as_str() == server);
    Set::of(server.expect("the configuration has it"))
}

#[test]
fn every_acknowledged_change_outlives_a_hundred_kills() {
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    let servers = NAMES.map(|name| (name, nowhere));
    let mut lbd = Lbd::start(app_at(NO_CHECK, servers));
    let seed = fastrand::u64(..);
    fastrand::seed(seed);
    for kill in 0..KILLS {
        let before = lbd.status();
        let changes = AtomicU64::new(0);
        // Somewhere in the midst of them, and sometimes before the first.
        let enough = fastrand::u64(..20);
        let socket = lbd.socket();
        let known = thread::scope(|scope| {
            let threads = NAMES.map(|name| {
                let (socket, changes) = (&socket, &changes);
                let now = set(&before, name);
                let seed = fastrand::u64(..);
                scope.spawn(move || {
                    fastrand::seed(seed);
                    change(socket, name, now, changes)
                })
            });
            eventually("so many changes", || {
                let made = changes.load(SeqCst);
                (made >= enough).then_some(()).ok_or(made)
            });
            lbd.kill9();
            threads.map(|thread| thread.join().expect("it ends"))
        });
        lbd.start_again();
        let status = lbd.status();
        assert_eq!(status.daemon.kept.set_aside, None);
        for (name, known) in NAMES.into_iter().zip(known) {
            let found = set(&status, name);
            assert!(
                found == known.acknowledged || found == known.asked,
                "kill {kill} of seed {seed}, app/{name}: {found:?} is none of {known:?}"
            );
        }
    }
}
