//! Certificates alone, while the rest of the configuration stays.

use std::path::PathBuf;

use lb_proto::config::{Again, Fault, Unusable};
use lb_proto::error::ErrorReply;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{Reloader, refusal};
use crate::state::unix_now;

impl Reloader {
    /// Reads the certificate files again, and shows what they hold now in new handshakes. True: it is
    /// not what was shown before. Nothing else is touched: neither what the configuration file says
    /// by now, nor a connection, nor what sessions are resumed with.
    ///
    /// # Errors
    /// `stopping`. Nothing was changed then.
    pub(crate) async fn reload_certs(
        &self,
        only: Option<PathBuf>,
        asked_by: &str,
    ) -> Result<(bool, Again), ErrorReply> {
        let _turn = self.turn.lock().await;
        self.not_stopping()?;
        let before = self.shared.snapshot();
        let held = before.certificates.clone();
        // Beside the control thread: a thousand of them take longer than a probe may wait.
        let read = move || held.read_again(only.as_deref(), unix_now());
        let read = spawn_blocking(read).await;
        let again = read.map_err(|_| refusal::unexpected("reading the certificates"))?;
        for Unusable { fault, kept, .. } in &again.unusable {
            warn!(kept, "{}", advice(fault));
        }
        for warning in &again.warnings {
            warn!("{}", advice(warning));
        }
        let changed = !again.certificates.are_as(&before.certificates);
        if changed {
            self.shared.show(before.showing(again.certificates.clone()));
        }
        let certificates = again.certificates.all().len();
        info!(
            certificates,
            changed, "certificates read again, asked {asked_by}"
        );
        Ok((changed, again))
    }
}

/// What is wrong and what to do, in a line.
pub(in crate::control) fn advice(fault: &Fault) -> String {
    format!("{}: {}", fault.message, fault.remedy)
}
