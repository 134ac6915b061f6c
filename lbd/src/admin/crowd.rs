//! Places for connections to `[admin]`, and who gives his up where others wait: of the address that has most, whoever
//! had his last answer longest ago, so that a newcomer is answered whatever the others do.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::due::Due;
use super::login::network;

/// A few browsers, a few Prometheus servers and whoever asks for `/healthz`: more wait until one closes.
const MOST_CONNECTIONS: usize = 64;

/// What a connection has at least, to be answered in.
const GRACE: Duration = Duration::from_millis(50);

/// Who has most gives way before who has few, if he does so within this.
pub(super) const SOON: Duration = Duration::from_millis(100);

/// The log tells of a crowd so often.
const TOLD: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Crowd {
    room: Arc<Semaphore>,
    here: Mutex<Here>,
}

#[derive(Debug, Default)]
struct Here {
    members: HashMap<u64, Member>,
    last: u64,
    told: Option<Instant>,
}

#[derive(Debug)]
struct Member {
    network: IpAddr,
    since: Instant,
    due: watch::Receiver<Due>,
    leave: watch::Sender<bool>,
}

/// A connection's, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) due: watch::Sender<Due>,
    leave: watch::Receiver<bool>,
    crowd: Arc<Crowd>,
    id: u64,
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            room: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            here: Mutex::default(),
        })
    }

    /// A place for one more; `due` is when its first head has to be there. `None`: never again.
    pub(super) async fn place(self: &Arc<Self>, from: IpAddr, due: Duration) -> Option<Place> {
        let permit = loop {
            match self.room.clone().try_acquire_owned() {
                Ok(permit) => break permit,
                Err(_) => self.here().make_room(Instant::now()),
            }
            match timeout(GRACE, self.room.clone().acquire_owned()).await {
                Ok(permit) => break permit.ok()?,
                Err(_) => continue,
            }
        };
        let (due, until) = watch::channel(Due::from_client(due));
        let (leave, leaves) = watch::channel(false);
        let mut here = self.here();
        here.last += 1;
        let id = here.last;
        let member = Member {
            network: network(from),
            since: Instant::now(),
            due: until,
            leave,
        };
        here.members.insert(id, member);
        drop(here);
        Some(Place {
            due,
            leave: leaves,
            crowd: self.clone(),
            id,
            _permit: permit,
        })
    }

    fn here(&self) -> MutexGuard<'_, Here> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Here {
    /// Tells one to go, if any may.
    fn make_room(&mut self, now: Instant) {
        let mut crowds = HashMap::<IpAddr, usize>::new();
        for member in self.members.values() {
            *crowds.entry(member.network).or_default() += 1;
        }
        let may_go = |member: &Member, now: Instant| {
            let crowded = member.due.borrow().crowded;
            !*member.leave.borrow() && crowded <= now && member.since + GRACE <= now
        };
        let soon = self.members.values().filter(|m| may_go(m, now + SOON));
        let first = soon.max_by_key(|member| {
            let silent = now.saturating_duration_since(member.due.borrow().crowded);
            (crowds.get(&member.network).copied(), silent)
        });
        let Some(member) = first.filter(|member| may_go(member, now)) else {
            return;
        };
        member.leave.send_replace(true);
        if self.told.is_none_or(|told| told + TOLD <= now) {
            self.told = Some(now);
            let (most, address) = (MOST_CONNECTIONS, member.network);
            warn!(%address, "[admin] has as many connections as may be, {most}: those that had their answer give way");
        }
    }
}

impl Place {
    /// Until somebody else is to have it. Whoever asks for something meanwhile keeps it.
    pub(super) async fn given_up(&mut self) {
        while self.leave.wait_for(|leave| *leave).await.is_ok() {
            if self.due.borrow().crowded <= Instant::now() {
                return;
            }
            let here = self.crowd.here();
            if let Some(member) = here.members.get(&self.id) {
                member.leave.send_replace(false);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.here().members.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    const HEAD: Duration = Duration::from_secs(5);

    fn at(host: u8) -> IpAddr {
        [192, 0, 2, host].into()
    }

    async fn full(crowd: &Arc<Crowd>, from: impl Fn(usize) -> IpAddr) -> Vec<Place> {
        let mut places = Vec::new();
        for n in 0..MOST_CONNECTIONS {
            places.push(crowd.place(from(n), HEAD).await.unwrap());
            advance(Duration::from_millis(1)).await;
        }
        places
    }

    fn leaving(places: &[Place]) -> Vec<usize> {
        let leaving = places.iter().enumerate();
        let leaving = leaving.filter(|(_, place)| *place.leave.borrow());
        leaving.map(|(n, _)| n).collect()
    }

    /// Waits for a place in vain for a while.
    async fn knock(crowd: &Arc<Crowd>, from: IpAddr) {
        let waited = timeout(GRACE / 2, crowd.place(from, HEAD)).await;
        assert!(waited.is_err(), "there was room");
    }

    #[tokio::test(start_paused = true)]
    async fn whose_last_answer_is_the_oldest_gives_way_however_often_he_asks() {
        let crowd = Crowd::new();
        let places = full(&crowd, |_| at(1)).await;
        sleep(GRACE).await;
        for place in &places[..9] {
            place.due.send_replace(Due::from_client(HEAD));
        }
        for place in &places[9..] {
            advance(Duration::from_millis(1)).await;
            place.due.send_replace(Due::from_client(HEAD));
        }
        places[0].due.send_replace(Due::from_us(HEAD));
        places[1].due.send_replace(Due::from_reader(HEAD));
        for place in &places[2..9] {
            place.due.send_replace(Due::from_client(HEAD));
        }
        knock(&crowd, at(1)).await;
        assert_eq!(leaving(&places), [9]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_many_gives_way_before_who_has_one() {
        let crowd = Crowd::new();
        let places = full(&crowd, |n| if n < 3 { at(n as u8) } else { at(9) }).await;
        sleep(GRACE).await;
        knock(&crowd, at(8)).await;
        assert_eq!(leaving(&places), [3]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_one_stays_though_the_many_have_only_just_come() {
        let crowd = Crowd::new();
        let places = full(&crowd, |n| if n == 0 { at(1) } else { at(9) }).await;
        sleep(GRACE).await;
        let later = Due::from_slow(HEAD, SOON / 2);
        for place in &places[1..] {
            place.due.send_replace(later);
        }
        knock(&crowd, at(9)).await;
        assert_eq!(leaving(&places), [0; 0]);
        sleep(SOON / 2).await;
        knock(&crowd, at(9)).await;
        assert_eq!(leaving(&places).len(), 1);
        assert!(!leaving(&places).contains(&0));
        // Who takes long is not waited for.
        for place in &places[1..] {
            place.due.send_replace(Due::from_reader(HEAD));
        }
        knock(&crowd, at(9)).await;
        assert!(leaving(&places).contains(&0));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_gets_the_place_of_who_goes() {
        let crowd = Crowd::new();
        let places = full(&crowd, |_| at(1)).await;
        for mut place in places {
            tokio::spawn(async move { place.given_up().await });
        }
        for _ in 0..200 {
            let place = crowd.place(at(1), HEAD);
            let mut place = timeout(HEAD, place).await.expect("a place").unwrap();
            tokio::spawn(async move { place.given_up().await });
        }
        assert!(crowd.here().members.len() <= MOST_CONNECTIONS);
    }
}
