//! How often a client may ask, for the process as a whole: no lock, and a fixed amount of memory
//! however many clients come.
//!
//! Each client has a time at which its allowance is whole again (the "theoretical arrival time" of
//! the generic cell rate algorithm, ITU-T I.371). A request moves it on by `per / requests`, and is
//! refused where that would lead further ahead than `per`. The times stand in a table of atomics;
//! where a client finds its row full, it takes the place of the one that has used least, so an
//! attack from millions of addresses forgets the polite, never the greedy.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lb_proto::config::RateLimit;

/// Clients with something on their account that are remembered at once: 1 MiB.
const CLIENTS: usize = 128 * 1024;

/// A row of the table is a cache line: a look costs one miss.
const ROW: usize = 8;

/// Of an entry: the higher bits tell clients of one row apart, the lower are the time. Nobody can
/// choose an address that shares an entry, for the hash is keyed by chance.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// How many units `per` has at most. The time wraps around after 256 times that, and one that lies
/// further ahead than `per` is an old one seen after that.
const FINEST: u128 = 1 << 32;

/// A unit of time is a microsecond, or more where `per` is long.
const LEAST_UNIT_NANOS: u128 = 1_000;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Row([AtomicU64; ROW]);

#[derive(Debug)]
pub(crate) struct Rate {
    rows: Box<[Row]>,
    hasher: RandomState,
    start: Instant,
    unit_nanos: u128,
    /// What a request costs, in units.
    cost: u64,
    /// How far ahead a client may be, in units.
    allowance: u64,
}

/// The client asked too often; it may ask again after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooOften(pub(crate) Duration);

impl Rate {
    pub(crate) fn new(limit: RateLimit, now: Instant) -> Self {
        Self::with(CLIENTS / ROW, limit, now)
    }

    /// `rows` is a power of two.
    fn with(rows: usize, limit: RateLimit, now: Instant) -> Self {
        let unit_nanos = (limit.per.as_nanos() / FINEST).max(LEAST_UNIT_NANOS);
        let requests = u64::from(limit.requests);
        let cost = ((limit.per.as_nanos() / unit_nanos) as u64 / requests).max(1);
        Self {
            rows: (0..rows).map(|_| Row::default()).collect(),
            hasher: RandomState::new(),
            start: now,
            unit_nanos,
            cost,
            allowance: cost * requests,
        }
    }

    /// Takes one request off a client's allowance. `client` must be canonical.
    pub(crate) fn take(&self, client: IpAddr, now: Instant) -> Result<(), TooOften> {
        let elapsed = now.saturating_duration_since(self.start).as_nanos() / self.unit_nanos;
        let now = elapsed as u64 & TIME;
        let hash = self.hasher.hash_one(key(client));
        let row = &self.rows[hash as usize & (self.rows.len() - 1)].0;
        let tag = hash >> TIME_BITS;
        loop {
            let (slot, seen) = find(row, tag, |time| self.ahead(time, now));
            let ahead = match seen >> TIME_BITS == tag {
                true => self.ahead(seen, now),
                false => 0,
            };
            if ahead + self.cost > self.allowance {
                let wait = ahead + self.cost - self.allowance;
                let nanos = u128::from(wait) * self.unit_nanos;
                return Err(TooOften(Duration::from_nanos(nanos as u64)));
            }
            let time = (now + ahead + self.cost) & TIME;
            let next = tag << TIME_BITS | time;
            let swapped =
                slot.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed);
            if swapped.is_ok() {
                return Ok(());
            }
        }
    }

    /// How far ahead of `now` an entry's time is; 0 once it has passed.
    fn ahead(&self, entry: u64, now: u64) -> u64 {
        let ahead = (entry & TIME).wrapping_sub(now) & TIME;
        if ahead <= self.allowance { ahead } else { 0 }
    }
}

/// The entry of a client, or else the one that it may take the place of, as it was seen.
fn find(row: &[AtomicU64; ROW], tag: u64, ahead: impl Fn(u64) -> u64) -> (&AtomicU64, u64) {
    let mut least = (&row[0], row[0].load(Ordering::Relaxed));
    for slot in row {
        let seen = slot.load(Ordering::Relaxed);
        if seen >> TIME_BITS == tag {
            return (slot, seen);
        }
        if ahead(seen) < ahead(least.1) {
            least = (slot, seen);
        }
    }
    least
}

/// Whose allowance it is: an IPv4 address, or the network of an IPv6 address, of which every
/// customer has at least a /64.
fn key(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => 1 << 64 | address.to_bits() >> 64,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use proptest::prelude::*;

    use super::*;

    fn limit(requests: u32, per: Duration) -> RateLimit {
        RateLimit { requests, per }
    }

    fn client(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn as_many_as_allowed_at_once_then_one_by_one() {
        let start = Instant::now();
        let rate = Rate::new(limit(5, 10 * SECOND), start);
        let take = |at: Duration| rate.take(client(1), start + at);
        for _ in 0..5 {
            assert_eq!(take(SECOND), Ok(()));
        }
        assert_eq!(take(SECOND), Err(TooOften(2 * SECOND)));
        assert_eq!(take(2 * SECOND), Err(TooOften(SECOND)));
        assert_eq!(take(3 * SECOND), Ok(()));
        assert_eq!(take(3 * SECOND), Err(TooOften(2 * SECOND)));
        // Refused requests cost nothing: after a pause of `per` all is as at first.
        for _ in 0..5 {
            assert_eq!(take(13 * SECOND), Ok(()));
        }
        assert!(take(13 * SECOND).is_err());
    }

    #[test]
    fn clients_have_an_allowance_each_and_a_network_of_ipv6_has_one() {
        let now = Instant::now();
        let rate = Rate::new(limit(1, SECOND), now);
        let take = |client: &str| rate.take(client.parse().unwrap(), now).is_ok();
        assert!(take("10.0.0.1") && take("10.0.0.2"));
        assert!(!take("10.0.0.1"));
        assert!(take("2001:db8:0:1::1") && take("2001:db8:0:2::1"));
        assert!(!take("2001:db8:0:1:ffff::2"));
        // Not the IPv4 address with the same bits.
        assert!(take("0.0.0.1") && take("0:0:0:1::"));
    }

    #[test]
    fn an_attack_from_many_addresses_does_not_forget_who_used_it_up() {
        let now = Instant::now();
        let rate = Rate::with(4, limit(100, 10 * SECOND), now);
        let greedy = client(7);
        while rate.take(greedy, now).is_ok() {}
        for n in 1000..101_000 {
            assert_eq!(rate.take(client(n), now), Ok(()));
        }
        assert!(rate.take(greedy, now).is_err());
    }

    #[test]
    fn threads_together_get_no_more_than_one() {
        let now = Instant::now();
        let rate = Rate::new(limit(1000, 24 * 3600 * SECOND), now);
        let served = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if rate.take(client(1), now).is_ok() {
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(served.into_inner(), 1000);
    }

    proptest! {
        /// Whatever the order and the pauses: in no stretch of time more than the burst and what
        /// came back meanwhile, rounded up by the one microsecond that a unit has.
        #[test]
        fn no_more_than_the_burst_and_what_came_back(
            requests in 1u32..50,
            per in 1u64..1000,
            pauses in prop::collection::vec(0u64..200_000, 1..300),
        ) {
            let per = Duration::from_secs(per);
            let start = Instant::now();
            let rate = Rate::new(limit(requests, per), start);
            let mut at = Duration::ZERO;
            let mut served = 0u32;
            for pause in pauses {
                at += Duration::from_millis(pause);
                served += u32::from(rate.take(client(1), start + at).is_ok());
                let back = at.as_secs_f64() * f64::from(requests) / per.as_secs_f64();
                prop_assert!(f64::from(served) <= f64::from(requests) + back * 1.0001 + 1e-3);
            }
        }

        /// A client that keeps to the rate is never refused, also long after the clock has wrapped.
        #[test]
        fn who_keeps_to_the_rate_is_never_refused(
            requests in 1u32..1000,
            per in 1u64..2_000_000,
            years in 0u64..50,
        ) {
            let per = Duration::from_secs(per);
            let start = Instant::now();
            let rate = Rate::new(limit(requests, per), start);
            let mut at = start + Duration::from_secs(years * 31_557_600);
            for _ in 0..3 * requests.min(100) {
                prop_assert_eq!(rate.take(client(1), at), Ok(()));
                at += per / requests + Duration::from_micros(1);
            }
        }
    }
}
