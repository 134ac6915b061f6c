//! Requests that wait for a server with room: first come, first served, on all threads together.
//!
//! A lock is taken only by those who wait, and by those whose session ends while somebody does: they
//! give the place they leave to the first who can use it. Whoever comes anew while somebody waits for
//! the same stands in line behind. Nobody waits beside an empty place: who joins looks for one after
//! joining, who leaves one looks for a waiter after leaving.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::server::{Server, Who};
use super::tally::{ThreadId, add};

/// What a request waits for.
#[derive(Debug, Clone)]
pub(crate) enum Wants {
    /// Any server of the rotation that this generation of the configuration has, but those whose
    /// uids are listed.
    Any { generation: u64, except: Vec<u64> },
    /// This server alone.
    Server { server: Arc<Server>, who: Who },
}

/// The end of a wait.
#[derive(Debug)]
pub(crate) enum Told {
    Room(Granted),
    /// What was waited for may be gone.
    LookAgain,
}

/// A session, counted for somebody who waited.
#[derive(Debug)]
pub(crate) struct Granted(Option<Arc<Server>>);

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// A backend's queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// How many wait: asked at each session's end.
    waiting: AtomicUsize,
    /// How many of them would take any server: asked at each pick.
    for_any: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    tickets: u64,
    /// In the order of their tickets.
    waiters: VecDeque<Waiter>,
    /// Of the last who joined for any server.
    generation: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    wants: Wants,
    tell: oneshot::Sender<Told>,
}

/// Who came before and waits, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// For the one server that is wanted, if it is one.
    pub(crate) for_server: u64,
    /// For any server.
    pub(crate) for_any: u64,
}

/// A place in the queue, given up when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'q> {
    queue: &'q Queue,
    /// Who has one stands before those who came later, also when joining again.
    pub(crate) ticket: u64,
    pub(crate) ahead: Ahead,
    told: oneshot::Receiver<Told>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether whoever wants any server has to wait behind others.
    pub(crate) fn is_ahead_of_all(&self) -> bool {
        self.for_any.load(SeqCst) > 0
    }

    /// Joins the line: at its end, or where `ticket` belongs. Servers that may have room are to be
    /// offered afterwards, each with [`Server::offer`]; the flag says whether there can be any that
    /// nobody has looked at yet.
    ///
    /// # Errors
    /// Where `most` wait already. A ticket gets in all the same.
    pub(super) fn join(
        &self,
        ticket: Option<u64>,
        wants: Wants,
        most: usize,
    ) -> Result<(Waiting<'_>, bool), QueueFull> {
        let mut line = self.line();
        if ticket.is_none() && line.waiters.len() >= most {
            return Err(QueueFull);
        }
        let ticket = ticket.unwrap_or_else(|| {
            line.tickets += 1;
            line.tickets
        });
        let looked_at = match &wants {
            Wants::Any { generation, except } if except.is_empty() => {
                let before = std::mem::replace(&mut line.generation, *generation);
                self.for_any.load(SeqCst) > 0 && before == *generation
            }
            _ => false,
        };
        let (tell, told) = oneshot::channel();
        let at = line.waiters.partition_point(|w| w.ticket < ticket);
        let ahead = match &wants {
            Wants::Any { .. } => Ahead {
                for_server: 0,
                for_any: at as u64,
            },
            Wants::Server { server, .. } => Ahead {
                for_server: server.load.queued(),
                for_any: 0,
            },
        };
        let waiter = Waiter {
            ticket,
            wants,
            tell,
        };
        self.count(&waiter, 1);
        line.waiters.insert(at, waiter);
        drop(line);
        let waiting = Waiting {
            queue: self,
            ticket,
            ahead,
            told,
        };
        Ok((waiting, !looked_at))
    }

    /// Gives places of a server to those who can use them, as long as there are both.
    pub(super) fn offer(&self, server: &Arc<Server>) {
        let mut line = self.line();
        while let Some(at) = line.waiters.iter().position(|w| w.suits(server)) {
            let who = line.waiters[at].wants.who();
            if !server.count_session_for(who) {
                return;
            }
            let Some(waiter) = line.waiters.remove(at) else {
                return;
            };
            self.count(&waiter, -1);
            // Who has gone in this very moment leaves the place to the next.
            if let Err(Told::Room(granted)) =
                waiter.tell.send(Told::Room(Granted(Some(server.clone()))))
            {
                granted.give_back();
            }
        }
    }

    /// Lets those look again for whom what they wait for may be gone.
    pub(super) fn revise(&self) {
        let mut line = self.line();
        let mut at = 0;
        while let Some(waiter) = line.waiters.get(at) {
            if waiter.can_stay() {
                at += 1;
                continue;
            }
            if let Some(waiter) = line.waiters.remove(at) {
                self.count(&waiter, -1);
                let _ = waiter.tell.send(Told::LookAgain);
            }
        }
    }

    /// Counts a waiter that joins or leaves.
    fn count(&self, waiter: &Waiter, by: i64) {
        self.waiting.fetch_add(by as usize, SeqCst);
        match &waiter.wants {
            Wants::Any { except, .. } if except.is_empty() => {
                self.for_any.fetch_add(by as usize, SeqCst);
            }
            Wants::Any { .. } => {}
            Wants::Server { server, .. } => server.load.count_queued(by),
        }
    }

    fn leave(&self, ticket: u64) {
        let mut line = self.line();
        let at = line.waiters.partition_point(|w| w.ticket < ticket);
        if line.waiters.get(at).is_some_and(|w| w.ticket == ticket)
            && let Some(waiter) = line.waiters.remove(at)
        {
            self.count(&waiter, -1);
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wants {
    fn who(&self) -> Who {
        match self {
            Self::Any { .. } => Who::Anybody,
            Self::Server { who, .. } => *who,
        }
    }
}

impl Waiter {
    fn suits(&self, server: &Arc<Server>) -> bool {
        let wants = match &self.wants {
            Wants::Any { generation, except } => {
                server.load.share() > 0
                    && server.presence.has(*generation)
                    && !except.contains(&server.uid)
            }
            Wants::Server { server: wanted, .. } => Arc::ptr_eq(wanted, server),
        };
        wants && server.takes(self.wants.who())
    }

    /// Whether what it waits for is still to be had some time.
    fn can_stay(&self) -> bool {
        match &self.wants {
            Wants::Any { except, .. } => except.is_empty(),
            Wants::Server { server, who } => {
                server.takes(*who) && (*who == Who::Returning || server.load.share() > 0)
            }
        }
    }
}

impl Waiting<'_> {
    /// Waits to be told; without a bound.
    pub(crate) async fn told(mut self) -> Told {
        (&mut self.told).await.unwrap_or(Told::LookAgain)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queue.leave(self.ticket);
    }
}

impl Granted {
    pub(crate) fn server(&self) -> Option<&Arc<Server>> {
        self.0.as_ref()
    }

    /// Makes it a session of the calling thread, which ends it with [`Server::drop_session`].
    pub(crate) fn claim(mut self, thread: ThreadId) {
        if let Some(server) = self.0.take() {
            add(&server.tally(thread).sessions_total, 1);
        }
    }

    /// Uncounts it without a look at the queue, whose lock is held.
    fn give_back(mut self) {
        if let Some(server) = self.0.take() {
            server.uncount_session();
        }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(server) = &self.0 {
            server.drop_session();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use lb_proto::state::{Admin, Health};
    use proptest::prelude::*;

    use super::*;
    use crate::state::{Backend, Shared, Taken};

    fn config(servers: &[(&str, u32)], more: &str) -> String {
        let servers: String = servers
            .iter()
            .map(|(name, most)| {
                format!("{{ name = \"{name}\", address = \"127.0.0.1:1\", max_connections = {most} }},\n")
            })
            .collect();
        format!(
            "[frontend.web]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\
             [backend.app]\nhealth = false\n{more}\nservers = [\n{servers}]\n"
        )
    }

    const ANY: Wants = Wants::Any {
        generation: 1,
        except: Vec::new(),
    };

    fn room(waiting: &mut Waiting<'_>) -> Option<Arc<Server>> {
        match waiting.told.try_recv() {
            Ok(Told::Room(granted)) => {
                let server = granted.server().cloned();
                granted.claim(ThreadId(0));
                server
            }
            _ => None,
        }
    }

    fn looks_again(waiting: &mut Waiting<'_>) -> bool {
        matches!(waiting.told.try_recv(), Ok(Told::LookAgain))
    }

    fn take(server: &Arc<Server>) -> Taken {
        server.take_session(ThreadId(0), Who::Anybody)
    }

    fn alone(server: &Arc<Server>) -> Wants {
        Wants::Server {
            server: server.clone(),
            who: Who::Anybody,
        }
    }

    fn assert_nothing_left(backend: &Backend) {
        assert_eq!(backend.pool.queue.len(), 0);
        assert!(!backend.pool.queue.is_ahead_of_all());
        for server in &backend.servers {
            assert_eq!(server.sessions(), 0);
            assert!(server.load.has_room());
        }
    }

    proptest! {
        #[test]
        fn places_go_to_the_first_who_waits_and_nobody_waits_beside_one(
            most in 1u32..4,
            steps in prop::collection::vec((0..4u8, any::<prop::sample::Index>()), 1..120),
        ) {
            let shared = Shared::of(&config(&[("a", most), ("b", 1)], ""));
            let snapshot = shared.snapshot();
            let backend = &snapshot.backends[0];
            let room_of_all = u64::from(most) + 1;
            let mut line: VecDeque<Waiting<'_>> = VecDeque::new();
            let mut running: Vec<Arc<Server>> = Vec::new();
            for (step, which) in steps {
                match step {
                    0 | 1 => {
                        let free = backend.servers.iter().find(|server| server.load.has_room());
                        match free.filter(|_| !backend.pool.queue.is_ahead_of_all()) {
                            Some(server) => {
                                prop_assert_eq!(take(server), Taken::Yes);
                                running.push(server.clone());
                            }
                            None => line.push_back(backend.wait(None, ANY).unwrap()),
                        }
                    }
                    2 if !running.is_empty() => {
                        running.swap_remove(which.index(running.len())).drop_session();
                        // The first who waits has it, and nobody else has one.
                        if let Some(mut first) = line.pop_front() {
                            running.push(room(&mut first).expect("the first in line"));
                        }
                    }
                    3 if !line.is_empty() => drop(line.remove(which.index(line.len()))),
                    _ => {}
                }
                for waiting in &mut line {
                    prop_assert!(room(waiting).is_none());
                }
                prop_assert_eq!(backend.pool.queue.len(), line.len());
                prop_assert!(line.is_empty() || running.len() as u64 == room_of_all);
                prop_assert_eq!(backend.servers[1].sessions() <= 1, true);
            }
            drop(line);
            running.iter().for_each(Server::drop_session);
            assert_nothing_left(backend);
        }
    }

    #[test]
    fn a_place_that_was_left_before_anybody_waited_is_found_by_who_joins() {
        let shared = Shared::of(&config(&[("a", 1)], ""));
        let snapshot = shared.snapshot();
        let backend = &snapshot.backends[0];
        let a = &backend.servers[0];
        for wants in [ANY, alone(a)] {
            assert_eq!((take(a), take(a)), (Taken::Yes, Taken::Full));
            a.drop_session();
            let mut waiting = backend.wait(None, wants).unwrap();
            assert!(room(&mut waiting).is_some());
            a.drop_session();
        }
        assert_nothing_left(backend);
    }

    #[test]
    fn a_place_given_to_somebody_who_left_goes_on_to_the_next() {
        let shared = Shared::of(&config(&[("a", 1)], ""));
        let snapshot = shared.snapshot();
        let backend = &snapshot.backends[0];
        let a = &backend.servers[0];
        assert_eq!(take(a), Taken::Yes);
        let first = backend.wait(None, ANY).unwrap();
        let mut second = backend.wait(None, ANY).unwrap();
        a.drop_session();
        assert!(room(&mut second).is_none(), "it was not the first");
        // Given, and never taken.
        drop(first);
        assert!(room(&mut second).is_some());
        a.drop_session();
        drop(second);
        assert_nothing_left(backend);
    }

    #[test]
    fn who_waits_for_one_server_holds_up_nobody_else() {
        let shared = Shared::of(&config(&[("a", 1), ("b", 2)], ""));
        let snapshot = shared.snapshot();
        let backend = &snapshot.backends[0];
        let [a, b] = &backend.servers[..] else {
            panic!("two")
        };
        assert_eq!(take(a), Taken::Yes);
        let mut for_a = backend.wait(None, alone(a)).unwrap();
        assert!(!backend.pool.queue.is_ahead_of_all());
        assert!(!a.load.has_room() && b.load.has_room());
        assert_eq!(
            (take(b), take(b), take(b)),
            (Taken::Yes, Taken::Yes, Taken::Full)
        );
        let mut for_any = backend.wait(None, ANY).unwrap();
        b.drop_session();
        assert!(room(&mut for_a).is_none() && room(&mut for_any).is_some());
        let mut for_any = backend.wait(None, ANY).unwrap();
        a.drop_session();
        assert!(
            room(&mut for_any).is_none() && room(&mut for_a).is_some(),
            "who came first"
        );
        drop((for_a, for_any));
        [a, b, b].into_iter().for_each(Server::drop_session);
        assert_nothing_left(backend);
    }

    #[test]
    fn a_full_queue_takes_no_one_but_those_who_were_in_it() {
        let shared = Shared::of(&config(&[("a", 1)], "queue = { max = 1 }"));
        let snapshot = shared.snapshot();
        let backend = &snapshot.backends[0];
        assert_eq!(take(&backend.servers[0]), Taken::Yes);
        let first = backend.wait(None, ANY).unwrap();
        assert_eq!(backend.wait(None, ANY).err(), Some(QueueFull));
        let ticket = first.ticket;
        drop(first);
        let _second = backend.wait(None, ANY).unwrap();
        let mut again = backend.wait(Some(ticket), ANY).unwrap();
        backend.servers[0].drop_session();
        assert!(room(&mut again).is_some(), "it came before the second");
        backend.servers[0].drop_session();
    }

    #[test]
    fn more_room_and_servers_that_come_up_let_waiters_in() {
        let shared = Shared::of(&config(&[("a", 1), ("b", 1)], ""));
        shared.set_health(&shared.server("app/b"), Health::Down, "for a test");
        let snapshot = shared.snapshot();
        let backend = &snapshot.backends[0];
        let [a, b] = &backend.servers[..] else {
            panic!("two")
        };
        assert_eq!(take(a), Taken::Yes);
        let mut waiting = [(); 4].map(|()| backend.wait(None, ANY).unwrap());
        let mut who = || {
            waiting
                .each_mut()
                .map(|w| room(w).map(|s| s.id.server.to_string()))
        };
        let got = |name: &str| Some(name.to_owned());
        assert_eq!(who(), [None, None, None, None]);
        shared.set_health(b, Health::Up, "for a test");
        assert_eq!(who(), [got("b"), None, None, None]);
        // The new server is not known to those who came before the reload.
        shared.load(&config(&[("a", 3), ("b", 1), ("new", 9)], ""));
        assert_eq!(who(), [None, got("a"), got("a"), None]);
        shared.load(&config(&[("b", 1)], ""));
        a.drop_session();
        assert_eq!(
            who(),
            [None, None, None, got("a")],
            "removed, and still theirs"
        );
        drop(waiting);
        [a, a, a, b].into_iter().for_each(Server::drop_session);
        assert_nothing_left(backend);
    }

    #[test]
    fn who_waits_for_a_server_that_goes_looks_again_and_who_waits_for_any_stays() {
        let shared = Shared::of(&config(&[("a", 1), ("b", 1)], ""));
        let snapshot = shared.snapshot();
        let backend = &snapshot.backends[0];
        let [a, b] = &backend.servers[..] else {
            panic!("two")
        };
        assert_eq!((take(a), take(b)), (Taken::Yes, Taken::Yes));
        let returning = Wants::Server {
            server: a.clone(),
            who: Who::Returning,
        };
        let mut any = backend.wait(None, ANY).unwrap();
        let mut named = backend.wait(None, alone(a)).unwrap();
        let mut returning = backend.wait(None, returning).unwrap();
        shared.set_admin(a, Admin::Drain, "by a test");
        assert!(looks_again(&mut named) && !looks_again(&mut any));
        a.drop_session();
        assert!(room(&mut any).is_none(), "it drains");
        assert!(
            room(&mut returning).is_some(),
            "its client comes back by cookie"
        );
        let mut returning = backend
            .wait(
                None,
                Wants::Server {
                    server: a.clone(),
                    who: Who::Returning,
                },
            )
            .unwrap();
        shared.set_admin(a, Admin::Maint, "by a test");
        assert!(looks_again(&mut returning));
        shared.set_admin(b, Admin::Maint, "by a test");
        assert!(!looks_again(&mut any));
        drop((any, named, returning));
        [a, b].into_iter().for_each(Server::drop_session);
        assert_eq!(backend.pool.queue.len(), 0);
        assert_eq!((a.sessions(), b.sessions()), (0, 0));
    }
}
