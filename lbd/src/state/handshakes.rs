//! TLS handshakes in progress: no more than a bound, so that a storm of new clients does not take the
//! time of those that are connected. Others wait their turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::warn;

use super::{Limit, Permit};

/// Unless the configuration says otherwise, so many for each data thread. They are computed in line with
/// the requests of others, at some thousand a second, so that these wait for half a second at the very
/// most. With clients that are 200 ms away it still allows 2500 a second. Each takes some 12 KiB.
const FOR_EACH_THREAD: usize = 500;

/// What takes longer makes place for who waits: so many clients that begin and go no further are not to
/// keep everybody else out. As many RSA handshakes as the bound allows are computed in less.
const SLOW: Duration = Duration::from_secs(3);

/// From one line of the log to the next.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Handshakes {
    places: Limit,
    waiting: AtomicUsize,
    /// Somebody has begun to wait.
    crowd: Notify,
    /// When the log was last told that some do.
    told: Mutex<Option<Instant>>,
}

/// Counted while it waits, also if it is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handshakes {
    pub(super) fn new(configured: Option<u32>, threads: usize) -> Self {
        Self {
            places: Limit::new(most(configured, threads)),
            waiting: AtomicUsize::new(0),
            crowd: Notify::new(),
            told: Mutex::new(None),
        }
    }

    /// Sets a new bound; those in progress above it go on.
    pub(crate) fn resize(&self, configured: Option<u32>, threads: usize) {
        self.places.resize(most(configured, threads));
    }

    /// Waits for a place, which is held until what this gives is dropped.
    pub(crate) async fn begin(&self) -> Permit {
        if let Some(place) = self.places.try_acquire() {
            return place;
        }
        let _waiting = Waiting::begin(&self.waiting);
        self.crowd.notify_waiters();
        self.tell(Instant::now());
        self.places.acquire().await
    }

    /// Says so in the log, once in a while.
    fn tell(&self, now: Instant) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| now.duration_since(told) >= PAUSE) {
            *told = Some(now);
            let max_handshakes = self.most();
            warn!(
                max_handshakes,
                "so many TLS handshakes are in progress; new clients wait"
            );
        }
    }

    /// Until a handshake that begins now is slow and somebody waits for its place.
    pub(crate) async fn outstayed(&self) {
        sleep(SLOW).await;
        loop {
            // Subscribed before the look: who comes in between is not missed.
            let somebody_waits = self.crowd.notified();
            if self.waiting.load(Ordering::SeqCst) > 0 {
                return;
            }
            somebody_waits.await;
        }
    }

    /// In progress now.
    pub(crate) fn count(&self) -> usize {
        self.places.taken()
    }

    /// Clients that have begun and wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn most(&self) -> usize {
        self.places.most()
    }
}

fn most(configured: Option<u32>, threads: usize) -> usize {
    configured.map_or(FOR_EACH_THREAD * threads, |most| most as usize)
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn there_are_so_many_for_each_thread_unless_configured() {
        assert_eq!(Handshakes::new(None, 4).most(), 2000);
        let handshakes = Handshakes::new(Some(7), 4);
        assert_eq!(handshakes.most(), 7);
        handshakes.resize(None, 2);
        assert_eq!(handshakes.most(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_waits_for_a_place() {
        let handshakes = Handshakes::new(Some(1), 1);
        let place = handshakes.begin().await;
        assert!(timeout(SHORT, handshakes.begin()).await.is_err());
        assert_eq!((handshakes.count(), handshakes.waiting()), (1, 0));
        drop(place);
        assert!(timeout(SHORT, handshakes.begin()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_slow_one_makes_place_and_only_for_somebody() {
        let handshakes = Handshakes::new(Some(1), 1);
        let _place = handshakes.begin().await;
        let alone = timeout(10 * SLOW, handshakes.outstayed()).await;
        assert!(alone.is_err(), "nobody waits");
        let begun = Instant::now();
        let crowd = async {
            sleep(SLOW * 2).await;
            handshakes.begin().await
        };
        tokio::select! {
            () = handshakes.outstayed() => assert_eq!(begun.elapsed(), SLOW * 2),
            _ = crowd => panic!("there is no place"),
        }
        let begun = Instant::now();
        tokio::select! {
            () = handshakes.outstayed() => assert_eq!(begun.elapsed(), SLOW),
            _ = handshakes.begin() => panic!("there is no place"),
        }
    }
}
