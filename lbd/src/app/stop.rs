//! The end of the daemon: sessions finish or are cut, and what is to be told of them is written. Each step
//! has its bound.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Daemon;
use crate::service;
use crate::signals::{Asked, Signals};
use crate::state::Shared;

/// How often the stop looks whether data threads have ended.
const STOP_POLL: Duration = Duration::from_millis(5);

/// How long a thread whose sessions were cut may take to hand over their lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long a stop waits for the access log to be written and the last spans to be sent.
const LAST_WRITES: Duration = Duration::from_secs(2);

impl Daemon {
    pub(super) async fn stop(&self, signals: &mut Signals) {
        self.leave(signals).await;
        let shared = &self.control.shared;
        let patience = shared.snapshot().global.shutdown_timeout;
        service::stopping(patience);
        shared.stop();
        info!(sessions = sessions(shared), timeout = ?patience, "stopping");
        tokio::select! {
            () = self.data_threads_end() => info!("stopped"),
            () = sleep(patience) => {
                warn!(sessions = sessions(shared), "stopped by shutdown_timeout, sessions were cut");
            }
            () = until_asked_again(signals) => {
                warn!(sessions = sessions(shared), "stopped at once, sessions were cut");
            }
        }
        shared.cut();
        self.finish_output().await;
        self.control.audit.settle().await;
    }

    /// Goes on for as long as whoever sends clients here needs to hear that it is about to stop.
    async fn leave(&self, signals: &mut Signals) {
        let shared = &self.control.shared;
        let Some(delay) = shared.snapshot().global.shutdown_delay else {
            return;
        };
        service::stopping(delay);
        shared.leave();
        info!(?delay, "stopping soon: /healthz says so");
        tokio::select! {
            () = sleep(delay) => {}
            () = until_asked_again(signals) => info!("stopping now, asked again"),
        }
    }

    /// Writes what was logged and sends what was traced, unless that takes too long: nobody may be
    /// reading the pipe.
    async fn finish_output(&self) {
        let Shared {
            access_log, spans, ..
        } = &*self.control.shared;
        let _ = timeout(LAST_LINES, self.data_threads_end()).await;
        access_log.finish();
        spans.finish();
        let deadline = Instant::now() + LAST_WRITES;
        while !access_log.is_finished() || !spans.is_finished() {
            if Instant::now() >= deadline {
                if !access_log.is_finished() {
                    warn!("stopped before the access log's last lines were written");
                }
                if !spans.is_finished() {
                    warn!("stopped before the last traces were exported");
                }
                return;
            }
            sleep(STOP_POLL).await;
        }
    }

    async fn data_threads_end(&self) {
        while !self.data_threads.iter().all(JoinHandle::is_finished) {
            sleep(STOP_POLL).await;
        }
    }
}

async fn until_asked_again(signals: &mut Signals) {
    while signals.next().await != Asked::Stop {}
}

/// Sessions on servers that the configuration names.
fn sessions(shared: &Shared) -> u64 {
    let snapshot = shared.snapshot();
    let servers = snapshot.backends.iter().flat_map(|b| &b.servers);
    servers.map(|server| server.sessions()).sum()
}
