//! `reload_certs`: the certificate files again. How is [`crate::control::reload`]'s.

use lb_proto::call::Call;
use lb_proto::config::Unusable;
use lb_proto::error::ErrorReply;
use lb_proto::reply::{self, UnusableFile};
use lb_proto::request;

use super::whole;
use crate::control::Control;
use crate::control::audit::Asked;
use crate::control::reload::advice;
use crate::control::session::Peer;
use crate::state::Snapshot;

pub(in crate::control) async fn run(
    call: &request::ReloadCerts,
    control: &Control,
    peer: &Peer,
) -> Result<reply::ReloadCerts, ErrorReply> {
    let by = peer.by().await;
    let asked_by = format!("by {by}");
    let asked = Asked::new(by, request::ReloadCerts::NAME);
    let read = control
        .reloader
        .reload_certs(call.file.clone(), &asked_by)
        .await;
    let (from, to) = match &read {
        Ok((changed, _)) => (None, Some(if *changed { "changed" } else { "unchanged" })),
        Err(_) => (None::<&str>, None),
    };
    control.audit.note(asked.from(from).to(to), &read);
    let (changed, again) = read?;
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
