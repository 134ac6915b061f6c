//! Who may log in: names and passwords against `[[admin.users]]`.
//!
//! A comparison costs a CPU for a while, and memory: two at a time, one at a time for each address, off the control
//! runtime, and none for whoever has failed too often or was let in a moment ago.

mod basic;
mod memory;
mod throttle;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lb_proto::config::User;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::warn;

use self::memory::Memory;
use self::throttle::{Key, Throttle, widest};

pub(super) use self::basic::{Claim, NoClaim};
pub(super) use self::throttle::network;

/// Each has a thread and some 19 MiB.
const AT_ONCE: usize = 2;

/// From one address: a browser asks for a page's parts over so many connections at once. More guess.
const MOST_WAITING: usize = 8;

/// How long those wait that are one too many.
const CROWDED: Duration = Duration::from_secs(1);

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLogin {
    Wrong,
    /// Too many tries; the next one counts after this.
    Wait(Duration),
}

pub(super) struct Logins {
    known: Mutex<Known>,
    comparisons: Arc<Semaphore>,
}

struct Known {
    throttle: Throttle,
    memory: Memory,
    /// Those that wait for their turn.
    queues: HashMap<Key, Arc<tokio::sync::Mutex<()>>>,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logins")
    }
}

impl Logins {
    pub(super) fn new() -> Self {
        Self {
            known: Mutex::new(Known {
                throttle: Throttle::default(),
                memory: Memory::new(),
                queues: HashMap::new(),
            }),
            comparisons: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The user whose name and password these are. Goes on to its end when the client is gone: a guess counts.
    ///
    /// # Errors
    /// Which of the two is wrong, is not told, nor by how long it takes.
    pub(super) async fn login(
        self: &Arc<Self>,
        claim: Claim,
        from: IpAddr,
        users: Vec<User>,
    ) -> Result<User, NoLogin> {
        let logins = self.clone();
        let comparing = tokio::spawn(async move { logins.compare(claim, from, &users).await });
        comparing.await.unwrap_or(Err(NoLogin::Wrong))
    }

    async fn compare(&self, claim: Claim, from: IpAddr, users: &[User]) -> Result<User, NoLogin> {
        let user = users.iter().find(|user| user.name == claim.name).cloned();
        if let Some(user) = self.remembered(&claim, user.as_ref()) {
            return Ok(user);
        }
        let queue = self.queue(from, &claim.name)?;
        let _turn = queue.lock().await;
        // Whoever had the turn before may have been the same one, or have failed once too often.
        if let Some(user) = self.remembered(&claim, user.as_ref()) {
            return Ok(user);
        }
        let wait = self
            .known()
            .throttle
            .wait(from, &claim.name, Instant::now());
        if let Some(wait) = wait {
            return Err(NoLogin::Wait(wait));
        }
        let permit = self.comparisons.clone().acquire_owned().await;
        let hash = compared(user.as_ref(), users).map(|user| user.password_hash.clone());
        let compare = move || {
            let _permit = permit;
            let fits = hash.is_some_and(|hash| hash.fits(&claim.password));
            (fits, claim)
        };
        let done = spawn_blocking(compare).await;
        let (fits, claim) = done.map_err(|_| NoLogin::Wrong)?;
        let mut known = self.known();
        match user.filter(|_| fits) {
            Some(user) => {
                known.throttle.succeeded(from, &claim.name);
                known.memory.remember(&claim, &user, Instant::now());
                Ok(user)
            }
            None => {
                known.throttle.failed(from, &claim.name, Instant::now());
                // What is no user's name may be a password.
                let user = users.iter().find(|user| user.name == claim.name);
                let user = user.map(|user| user.name.as_str());
                warn!(%from, user, "[admin] a login failed");
                Err(NoLogin::Wrong)
            }
        }
    }

    fn remembered(&self, claim: &Claim, user: Option<&User>) -> Option<User> {
        let known = self.known();
        let user = user.filter(|user| known.memory.knows(claim, user, Instant::now()));
        user.cloned()
    }

    /// Where those of an address wait for each other, or those of a name where everybody may have that address.
    fn queue(&self, from: IpAddr, name: &str) -> Result<Arc<tokio::sync::Mutex<()>>, NoLogin> {
        let mut known = self.known();
        known.queues.retain(|_, queue| Arc::strong_count(queue) > 1);
        let queue = known.queues.entry(widest(from, name)).or_default();
        match Arc::strong_count(queue) <= MOST_WAITING {
            true => Ok(queue.clone()),
            false => Err(NoLogin::Wait(CROWDED)),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that nobody has costs what the dearest does.
fn compared<'a>(user: Option<&'a User>, users: &'a [User]) -> Option<&'a User> {
    let dearest = || users.iter().max_by_key(|user| user.password_hash.cost());
    user.or_else(dearest)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use lb_proto::config::Role;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn at(host: u8) -> IpAddr {
        [192, 0, 2, host].into()
    }

    /// A wrong password, and it costs next to nothing to find that out.
    fn guess(logins: &Arc<Logins>) -> impl Future<Output = Result<User, NoLogin>> + use<> {
        let (logins, users) = (logins.clone(), vec![user("ops", "m=8,t=1,p=1")]);
        let claim = Claim {
            name: "ops".to_owned(),
            password: "guess".to_owned(),
        };
        async move { logins.login(claim, at(1), users).await }
    }

    #[tokio::test]
    async fn guesses_that_come_together_have_to_wait_as_those_one_after_the_other() {
        let logins = Arc::new(Logins::new());
        let answers = join_all((0..MOST_WAITING).map(|_| guess(&logins))).await;
        let counted = answers
            .iter()
            .filter(|answer| **answer == Err(NoLogin::Wrong));
        assert!(counted.count() < MOST_WAITING, "{answers:?}");
    }

    #[tokio::test]
    async fn a_guess_counts_though_nobody_waits_for_the_answer() {
        let logins = Arc::new(Logins::new());
        for _ in 0..MOST_WAITING {
            assert!(guess(&logins).now_or_never().is_none());
        }
        let counted = async {
            let waits = || logins.known().throttle.wait(at(1), "ops", Instant::now());
            while waits().is_none() {
                yield_now().await;
            }
        };
        timeout(LIMIT, counted).await.expect("they count");
    }

    #[test]
    fn few_wait_for_each_other_and_who_has_gone_leaves_nothing() {
        let logins = Logins::new();
        let held = [(); MOST_WAITING].map(|()| logins.queue(at(1), "ops").unwrap());
        let crowded = logins.queue(at(1), "eve").map(drop);
        assert_eq!(crowded, Err(NoLogin::Wait(CROWDED)));
        drop(held);
        for host in 0..=255 {
            logins.queue(at(host), "ops").unwrap();
        }
        assert_eq!(logins.known().queues.len(), 1);
    }

    fn user(name: &str, cost: &str) -> User {
        let hash = format!("$argon2id$v=19${cost}$c2FsdHNhbHRzYWx0$c29tZWhhc2hzb21laGFzaHNvbWU");
        User {
            name: name.to_owned(),
            password_hash: hash.parse().unwrap(),
            role: Role::Viewer,
        }
    }

    #[test]
    fn a_name_that_nobody_has_costs_what_the_dearest_does() {
        let users = [
            user("cheap", "m=8,t=1,p=1"),
            user("dear", "m=19456,t=3,p=1"),
            user("usual", "m=19456,t=2,p=1"),
        ];
        let compared = |user: Option<&User>| compared(user, &users).unwrap().name.clone();
        assert_eq!(compared(None), "dear");
        assert_eq!(compared(Some(&users[0])), "cheap");
    }
}
