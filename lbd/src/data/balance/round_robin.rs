//! `roundrobin` (HAProxy configuration manual, `balance`): each server in turn, by weight. Pure.
//!
//! Every server owns as many slots as its weight. A shared turn walks the slots by a fixed stride
//! that has no factor in common with their number, so that each cycle visits each slot once and a
//! heavy server's slots are spread over it. A pick is a binary search: logarithmic in the number of
//! servers, whatever the weights.

/// The servers that take sessions, and the order of their turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::data) struct Rotation {
    /// Each server's position, and the slots up to and including its own.
    servers: Vec<(usize, u64)>,
    slots: u64,
    stride: u64,
}

impl Rotation {
    /// `weights` gives each server that takes sessions as its position and weight; weight 0 is left
    /// out.
    pub(in crate::data) fn new(weights: impl IntoIterator<Item = (usize, u32)>) -> Self {
        let weights: Vec<_> = weights
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .collect();
        let unit = weights
            .iter()
            .fold(0, |unit, (_, weight)| gcd(unit, u64::from(*weight)))
            .max(1);
        let mut slots = 0;
        let servers = weights
            .iter()
            .map(|(server, weight)| {
                slots += u64::from(*weight) / unit;
                (*server, slots)
            })
            .collect::<Vec<_>>();
        let equal = slots == servers.len() as u64;
        let stride = if equal { 1 } else { stride(slots) };
        Self {
            servers,
            slots,
            stride,
        }
    }

    /// The server whose turn it is, as a position.
    pub(in crate::data) fn at(&self, turn: u64) -> Option<usize> {
        let turn = turn.checked_rem(self.slots)?;
        let slot = (u128::from(turn) * u128::from(self.stride) % u128::from(self.slots)) as u64;
        let at = self.servers.partition_point(|(_, up_to)| *up_to <= slot);
        self.servers.get(at).map(|(server, _)| *server)
    }

    /// Two different servers, each as likely as its weight says, from a random number; the same one
    /// twice where there is no other.
    pub(super) fn two(&self, random: u64) -> Option<(usize, usize)> {
        let scale = |part: u64, slots: u64| ((part & u64::from(u32::MAX)) * slots) >> 32;
        let at = |slot| self.servers.partition_point(|(_, up_to)| *up_to <= slot);
        let first = at(scale(random, self.slots));
        let (server, up_to) = *self.servers.get(first)?;
        let from = first
            .checked_sub(1)
            .map_or(0, |before| self.servers[before].1);
        // As if the first one's slots were not there.
        let own = up_to - from;
        let mut slot = scale(random >> 32, self.slots - own);
        if slot >= from {
            slot += own;
        }
        let other = self.servers.get(at(slot));
        Some((server, other.map_or(server, |(other, _)| *other)))
    }

    /// The servers that take turns, from the one whose turn it is, each once.
    pub(in crate::data) fn from(&self, turn: u64) -> impl Iterator<Item = usize> {
        let first = self.at(turn);
        let start = self
            .servers
            .iter()
            .position(|(server, _)| Some(*server) == first)
            .unwrap_or(0);
        let (before, after) = self.servers.split_at(start);
        after.iter().chain(before).map(|(server, _)| *server)
    }
}

/// The number nearest below the golden section of `slots` that has no factor in common with it:
/// multiples of the golden section are spread as evenly as any can be.
fn stride(slots: u64) -> u64 {
    let golden = (slots as f64 * 0.618_033_988_75) as u64;
    (1..=golden)
        .rev()
        .find(|n| gcd(*n, slots) == 1)
        .unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(rotation: &Rotation, turns: std::ops::Range<u64>) -> Vec<usize> {
        turns.filter_map(|turn| rotation.at(turn)).collect()
    }

    #[test]
    fn equal_servers_take_turns_in_order() {
        let rotation = Rotation::new([(0, 7), (1, 7), (4, 7)]);
        assert_eq!(picks(&rotation, 0..6), [0, 1, 4, 0, 1, 4]);
    }

    #[test]
    fn any_cycle_is_exact_by_weight_wherever_it_begins() {
        let weights = [(0, 1), (1, 2), (2, 0), (3, 256), (4, 100)];
        let rotation = Rotation::new(weights);
        for start in [0, 1, 17, u64::MAX / 2] {
            let turns = picks(&rotation, start..start + 359);
            for (server, weight) in weights {
                let count = turns.iter().filter(|s| **s == server).count();
                assert_eq!(count, weight as usize, "server {server} from {start}");
            }
        }
    }

    #[test]
    fn a_heavy_server_does_not_get_its_turns_in_a_row() {
        let rotation = Rotation::new([(0, 5), (1, 1), (2, 1)]);
        let turns = picks(&rotation, 0..70);
        let longest = turns.chunk_by(|a, b| a == b).map(<[usize]>::len).max();
        assert!(longest <= Some(5 - 1), "{turns:?}");
        let rotation = Rotation::new([(0, 2), (1, 1)]);
        assert_eq!(
            picks(&rotation, 0..3).iter().filter(|s| **s == 0).count(),
            2
        );
    }

    #[test]
    fn two_are_different_and_as_likely_as_their_weights() {
        let rotation = Rotation::new([(3, 16), (5, 32), (9, 16)]);
        let mut firsts = [0; 10];
        let mut seconds = [0; 10];
        for a in 0..64u64 {
            for b in 0..48u64 {
                // Every slot of the first draw equally often, and of the second.
                let (first, second) = rotation
                    .two((a << 26) | (((b << 32) / 48 + 1) << 32))
                    .unwrap();
                assert_ne!(first, second);
                firsts[first] += 1;
                seconds[second] += 1;
            }
        }
        assert_eq!((firsts[3], firsts[5], firsts[9]), (768, 1536, 768));
        assert_eq!(seconds[3], seconds[9]);
        assert_eq!(Rotation::new([(4, 16)]).two(u64::MAX), Some((4, 4)));
        assert_eq!(Rotation::new([]).two(7), None);
    }

    #[test]
    fn nobody_to_pick_is_no_panic() {
        assert_eq!(Rotation::new([]).at(3), None);
        assert_eq!(Rotation::new([(0, 0)]).from(3).count(), 0);
    }
}
