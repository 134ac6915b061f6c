//! Who may log in: names and passwords against `[[admin.users]]`.
//!
//! A comparison costs a CPU for a while, and memory: two at a time, one at a time for each address, off the control
//! runtime, and none for what was compared before, or for whoever comes while a name has to wait.

mod basic;
mod memory;
mod throttle;
mod turns;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lb_proto::config::User;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::warn;

use self::memory::{Memory, Recalled, Tag};
use self::throttle::{Key, Throttle, widest};
use self::turns::Turns;

pub(super) use self::basic::{Claim, NoClaim};
pub(super) use self::throttle::network;

/// Each has a thread and some 19 MiB.
const AT_ONCE: usize = 2;

/// From one address: a browser asks for a page's parts over so many connections at once. More guess.
const MOST_WAITING: usize = 8;

/// How long those wait that are one too many.
const CROWDED: Duration = Duration::from_secs(1);

/// How soon those come again whose turn it is not.
const NOT_NEXT: Duration = Duration::from_secs(4);

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
    memory: Memory,
    throttle: Throttle,
    turns: Turns,
    /// Those that are about to be compared.
    queues: HashMap<Key, Arc<tokio::sync::Mutex<()>>>,
}

/// A claim, but for its password.
struct Tried {
    name: String,
    from: IpAddr,
    /// `None`: it is not remembered, and has no turn.
    tag: Option<Tag>,
    /// Somebody has this name: what is nobody's may be a password.
    is_users: bool,
}

impl Known {
    /// What one who has just come is told without a comparison.
    fn hears(&mut self, tried: &Tried, now: Instant) -> Option<Result<(), NoLogin>> {
        if let Some(recalled) = self.recalls(tried, now) {
            return Some(recalled);
        }
        let paced = self.throttle.paced(tried.from, &tried.name, now);
        if let (Some(tag), Some(paced)) = (&tried.tag, paced) {
            self.turns.came(tag, &paced.line, now);
        }
        self.says(tried, now)
    }

    fn says(&mut self, tried: &Tried, now: Instant) -> Option<Result<(), NoLogin>> {
        if let Some(recalled) = self.recalls(tried, now) {
            return Some(recalled);
        }
        let paced = self.throttle.paced(tried.from, &tried.name, now)?;
        if !paced.left.is_zero() {
            return Some(Err(NoLogin::Wait(paced.left)));
        }
        let tag = tried.tag.as_ref()?;
        let is_next = self.turns.is_next(tag, &paced.line, now);
        (!is_next).then_some(Err(NoLogin::Wait(NOT_NEXT)))
    }

    fn recalls(&mut self, tried: &Tried, now: Instant) -> Option<Result<(), NoLogin>> {
        match self.memory.recall(tried.tag.as_ref()?, now)? {
            Recalled::Good => Some(Ok(())),
            Recalled::Wrong { tell } => {
                if tell {
                    tried.warn("[admin] a login fails again and again, with the same password");
                }
                Some(Err(NoLogin::Wrong))
            }
        }
    }

    fn compared(&mut self, tried: &Tried, fits: bool, now: Instant) {
        if let Some(tag) = tried.tag {
            self.turns.done(&tag);
            self.memory.remember(tag, fits, now);
        }
        match fits {
            true => self.throttle.succeeded(tried.from, &tried.name),
            false => {
                self.throttle.failed(tried.from, &tried.name, now);
                tried.warn("[admin] a login failed");
            }
        }
    }
}

impl Tried {
    fn warn(&self, what: &str) {
        let user = self.is_users.then_some(self.name.as_str());
        warn!(from = %self.from, user, "{what}");
    }
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
                memory: Memory::new(),
                throttle: Throttle::default(),
                turns: Turns::default(),
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
        let user = users.iter().find(|user| user.name == claim.name);
        let compared = compared(user, users);
        let tried = Tried {
            name: claim.name.clone(),
            from,
            tag: self.known().memory.tag(&claim, user, compared),
            is_users: user.is_some(),
        };
        let them = || user.cloned().ok_or(NoLogin::Wrong);
        let said = self.known().hears(&tried, Instant::now());
        if let Some(said) = said {
            return said.and_then(|()| them());
        }
        let queue = self.queue(from, &tried.name)?;
        let _turn = queue.lock().await;
        // Whoever had the turn before may have been the same one, or have failed once too often.
        let said = self.known().says(&tried, Instant::now());
        if let Some(said) = said {
            return said.and_then(|()| them());
        }
        let permit = self.comparisons.clone().acquire_owned().await;
        let hash = compared.map(|user| user.password_hash.clone());
        let compare = move || {
            let _permit = permit;
            hash.is_some_and(|hash| hash.fits(&claim.password))
        };
        let fits = spawn_blocking(compare).await;
        let fits = fits.map_err(|_| NoLogin::Wrong)? && tried.is_users;
        self.known().compared(&tried, fits, Instant::now());
        match fits {
            true => them(),
            false => Err(NoLogin::Wrong),
        }
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
    fn guess(
        n: usize,
        logins: &Arc<Logins>,
    ) -> impl Future<Output = Result<User, NoLogin>> + use<> {
        let (logins, users) = (logins.clone(), vec![user("ops", "m=8,t=1,p=1")]);
        let claim = Claim {
            name: "ops".to_owned(),
            password: n.to_string(),
        };
        async move { logins.login(claim, at(1), users).await }
    }

    #[tokio::test]
    async fn guesses_that_come_together_have_to_wait_as_those_one_after_the_other() {
        let logins = Arc::new(Logins::new());
        let answers = join_all((0..MOST_WAITING).map(|n| guess(n, &logins))).await;
        let counted = answers
            .iter()
            .filter(|answer| **answer == Err(NoLogin::Wrong));
        assert!(counted.count() < MOST_WAITING, "{answers:?}");
    }

    #[tokio::test]
    async fn a_guess_counts_though_nobody_waits_for_the_answer() {
        let logins = Arc::new(Logins::new());
        for n in 0..MOST_WAITING {
            assert!(guess(n, &logins).now_or_never().is_none());
        }
        let counted = async {
            let paced = || logins.known().throttle.paced(at(1), "ops", Instant::now());
            while paced().is_none() {
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

    const SECOND: Duration = Duration::from_secs(1);

    fn known() -> Known {
        Known {
            memory: Memory::new(),
            throttle: Throttle::default(),
            turns: Turns::default(),
            queues: HashMap::new(),
        }
    }

    /// Whether this claim of somebody on this machine is let in, and whether it took a comparison.
    fn tries(known: &mut Known, password: u16, now: Instant) -> (Result<(), NoLogin>, bool) {
        let mut tag = Tag::default();
        tag[..2].copy_from_slice(&password.to_be_bytes());
        let tried = Tried {
            name: "ops".to_owned(),
            from: [127, 0, 0, 1].into(),
            tag: Some(tag),
            is_users: true,
        };
        if let Some(said) = known.hears(&tried, now) {
            return (said, false);
        }
        let fits = password == RIGHT;
        known.compared(&tried, fits, now);
        (fits.then_some(()).ok_or(NoLogin::Wrong), true)
    }

    const RIGHT: u16 = u16::MAX;

    #[test]
    fn an_old_password_that_comes_again_keeps_nobody_out() {
        let (mut known, start) = (known(), Instant::now());
        for second in 0..3600 {
            let now = start + second * SECOND;
            assert_eq!(
                tries(&mut known, 1, now),
                (Err(NoLogin::Wrong), second == 0)
            );
        }
        assert_eq!(tries(&mut known, RIGHT, start + 3600 * SECOND).0, Ok(()));
    }

    #[test]
    fn who_was_let_in_and_comes_again_is_let_in_whoever_guesses_beside() {
        let (mut known, start) = (known(), Instant::now());
        assert_eq!(tries(&mut known, RIGHT, start).0, Ok(()));
        for second in 0..10_000 {
            let now = start + second * 30 * SECOND;
            let _ = tries(&mut known, (second % 5000) as u16, now);
            assert_eq!(tries(&mut known, RIGHT, now), (Ok(()), false), "{second}");
        }
    }

    /// Guesses come ten times a second, each `times` times, and the right one at this pace, or when it is told to.
    fn let_in_after(times: u16, pace: Option<u64>) -> u64 {
        let (mut known, start) = (known(), Instant::now());
        let (mut guess, mut compared, mut due) = (0, 0, 120_000);
        for ms in (0..3_600_000).step_by(100) {
            let now = start + Duration::from_millis(ms);
            compared += u32::from(tries(&mut known, guess / times, now).1);
            guess += 1;
            if ms < due {
                continue;
            }
            match tries(&mut known, RIGHT, now).0 {
                Ok(()) => {
                    assert!(compared < 15, "{compared} guesses counted");
                    return ms / 1000 - 120;
                }
                Err(NoLogin::Wait(wait)) => {
                    due = ms + 1000 * pace.unwrap_or(wait.as_secs() + 1);
                }
                Err(NoLogin::Wrong) => panic!("it is right"),
            }
        }
        panic!("it is kept out");
    }

    #[test]
    fn whoever_knows_the_password_gets_in_beside_a_guesser() {
        for pace in [Some(1), Some(3), Some(50), None] {
            let once = let_in_after(1, pace);
            assert!(once <= 130, "{once} s at {pace:?}");
            let again = let_in_after(20, pace);
            assert!(again <= 220, "{again} s at {pace:?}");
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
