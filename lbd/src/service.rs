//! Tells systemd how the daemon is, where systemd started it (sd_notify(3)).

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use crate::state::Snapshot;

/// Between the end of our patience and systemd's.
const GRACE: Duration = Duration::from_secs(5);

/// Ready, for the first time or again after a reload; `status` is shown by `systemctl status`.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload began. [`ready`] must follow, whatever comes of it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(time) => tell(&[NotifyState::Reloading, time]),
        Err(error) => warn!(%error, "cannot tell systemd about a reload"),
    }
}

/// A stop began that takes up to `patience`.
pub(crate) fn stopping(patience: Duration) {
    let micros = u32::try_from((patience + GRACE).as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing sessions"),
        NotifyState::ExtendTimeoutUsec(micros),
    ]);
}

/// What runs, in one line.
pub(crate) fn in_one_line(snapshot: &Snapshot) -> String {
    let servers = snapshot.backends.iter().map(|b| b.servers.len()).sum();
    format!(
        "generation {}: {}, {}, {}",
        snapshot.loaded.generation,
        count(snapshot.frontends.len(), "frontend"),
        count(snapshot.backends.len(), "backend"),
        count(servers, "server"),
    )
}

pub(crate) fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot tell systemd");
    }
}
