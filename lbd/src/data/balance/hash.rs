//! `source`, `uri` and `header:NAME` (HAProxy configuration manual, `balance`, with `hash-type
//! consistent`): equal keys go to the same server. The ring is `state/ring.rs`.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use lb_proto::config::Balance;

use crate::state::{Ring, STEPS, place};

/// Points that are looked at before a key goes by the rotation: only where almost no server takes
/// sessions are there so many in a row of those that do not.
const FAR: usize = 4096;

/// What a request is hashed by. `None`: nothing, or it lacks it, and goes by `roundrobin`.
pub(in crate::data) fn key(
    balance: &Balance,
    client: IpAddr,
    path: &str,
    headers: &HeaderMap,
) -> Option<u64> {
    match balance {
        Balance::RoundRobin | Balance::LeastConn | Balance::Random => None,
        Balance::Source => Some(match client.to_canonical() {
            IpAddr::V4(address) => place(&address.octets()),
            IpAddr::V6(address) => place(&address.octets()),
        }),
        Balance::Uri => Some(place(path.as_bytes())),
        Balance::Header(name) => headers
            .get(name)
            .map(http::HeaderValue::as_bytes)
            .filter(|value| !value.is_empty())
            .map(place),
    }
}

/// The ring, and how many of its points each server has now: as many as its share says.
#[derive(Debug)]
pub(super) struct Points {
    ring: Arc<Ring>,
    live: Box<[u32]>,
}

impl Points {
    pub(super) fn new(ring: Arc<Ring>, shares: &[u32]) -> Self {
        let live = |(at, share): (usize, &u32)| {
            // Another weight's share is seen for a moment where one was set just now.
            let whole = u32::from(ring.weight_of(at)) * STEPS;
            match (*share).min(whole) {
                0 => 0,
                share => (ring.points_of(at) * share / whole).max(1),
            }
        };
        Self {
            live: shares.iter().enumerate().map(live).collect(),
            ring,
        }
    }

    /// Whom a key belongs to, of the servers that may be taken.
    pub(super) fn pick(&self, key: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        self.ring
            .from(key)
            .take(FAR)
            .filter(|point| point.nth < self.live[point.server as usize])
            .map(|point| point.server as usize)
            .find(|at| may(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(
        balance: &Balance,
        client: &str,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Option<u64> {
        let headers = headers.iter().map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_str(value).unwrap())
        });
        key(balance, client.parse().unwrap(), path, &headers.collect())
    }

    #[test]
    fn a_key_is_what_the_balance_names_and_nothing_else() {
        let header = Balance::Header("x-user".to_owned());
        let asked = |client, path, user| {
            let headers = [("x-user", user), ("x-other", path)];
            [Balance::Source, Balance::Uri, header.clone()]
                .map(|balance| key_of(&balance, client, path, &headers))
        };
        let first = asked("192.0.2.1", "/a", "me");
        assert!(first.iter().all(Option::is_some));
        let differs = |other: [Option<u64>; 3]| [0, 1, 2].map(|i| first[i] != other[i]);
        assert_eq!(
            differs(asked("192.0.2.2", "/a", "me")),
            [true, false, false]
        );
        assert_eq!(
            differs(asked("192.0.2.1", "/b", "me")),
            [false, true, false]
        );
        assert_eq!(
            differs(asked("192.0.2.1", "/a", "you")),
            [false, false, true]
        );
        assert_eq!(differs(asked("::ffff:192.0.2.1", "/a", "me")), [false; 3]);
    }

    #[test]
    fn a_request_without_the_header_has_no_key() {
        let header = Balance::Header("x-user".to_owned());
        assert_eq!(key_of(&header, "::1", "/", &[]), None);
        assert_eq!(key_of(&header, "::1", "/", &[("x-user", "")]), None);
        assert_eq!(key_of(&Balance::RoundRobin, "::1", "/", &[]), None);
    }
}
