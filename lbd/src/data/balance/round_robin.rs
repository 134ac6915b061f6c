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
    pub(in crate::data) fn new(weights: impl IntoIterator<Item = (usize, u16)>) -> Self {
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

    pub(in crate::data) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The server whose turn it is, as a position.
    pub(in crate::data) fn at(&self, turn: u64) -> Option<usize> {
        let turn = turn.checked_rem(self.slots)?;
        let slot = (u128::from(turn) * u128::from(self.stride) % u128::from(self.slots)) as u64;
        let at = self.servers.partition_point(|(_, up_to)| *up_to <= slot);
        self.servers.get(at).map(|(server, _)| *server)
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
                assert_eq!(count, usize::from(weight), "server {server} from {start}");
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
    fn nobody_to_pick_is_no_panic() {
        assert_eq!(Rotation::new([]).at(3), None);
        assert_eq!(Rotation::new([(0, 0)]).from(3).count(), 0);
    }
}
