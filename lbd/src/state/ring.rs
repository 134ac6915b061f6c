//! Consistent hashing: which server a key belongs to, by the servers' names alone. Pure.
//!
//! Every server has points on a ring, as many as its weight says; a key belongs to the first point
//! at or after it whose server takes sessions. So the keys of a server that goes away spread over
//! the others, and no other key moves. Hash and seeds are fixed: two daemons with the same
//! configuration agree without talking, and so does one with itself after a restart.
//!
//! Points of servers that take none stay where they are and are passed over: a change of state costs
//! nothing here. A lookup goes straight to the points that share a key's first bits: flat in the
//! number of servers.

use twox_hash::XxHash64;

/// Points of the heaviest server: from this number to less than twice as many. More spread keys more
/// evenly (a tenth off the mean with these); 10,000 servers have a million points already.
const POINTS: u32 = 128;

/// The seed of keys; the seeds of points count from 0.
const KEY_SEED: u64 = u64::MAX;

/// Where a key or a point is on the ring.
pub(crate) fn place(key: &[u8]) -> u64 {
    XxHash64::oneshot(KEY_SEED, key)
}

#[derive(Debug)]
pub(crate) struct Ring {
    points: Box<[Point]>,
    /// For each beginning of a place, the first point that begins so or comes after.
    starts: Box<[u32]>,
    /// How far to shift a place so that its beginning is left.
    shift: u32,
    /// What it was made from.
    servers: Vec<(String, u16)>,
    heaviest: u16,
}

/// One of a server's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    place: u64,
    /// The server's position.
    pub(crate) server: u32,
    /// Which of the server's points it is; a server with part of its share has only the first ones.
    pub(crate) nth: u32,
}

impl Ring {
    /// `servers` gives each server's name and weight.
    pub(crate) fn new(servers: Vec<(String, u16)>) -> Self {
        let heaviest = servers.iter().map(|(_, weight)| *weight).max();
        let heaviest = heaviest.unwrap_or(1);
        let mut points: Vec<Point> = Vec::new();
        for (server, (name, weight)) in servers.iter().enumerate() {
            points.extend((0..points_of(*weight, heaviest)).map(|nth| Point {
                place: XxHash64::oneshot(u64::from(nth), name.as_bytes()),
                server: server as u32,
                nth,
            }));
        }
        let name = |point: &Point| &servers[point.server as usize].0;
        points.sort_unstable_by(|a, b| a.place.cmp(&b.place).then_with(|| name(a).cmp(name(b))));
        let bits = points.len().next_power_of_two().ilog2().max(1);
        let shift = u64::BITS - bits;
        let mut starts = vec![0u32; (1 << bits) + 1];
        for point in &points {
            starts[(point.place >> shift) as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        Self {
            points: points.into(),
            starts: starts.into(),
            shift,
            servers,
            heaviest,
        }
    }

    /// Whether it was made from these servers.
    pub(crate) fn is_of(&self, servers: &[(String, u16)]) -> bool {
        self.servers == servers
    }

    /// The weight by which the server at a position has its points.
    pub(crate) fn weight_of(&self, server: usize) -> u16 {
        self.servers[server].1
    }

    /// How many points the server at a position has.
    pub(crate) fn points_of(&self, server: usize) -> u32 {
        points_of(self.servers[server].1, self.heaviest)
    }

    /// The points from a place on, all of them once.
    pub(crate) fn from(&self, place: u64) -> impl Iterator<Item = Point> {
        let begin = (place >> self.shift) as usize;
        let near = self.starts[begin] as usize..self.starts[begin + 1] as usize;
        let before = self.points[near.clone()]
            .iter()
            .take_while(|point| point.place < place)
            .count();
        let (before, after) = self.points.split_at(near.start + before);
        after.iter().chain(before).copied()
    }
}

/// Depends on the server's own weight and on the power of two below the heaviest one: a server that
/// is added or lost does not change the points of others, unless it is by far the heaviest.
fn points_of(weight: u16, heaviest: u16) -> u32 {
    match weight {
        0 => 0,
        _ => ((u32::from(weight) * POINTS) >> heaviest.max(1).ilog2()).max(1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(names: &[String]) -> Vec<(String, u16)> {
        names.iter().map(|name| (name.clone(), 1)).collect()
    }

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("web{i:02}")).collect()
    }

    /// Whom each of `keys` keys belongs to.
    fn owners(servers: &[(String, u16)], keys: u32) -> Vec<String> {
        let ring = Ring::new(servers.to_vec());
        (0..keys)
            .map(|key| {
                let point = ring.from(place(&key.to_be_bytes())).next().unwrap();
                servers[point.server as usize].0.clone()
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn who_is_lost_takes_only_their_own_keys_along(n in 2usize..40, lost in any::<prop::sample::Index>()) {
            const KEYS: u32 = 5_000;
            let mut servers = named(&names(n));
            let before = owners(&servers, KEYS);
            let (lost, _) = servers.remove(lost.index(n));
            let after = owners(&servers, KEYS);
            let mut moved = 0;
            for (before, after) in before.iter().zip(&after) {
                prop_assert!(before == after || *before == lost);
                moved += usize::from(before != after);
            }
            let due = KEYS as usize / n;
            prop_assert!((due / 2..due * 2).contains(&moved), "{} of {} moved, {} servers", moved, KEYS, n);
        }

        #[test]
        fn the_order_of_the_file_does_not_matter(seed in any::<u64>(), n in 1usize..30) {
            let servers: Vec<_> = names(n).into_iter().zip((1..).map(|w| w * 7 % 256 + 1)).collect();
            let mut shuffled = servers.clone();
            shuffled.sort_by_key(|(name, _)| XxHash64::oneshot(seed, name.as_bytes()));
            prop_assert_eq!(owners(&servers, 500), owners(&shuffled, 500));
        }

        #[test]
        fn a_lookup_finds_the_first_point_at_or_after(n in 1usize..20, place in any::<u64>()) {
            let ring = Ring::new(named(&names(n)));
            let from: Vec<_> = ring.from(place).collect();
            prop_assert_eq!(from.len(), ring.points.len());
            let due = ring.points.iter().find(|p| p.place >= place).unwrap_or(&ring.points[0]);
            prop_assert_eq!(from[0], *due);
            prop_assert_eq!(ring.from(due.place).next(), Some(*due));
        }
    }

    /// What one version gives, all must: keys would move at an update, or between two daemons.
    #[test]
    fn places_are_the_same_for_ever() {
        assert_eq!(place(b"/index.html"), 15_363_951_041_526_062_518);
        let servers = named(&names(3));
        assert_eq!(
            owners(&servers, 8).concat(),
            "web01web00web00web01web02web02web02web02"
        );
    }

    #[test]
    fn keys_spread_by_weight() {
        let servers: Vec<_> = names(10)
            .into_iter()
            .zip([1, 1, 1, 1, 1, 2, 2, 3, 3, 5])
            .collect();
        let owners = owners(&servers, 20_000);
        for (name, weight) in servers {
            let has = owners.iter().filter(|owner| **owner == name).count();
            let due = 1000 * usize::from(weight);
            assert!(
                (due * 7 / 10..due * 13 / 10).contains(&has),
                "{name}: {has} of {due}"
            );
        }
    }

    #[test]
    fn nobody_is_no_panic() {
        assert_eq!(Ring::new(Vec::new()).from(7).count(), 0);
        assert_eq!(Ring::new(vec![("a".to_owned(), 0)]).from(7).count(), 0);
    }
}
