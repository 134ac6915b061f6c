//! When a connection to `[admin]` has taken too long.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) at: Instant,
    /// Where others wait for its place.
    pub(super) crowded: Instant,
}

impl Due {
    /// The client has so long to ask, and nothing to lose.
    pub(super) fn from_client(within: Duration) -> Self {
        Self::from_slow(within, Duration::ZERO)
    }

    /// The client has so long, and loses what he is about where others wait after `crowded`.
    pub(super) fn from_slow(within: Duration, crowded: Duration) -> Self {
        let now = Instant::now();
        Self {
            at: now + within,
            crowded: now + crowded,
        }
    }

    pub(super) fn from_us(within: Duration) -> Self {
        let at = Instant::now() + within;
        Self { at, crowded: at }
    }

    /// The client has so long, and nobody takes its place.
    pub(super) fn from_reader(within: Duration) -> Self {
        Self::from_us(within)
    }
}
