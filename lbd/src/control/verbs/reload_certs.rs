//! `reload_certs`: the certificate files again. How is [`crate::control::reload`]'s.

use lb_proto::call::Call;
use lb_proto::config::Unusable;
use lb_proto::error::ErrorReply;
use lb_proto::name::FrontendName;
use lb_proto::reply::{self, UnusableFile};
use lb_proto::request;

use super::whole;
use crate::control::Control;
use crate::control::audit::Asked;
use crate::control::reload::advice;
use crate::control::session::Peer;
use crate::state::{Listener, Snapshot};
use crate::tls::Terminator;

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
            let shown = on_bind(&frontend.config.name, listener, terminator);
            all.extend(shown.map(|shown| reply::Shown {
                proxy_protocol: networks.clone(),
                ..shown
            }));
        }
    }
    let admin = snapshot.admin.as_ref();
    let secure = admin.and_then(|admin| Some((&admin.listener, admin.terminator.as_ref()?)));
    if let (Some((listener, terminator)), Ok(name)) = (secure, "admin".parse()) {
        let shown = on_bind(&name, listener, terminator);
        all.extend(shown.map(|shown| reply::Shown {
            admin: true,
            ..shown
        }));
    }
    all
}

fn on_bind(
    frontend: &FrontendName,
    listener: &Listener,
    terminator: &Terminator,
) -> impl Iterator<Item = reply::Shown> {
    terminator.shown().iter().map(|shown| reply::Shown {
        file: whole(&shown.file.path),
        fingerprint: shown.file.bundle.leaf.fingerprint.clone(),
        frontend: frontend.clone(),
        admin: false,
        bind: listener.address.to_string(),
        names: shown.names.clone(),
        default: shown.default,
        proxy_protocol: Vec::new(),
    })
}
