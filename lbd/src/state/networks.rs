//! A set of networks, asked once a request. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses as ranges, sorted and merged: a question is a binary search, however many networks
/// were listed. IPv4 and IPv6 are apart: `::/0` holds no IPv4 address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// First and last address of each, none touching the next.
type Ranges<T> = Box<[(T, T)]>;

impl Networks {
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        let v4 = networks.iter().filter_map(|net| match net {
            IpNet::V4(net) => Some((net.network().to_bits(), net.broadcast().to_bits())),
            IpNet::V6(_) => None,
        });
        let v6 = networks.iter().filter_map(|net| match net {
            IpNet::V6(net) => Some((net.network().to_bits(), net.broadcast().to_bits())),
            IpNet::V4(_) => None,
        });
        Self {
            v4: merged(v4.collect()),
            v6: merged(v6.collect()),
        }
    }

    /// `address` must be canonical: no IPv4 in IPv6's clothes.
    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }
}

fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Ranges<T> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

fn holds<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after
        .checked_sub(1)
        .is_some_and(|at| address <= ranges[at].1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        let parsed: Vec<IpNet> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Networks::new(&parsed)
    }

    #[test]
    fn the_first_and_the_last_address_of_a_network_are_in_it() {
        let some = networks(&["10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32"]);
        let inside = [
            "10.1.0.0",
            "10.1.255.255",
            "192.0.2.7",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        ];
        let outside = [
            "10.0.255.255",
            "10.2.0.0",
            "192.0.2.6",
            "192.0.2.8",
            "0.0.0.0",
            "255.255.255.255",
            "2001:db7:ffff::",
            "2001:db9::",
        ];
        for address in inside {
            assert!(some.contain(address.parse().unwrap()), "{address}");
        }
        for address in outside {
            assert!(!some.contain(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn everything_and_nothing() {
        assert!(!networks(&[]).contain([127, 0, 0, 1].into()));
        let all_of_v4 = networks(&["0.0.0.0/0"]);
        assert!(all_of_v4.contain([255, 255, 255, 255].into()));
        assert!(!all_of_v4.contain("::1".parse().unwrap()));
    }

    fn network() -> impl Strategy<Value = IpNet> {
        // Few bits vary, so that networks overlap and addresses meet them.
        (0u8..4, 0u8..4, 0u8..=32, any::<bool>()).prop_map(|(a, b, prefix, v6)| match v6 {
            false => IpNet::new([10, a, b, 0].into(), prefix).unwrap(),
            true => {
                let address = [0x2001, 0xdb8, a.into(), b.into(), 0, 0, 0, 0];
                IpNet::new(address.into(), prefix * 4).unwrap()
            }
        })
    }

    proptest! {
        #[test]
        fn it_answers_as_a_look_at_each_network_would(
            list in prop::collection::vec(network(), 0..12),
            (a, b, c) in (0u8..5, 0u8..5, any::<u8>()),
            v6 in any::<bool>(),
        ) {
            let address: IpAddr = match v6 {
                false => [10, a, b, c].into(),
                true => [0x2001, 0xdb8, a.into(), b.into(), c.into(), 0, 0, 1].into(),
            };
            let expected = list.iter().any(|net| net.contains(&address));
            prop_assert_eq!(Networks::new(&list).contain(address), expected);
        }
    }
}
