//! How often a login may fail before the next try has to wait. Pure.
//!
//! What waits is a name from an address: whoever guesses from elsewhere keeps nobody out. An address waits as a
//! whole after more failures, whatever the names; but for loopback addresses, which everybody has who comes
//! through a tunnel.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failures of one name from one address that cost no wait: people mistype.
const FREE: u32 = 5;

/// Of an address, whatever the names.
const FREE_OF_ADDRESS: u32 = 20;

/// The first wait; each failure doubles it.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// After so long without a failure all of them are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

/// Entries at most; the one that failed longest ago makes room.
const MOST: usize = 4096;

/// Of a name, more is not told apart.
const MAX_NAME: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    source: IpAddr,
    /// `None`: the address, whatever the names.
    name: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn are_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGOTTEN
    }
}

#[derive(Debug, Default)]
pub(super) struct Throttle(HashMap<Key, Failures>);

/// Where tries are one at a time, with a pause after each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paced {
    /// Those that wait for the same try.
    pub(super) line: Key,
    /// How long that is away; zero: it is due.
    pub(super) left: Duration,
}

impl Throttle {
    /// `None`: whoever tries does not have to wait for anybody.
    pub(super) fn paced(&self, source: IpAddr, name: &str, now: Instant) -> Option<Paced> {
        let paced = keys(source, name).filter_map(|(line, free)| {
            let failures = self.0.get(&line)?;
            if failures.are_forgotten(now) {
                return None;
            }
            let until = failures.last + pause(failures.count, free)?;
            let left = until.saturating_duration_since(now);
            Some(Paced { line, left })
        });
        // Of two that are due the wider one counts, in which more wait.
        paced.max_by_key(|paced| paced.left)
    }

    pub(super) fn failed(&mut self, source: IpAddr, name: &str, now: Instant) {
        for (key, _) in keys(source, name) {
            if !self.0.contains_key(&key) {
                self.make_room(now);
            }
            let failures = self.0.entry(key).or_insert(Failures {
                count: 0,
                last: now,
            });
            if failures.are_forgotten(now) {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
        }
    }

    /// The address as a whole is not forgiven: its other failures may be somebody else's guesses.
    pub(super) fn succeeded(&mut self, source: IpAddr, name: &str) {
        self.0.remove(&named(source, name));
    }

    fn make_room(&mut self, now: Instant) {
        if self.0.len() < MOST {
            return;
        }
        self.0.retain(|_, failures| !failures.are_forgotten(now));
        if self.0.len() < MOST {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(_, failures)| failures.last);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.0.remove(&key);
        }
    }
}

/// With the failures that cost no wait.
fn keys(source: IpAddr, name: &str) -> impl Iterator<Item = (Key, u32)> {
    let (named, widest) = (named(source, name), widest(source, name));
    let whole = (named != widest).then_some((widest, FREE_OF_ADDRESS));
    [(named, FREE)].into_iter().chain(whole)
}

fn named(source: IpAddr, name: &str) -> Key {
    Key {
        source: network(source),
        name: Some(name.chars().take(MAX_NAME).collect()),
    }
}

/// Whoever may be the same one: from an address, or by a name where everybody has that address.
pub(super) fn widest(source: IpAddr, name: &str) -> Key {
    match source.to_canonical().is_loopback() {
        true => named(source, name),
        false => Key {
            source: network(source),
            name: None,
        },
    }
}

/// One who has an IPv6 address has the 2^64 beside it, too.
pub(in crate::admin) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip => ip,
    }
}

fn pause(failures: u32, free: u32) -> Option<Duration> {
    let beyond = failures.checked_sub(free)?;
    let doubled = FIRST.saturating_mul(1 << beyond.min(16));
    Some(doubled.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(throttle: &Throttle, source: IpAddr, name: &str, now: Instant) -> Option<Duration> {
        let left = throttle.paced(source, name, now)?.left;
        (!left.is_zero()).then_some(left)
    }

    fn at(host: u8) -> IpAddr {
        [192, 0, 2, host].into()
    }

    #[test]
    fn waits_grow_end_and_are_forgotten() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let mut now = start;
        for _ in 0..4 {
            throttle.failed(at(1), "ops", now);
            assert_eq!(left(&throttle, at(1), "ops", now), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            throttle.failed(at(1), "ops", now);
            let wait = Duration::from_secs(seconds);
            assert_eq!(left(&throttle, at(1), "ops", now), Some(wait));
            now += wait;
            assert_eq!(left(&throttle, at(1), "ops", now), None);
        }
        now += FORGOTTEN;
        throttle.failed(at(1), "ops", now);
        assert_eq!(left(&throttle, at(1), "ops", now), None);
    }

    #[test]
    fn strangers_keep_nobody_out() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..19 {
            throttle.failed(at(1), "ops", now);
        }
        assert!(left(&throttle, at(1), "ops", now).is_some());
        assert_eq!(left(&throttle, at(2), "ops", now), None);
        assert_eq!(left(&throttle, at(1), "eve", now), None);
        throttle.failed(at(1), "x", now);
        assert!(left(&throttle, at(1), "eve", now).is_some(), "many names");
    }

    #[test]
    fn through_a_tunnel_a_name_waits_and_no_other() {
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            let here = here.parse().unwrap();
            let (mut throttle, now) = (Throttle::default(), Instant::now());
            for n in 0..100 {
                throttle.failed(here, &format!("x{n}"), now);
                throttle.failed(here, "ops", now);
            }
            assert!(left(&throttle, here, "ops", now).is_some());
            assert_eq!(left(&throttle, here, "eve", now), None);
            throttle.succeeded(here, "ops");
            assert_eq!(left(&throttle, here, "ops", now), None);
            assert_ne!(widest(here, "ops"), widest(here, "eve"));
        }
        assert_eq!(widest(at(1), "ops"), widest(at(1), "eve"));
    }

    #[test]
    fn those_that_wait_for_the_same_try_are_one_line() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let line = |throttle: &Throttle, name: &str, now| {
            throttle.paced(at(1), name, now).map(|paced| paced.line)
        };
        for _ in 0..4 {
            throttle.failed(at(1), "ops", now);
        }
        assert_eq!(line(&throttle, "ops", now), None);
        throttle.failed(at(1), "ops", now);
        assert_eq!(line(&throttle, "ops", now), Some(named(at(1), "ops")));
        assert_eq!(line(&throttle, "eve", now), None);
        for name in 0..20 {
            throttle.failed(at(1), &name.to_string(), now);
        }
        for due in [now, now + LONGEST] {
            let whole = Some(widest(at(1), "eve"));
            assert_eq!(line(&throttle, "eve", due), whole);
            assert_eq!(line(&throttle, "ops", due), whole);
        }
        assert_eq!(line(&throttle, "eve", now + FORGOTTEN), None);
    }

    #[test]
    fn a_login_forgives_its_name_and_not_the_address() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..10 {
            throttle.failed(at(1), "ops", now);
        }
        throttle.succeeded(at(1), "ops");
        assert_eq!(left(&throttle, at(1), "ops", now), None);
        for name in 0..10 {
            throttle.failed(at(1), &name.to_string(), now);
        }
        throttle.succeeded(at(1), "ops");
        assert!(left(&throttle, at(1), "ops", now).is_some());
    }

    #[test]
    fn a_network_is_one_source_and_the_table_is_bounded() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for host in 0..5 {
            let address = format!("2001:db8::{host:x}").parse().unwrap();
            throttle.failed(address, "ops", start);
        }
        let neighbour = "2001:db8::ffff".parse().unwrap();
        assert!(left(&throttle, neighbour, "ops", start).is_some());
        for net in 0..10_000 {
            let address = format!("2001:db9:0:{net:x}::1").parse().unwrap();
            throttle.failed(address, "ops", start + Duration::from_millis(net));
        }
        assert_eq!(throttle.0.len(), MOST);
        let last = "2001:db9:0:270f::1".parse().unwrap();
        assert!(throttle.0.contains_key(&named(last, "ops")));
    }
}
