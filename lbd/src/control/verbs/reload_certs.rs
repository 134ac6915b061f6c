//! `reload_certs`: the certificate files again. How is [`crate::control::reload`]'s.

use lb_proto::config::Unusable;
use lb_proto::error::ErrorReply;
use lb_proto::reply::{self, UnusableFile};

use super::whole;
use crate::control::Control;
use crate::control::reload::advice;
use crate::control::session::Peer;
use crate::state::Snapshot;

pub(in crate::control) async fn run(
    control: &Control,
    peer: &Peer,
) -> Result<reply::ReloadCerts, ErrorReply> {
    let asked_by = format!("by {peer}");
    let (changed, again) = control.reloader.reload_certs(&asked_by).await?;
    Ok(reply::ReloadCerts {
        changed,
        shown: shown(&control.shared.snapshot()),
        unusable: again.unusable.into_iter().map(unusable).collect(),
        warnings: again.warnings.iter().map(advice).collect(),
    })
}

fn unusable(unusable: Unusable) -> UnusableFile {
    UnusableFile {
        file: whole(&unusable.path),
        message: unusable.fault.message,
        hint: unusable.fault.remedy,
        kept: unusable.kept,
    }
}

fn shown(snapshot: &Snapshot) -> Vec<reply::Shown> {
    let mut all = Vec::new();
    for frontend in &snapshot.frontends {
        for (listener, bind, terminator) in frontend.secure() {
            let networks = bind.proxy_protocol.iter().flatten();
            let networks: Vec<String> = networks.map(ToString::to_string).collect();
            all.extend(terminator.shown().iter().map(|shown| reply::Shown {
                file: whole(&shown.file.path),
                fingerprint: shown.file.bundle.leaf.fingerprint.clone(),
                frontend: frontend.config.name.clone(),
                bind: listener.address.to_string(),
                names: shown.names.clone(),
                default: shown.default,
                proxy_protocol: networks.clone(),
            }));
        }
    }
    all
}
