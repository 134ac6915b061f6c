//! The last five minutes of every server and frontend: what the dashboard draws, and computes rates of.
//!
//! A sample every few seconds while `[admin]` is served. Bounded: about 1 KiB for each server. Reads the tallies
//! and takes no lock that requests take.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lb_proto::name::{FrontendName, ServerId};
use tokio::time::{MissedTickBehavior, interval};

use super::Site;
use crate::state::{ByClass, Frontend, Histogram, Server, Snapshot};

/// Between two samples.
const EVERY: Duration = Duration::from_secs(5);

/// Levels that are kept: five minutes of them.
pub(super) const LEVELS: usize = 60;

/// Counters that are kept: rates are those of the last minute.
const COUNTS: usize = 13;

const BUCKETS: usize = Histogram::BOUNDS.len() + 1;

const ANSWERED_BADLY: usize = ByClass::NAMES.len() - 1;

/// Counters at one moment. They wrap, and so do the differences that are taken of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    begun: u32,
    failed: u32,
    times: [u32; BUCKETS],
}

impl Counts {
    #[expect(clippy::cast_possible_truncation, reason = "they wrap")]
    fn of_server(server: &Server) -> Self {
        let errors = server.errors();
        let answers = server.tallies.sum(|t| t.responses.of(ANSWERED_BADLY));
        Self {
            begun: server.sessions_total() as u32,
            failed: errors
                .connect
                .wrapping_add(errors.response)
                .wrapping_add(answers) as u32,
            times: std::array::from_fn(|at| server.tallies.sum(|t| t.times.bucket(at)) as u32),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "they wrap")]
    fn of_frontend(frontend: &Frontend) -> Self {
        let tallies = &frontend.record.tallies;
        Self {
            begun: tallies.sum(|t| &t.requests_total) as u32,
            failed: tallies.sum(|t| t.responses.of(ANSWERED_BADLY)) as u32,
            times: [0; BUCKETS],
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            begun: self.begun.wrapping_sub(before.begun),
            failed: self.failed.wrapping_sub(before.failed),
            times: std::array::from_fn(|at| self.times[at].wrapping_sub(before.times[at])),
        }
    }
}

/// What is kept of one server or frontend.
#[derive(Debug)]
struct Track {
    /// A record of the same name that came later has another.
    uid: u64,
    levels: VecDeque<u32>,
    counts: VecDeque<Counts>,
}

impl Track {
    fn new(uid: u64) -> Self {
        Self {
            uid,
            levels: VecDeque::with_capacity(LEVELS),
            counts: VecDeque::with_capacity(COUNTS),
        }
    }

    fn push(&mut self, level: u64, counts: Counts) {
        if self.levels.len() == LEVELS {
            self.levels.pop_front();
        }
        self.levels
            .push_back(u32::try_from(level).unwrap_or(u32::MAX));
        if self.counts.len() == COUNTS {
            self.counts.pop_front();
        }
        self.counts.push_back(counts);
    }

    /// `times` are when the last samples of all tracks were taken.
    fn recent(&self, times: &VecDeque<Instant>) -> Recent {
        let levels = self.levels.iter().copied().collect();
        let (Some(last), Some(first)) = (self.counts.back(), self.counts.front()) else {
            return Recent::default();
        };
        let mut taken = times.iter().rev().take(self.counts.len());
        let (Some(now), Some(then)) = (taken.clone().next(), taken.next_back()) else {
            return Recent::default();
        };
        let over = now.saturating_duration_since(*then);
        if over.is_zero() {
            return Recent {
                levels,
                ..Recent::default()
            };
        }
        let counts = last.since(first);
        Recent {
            levels,
            rate: Some(f64::from(counts.begun) / over.as_secs_f64()),
            begun: counts.begun,
            failed: counts.failed,
            times: quantiles(&counts.times),
        }
    }
}

/// How something went lately.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Recent {
    /// Sessions, or connections, of the last five minutes; oldest first.
    pub(super) levels: Vec<u32>,
    /// Requests a second over the last minute, or as long as it is known.
    pub(super) rate: Option<f64>,
    /// How many that were.
    pub(super) begun: u32,
    /// How many failed meanwhile.
    pub(super) failed: u32,
    /// Half, 95 and 99 of a hundred responses took so long at most; `None`: there was none.
    pub(super) times: Option<[Quantile; 3]>,
}

/// A time that is known as well as its bucket is narrow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Quantile {
    /// Within the first bound.
    Under(Duration),
    About(Duration),
    /// Above the last bound.
    Over(Duration),
}

fn quantiles(times: &[u32; BUCKETS]) -> Option<[Quantile; 3]> {
    let all: u64 = times.iter().map(|count| u64::from(*count)).sum();
    (all > 0).then(|| [0.5, 0.95, 0.99].map(|share| quantile(times, all as f64 * share)))
}

/// Where the response of this rank is, as if those of a bucket were spread evenly over it.
fn quantile(times: &[u32; BUCKETS], rank: f64) -> Quantile {
    let bounds = Histogram::BOUNDS.map(Duration::from_micros);
    let mut below = 0.0;
    for (at, (bound, count)) in bounds.into_iter().zip(times).enumerate() {
        let count = f64::from(*count);
        if below + count < rank || count == 0.0 {
            below += count;
            continue;
        }
        let Some(from) = at.checked_sub(1).map(|before| bounds[before]) else {
            return Quantile::Under(bound);
        };
        return Quantile::About(from + (bound - from).mul_f64((rank - below) / count));
    }
    Quantile::Over(bounds[bounds.len() - 1])
}

/// Takes samples until it is dropped.
pub(super) async fn run(site: &Site) {
    let mut samples = interval(EVERY);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        samples.tick().await;
        let snapshot = site.shared.snapshot();
        site.history.sample(&snapshot, Instant::now());
    }
}

/// Control plane only.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Tracks>);

#[derive(Debug, Default)]
struct Tracks {
    times: VecDeque<Instant>,
    servers: HashMap<ServerId, Track>,
    frontends: HashMap<FrontendName, Track>,
}

impl History {
    /// Takes a sample of everything, and forgets what is no more.
    fn sample(&self, snapshot: &Snapshot, now: Instant) {
        let mut tracks = self.lock();
        if tracks.times.len() == COUNTS {
            tracks.times.pop_front();
        }
        tracks.times.push_back(now);
        let Tracks {
            servers, frontends, ..
        } = &mut *tracks;
        servers.retain(|id, track| {
            let backend = snapshot.backend(&id.backend);
            let server = backend.and_then(|backend| backend.server(&id.server));
            server.is_some_and(|server| server.uid == track.uid)
        });
        frontends.retain(|name, _| snapshot.frontend(name).is_some());
        for server in snapshot.backends.iter().flat_map(|b| &b.servers) {
            if !servers.contains_key(&server.id) {
                servers.insert(server.id.clone(), Track::new(server.uid));
            }
            if let Some(track) = servers.get_mut(&server.id) {
                track.push(server.sessions(), Counts::of_server(server));
            }
        }
        for frontend in &snapshot.frontends {
            let name = frontend.config.name.clone();
            let connections = frontend.record.connections();
            let track = frontends.entry(name).or_insert_with(|| Track::new(0));
            track.push(connections, Counts::of_frontend(frontend));
        }
    }

    /// Of everything, for as long as it is held; samples wait meanwhile.
    pub(super) fn read(&self) -> Reading<'_> {
        Reading(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Tracks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`History::read`].
#[derive(Debug)]
pub(super) struct Reading<'a>(MutexGuard<'a, Tracks>);

impl Reading<'_> {
    pub(super) fn server(&self, id: &ServerId) -> Recent {
        let track = self.0.servers.get(id);
        track.map_or_else(Recent::default, |track| track.recent(&self.0.times))
    }

    pub(super) fn frontend(&self, name: &FrontendName) -> Recent {
        let track = self.0.frontends.get(name);
        track.map_or_else(Recent::default, |track| track.recent(&self.0.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(begun: u32, failed: u32, times: &[(usize, u32)]) -> Counts {
        let mut counts = Counts {
            begun,
            failed,
            ..Counts::default()
        };
        for (at, count) in times {
            counts.times[*at] = *count;
        }
        counts
    }

    #[test]
    fn rates_are_those_of_the_last_minute_and_counters_may_wrap() {
        let start = Instant::now();
        let mut track = Track::new(1);
        let mut times = VecDeque::new();
        for n in 0..100u32 {
            if times.len() == COUNTS {
                times.pop_front();
            }
            times.push_back(start + EVERY * n);
            let begun = (u32::MAX - 2_000).wrapping_add(n * 50);
            track.push(u64::from(n), counts(begun, n * 5, &[]));
        }
        let recent = track.recent(&times);
        assert_eq!(recent.rate, Some(10.0));
        assert_eq!((recent.begun, recent.failed, recent.times), (600, 60, None));
        assert_eq!(
            recent.levels,
            (100 - LEVELS as u32..100).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_server_that_came_later_has_the_time_since_then() {
        let start = Instant::now();
        let times: VecDeque<_> = (0..10).map(|n| start + EVERY * n).collect();
        let mut track = Track::new(1);
        track.push(0, counts(100, 0, &[]));
        assert_eq!(track.recent(&times).rate, None);
        track.push(0, counts(120, 0, &[]));
        assert_eq!(track.recent(&times).rate, Some(4.0));
        assert_eq!(Track::new(1).recent(&times), Recent::default());
    }

    #[test]
    fn a_quantile_is_as_exact_as_its_bucket() {
        let ms = Duration::from_millis;
        let of = |times: &[(usize, u32)]| quantiles(&counts(0, 0, times).times).unwrap();
        assert_eq!(of(&[(0, 10)]), [Quantile::Under(ms(1)); 3]);
        assert_eq!(of(&[(BUCKETS - 1, 1)]), [Quantile::Over(ms(10_000)); 3]);
        // Ninety under 1 ms, ten between 100 and 250 ms: of these the fifth and the ninth.
        let [half, most, nearly_all] = of(&[(0, 90), (7, 10)]);
        assert_eq!(half, Quantile::Under(ms(1)));
        assert_eq!(most, Quantile::About(ms(175)));
        assert_eq!(nearly_all, Quantile::About(ms(235)));
        assert_eq!(quantiles(&[0; BUCKETS]), None);
    }
}
