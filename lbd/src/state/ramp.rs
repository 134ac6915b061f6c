//! Slow starts: the share of a server that came up grows step by step.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Shared, Snapshot};

/// Makes the steps of all slow starts when they are due, until it is dropped. On the control plane.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut nudges = shared.phase();
    loop {
        nudges.borrow_and_update();
        // From the shares to the pause nothing waits: no server comes up unseen in between.
        let pause = step(&shared.snapshot());
        let next_step = async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = nudges.changed() => if changed.is_err() { return },
            () = next_step => {}
        }
    }
}

/// Gives the servers that are starting the shares of now; returns when the next step is due.
fn step(snapshot: &Snapshot) -> Option<Duration> {
    let backends = snapshot.backends.iter();
    backends
        .filter(|backend| backend.starts_slowly)
        .filter_map(|backend| {
            let now = Instant::now();
            backend.share_out(now);
            backend.next_step(now)
        })
        .min()
}
