//! When a connection to `[admin]` has taken too long.

use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long a client may be silent where others wait for its place.
pub(super) const CROWDED: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) at: Instant,
    /// Where others wait for its place.
    pub(super) crowded: Instant,
}

impl Due {
    /// The client has so long.
    pub(super) fn from_client(within: Duration) -> Self {
        let now = Instant::now();
        Self {
            at: now + within,
            crowded: now + CROWDED,
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

    /// Until somebody wants its place, and it has had its time.
    pub(super) async fn crowded_out(self, crowd: &mut watch::Receiver<()>) {
        while crowd.changed().await.is_ok() {
            if Instant::now() >= self.crowded {
                return;
            }
        }
        // Nobody comes any more.
        pending().await
    }
}
