//! Places for the clients of the control socket. Where all are taken, who has asked for nothing for the
//! longest gives way, so that somebody with a question always gets in. No clock: `now` is an argument.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Who was idle for less may be about to ask.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    by: BTreeMap<u64, Holder>,
}

#[derive(Debug)]
struct Holder {
    /// Absent while it is not to give way.
    idle_since: Option<Instant>,
    /// Dropped: the place is somebody else's.
    _stays: oneshot::Sender<()>,
}

/// A place, until it is dropped or given away.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    stays: oneshot::Receiver<()>,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            held: Mutex::default(),
        })
    }

    /// A place for a client that has asked for nothing yet, if there is one or somebody gives way.
    pub(super) fn take(self: &Arc<Self>, now: Instant) -> Option<Place> {
        let mut held = self.held();
        if held.by.len() >= self.most {
            let longest = held.longest_idle(now)?;
            held.by.remove(&longest);
        }
        let number = held.next;
        held.next += 1;
        let (sender, stays) = oneshot::channel();
        let holder = Holder {
            idle_since: Some(now),
            _stays: sender,
        };
        held.by.insert(number, holder);
        Some(Place {
            places: self.clone(),
            number,
            stays,
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn longest_idle(&self, now: Instant) -> Option<u64> {
        let idle = |holder: &Holder| holder.idle_since.filter(|since| now >= *since + IDLE);
        let all = self.by.iter();
        let idle = all.filter_map(|(number, holder)| Some((idle(holder)?, *number)));
        idle.min().map(|(_, number)| number)
    }
}

impl Place {
    /// From now on its holder asks for nothing; `None`: it does, or waits for something.
    pub(super) fn idle(&self, since: Option<Instant>) {
        if let Some(holder) = self.places.held().by.get_mut(&self.number) {
            holder.idle_since = since;
        }
    }

    /// Ends when the place is somebody else's.
    pub(super) async fn given_away(&mut self) {
        let _ = (&mut self.stays).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held().by.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_given_away(place: &mut Place) -> bool {
        place.stays.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_longest_idle_gives_way_and_nobody_who_is_busy() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let places = Places::new(3);
        let mut held: Vec<Place> = (0..3).map(|_| places.take(begun).unwrap()).collect();
        held[0].idle(None);
        held[1].idle(Some(at(2)));
        // Nobody was idle for long enough.
        held[2].idle(Some(at(1)));
        assert!(places.take(at(1)).is_none());
        let mut late = places.take(at(5)).unwrap();
        let gone: Vec<bool> = held.iter_mut().map(is_given_away).collect();
        assert_eq!(gone, [false, false, true]);
        late.idle(None);
        // What became of it is nothing to who had it.
        held[2].idle(None);
        drop(held.pop());
        assert!(places.take(at(2)).is_none());
        let latest = places.take(at(3)).unwrap();
        assert!(is_given_away(&mut held[1]) && !is_given_away(&mut late));
        latest.idle(None);
        assert!(places.take(at(1000)).is_none());
        drop(held.remove(0));
        assert!(places.take(at(3)).is_some());
    }
}
