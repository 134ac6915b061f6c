//! Stands in for the data plane: threads that wait for the stop.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::state::{Phase, Shared};

pub(crate) fn spawn(shared: Arc<Shared>) -> io::Result<Vec<JoinHandle<()>>> {
    (0..shared.threads)
        .map(|_| {
            let mut phase = shared.phase();
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            Ok(std::thread::spawn(move || {
                runtime.block_on(async {
                    let _ = phase.wait_for(|p| *p == Phase::Stopping).await;
                });
            }))
        })
        .collect()
}
