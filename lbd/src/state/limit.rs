//! How many connections may be open at once, resizable while they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bound on connections. Whoever holds a [`Permit`] counts against it until it is dropped.
#[derive(Debug)]
pub(crate) struct Limit {
    free: Arc<Semaphore>,
    /// The bound itself. Only the control plane writes it.
    most: AtomicUsize,
    /// Permits that a shrink still has to take back from connections that are open.
    owed: Arc<AtomicUsize>,
}

/// A place within a [`Limit`].
#[derive(Debug)]
pub(crate) struct Permit {
    place: Option<OwnedSemaphorePermit>,
    owed: Arc<AtomicUsize>,
}

impl Limit {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(most)),
            most: AtomicUsize::new(most),
            owed: Arc::default(),
        }
    }

    /// Waits for a place.
    pub(crate) async fn acquire(&self) -> Permit {
        let place = self.free.clone().acquire_owned().await.ok();
        Permit {
            place,
            owed: self.owed.clone(),
        }
    }

    /// A place, if there is one.
    pub(super) fn try_acquire(&self) -> Option<Permit> {
        let place = self.free.clone().try_acquire_owned().ok()?;
        Some(Permit {
            place: Some(place),
            owed: self.owed.clone(),
        })
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// Places that are taken, those above a bound that shrank included.
    pub(crate) fn taken(&self) -> usize {
        let within = self.most().saturating_sub(self.free.available_permits());
        within + self.owed.load(Ordering::Relaxed)
    }

    /// Sets a new bound. Connections above it stay open; their places are not given out again.
    pub(crate) fn resize(&self, most: usize) {
        let most = most.min(Semaphore::MAX_PERMITS);
        let before = self.most.swap(most, Ordering::Relaxed);
        if most < before {
            let excess = before - most;
            let taken = self.free.forget_permits(excess);
            self.owed.fetch_add(excess - taken, Ordering::Relaxed);
        } else {
            let mut grow = most - before;
            while grow > 0 && take_one(&self.owed) {
                grow -= 1;
            }
            self.free.add_permits(grow);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if take_one(&self.owed)
            && let Some(place) = self.place.take()
        {
            place.forget();
        }
    }
}

/// Takes one off the debt, if there is any.
fn take_one(owed: &AtomicUsize) -> bool {
    owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(limit: &Limit) -> usize {
        limit.free.available_permits()
    }

    #[tokio::test]
    async fn shrinking_below_what_is_open_takes_places_back_as_they_close() {
        let limit = Limit::new(3);
        let open = [
            limit.acquire().await,
            limit.acquire().await,
            limit.acquire().await,
        ];
        limit.resize(1);
        assert_eq!(limit.taken(), 3);
        let [a, b, c] = open;
        drop(a);
        drop(b);
        assert_eq!((free(&limit), limit.taken()), (0, 1));
        drop(c);
        assert_eq!((free(&limit), limit.taken()), (1, 0));
    }

    #[tokio::test]
    async fn growing_pays_the_debt_of_a_shrink_first() {
        let limit = Limit::new(2);
        let open = [limit.acquire().await, limit.acquire().await];
        limit.resize(1);
        limit.resize(3);
        assert_eq!(free(&limit), 1);
        drop(open);
        assert_eq!(free(&limit), 3);
    }
}
