//! What `status` tells of certificates.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use lb_proto::config::BindTls;
use lb_proto::pem::{File, Validity};
use lb_proto::status::{CertificateState, CertificateStatus, TlsStatus};

use crate::control::verbs::whole;
use crate::state::{Frontend, Listener, Snapshot};

pub(super) fn binds(frontend: &Frontend) -> Vec<TlsStatus> {
    let binds = frontend.secure();
    binds
        .filter_map(|(listener, config, _)| bind(listener, config.tls.as_ref()))
        .collect()
}

pub(super) fn bind(listener: &Listener, tls: Option<&BindTls>) -> Option<TlsStatus> {
    let certs = tls?.certs.iter();
    Some(TlsStatus {
        bind: listener.address.to_string(),
        certs: certs.map(|certs| whole(&certs.path)).collect(),
    })
}

/// `now`: seconds since 1970.
pub(super) fn status(snapshot: &Snapshot, now: i64) -> Vec<CertificateStatus> {
    let mut binds: HashMap<&Path, Vec<String>> = HashMap::new();
    let frontends = snapshot.frontends.iter().flat_map(Frontend::secure);
    let frontends = frontends.map(|(listener, _, terminator)| (listener, terminator));
    let admin = snapshot.admin.as_ref().and_then(|admin| {
        let terminator = admin.terminator.as_deref()?;
        Some((&*admin.listener, terminator))
    });
    for (listener, terminator) in frontends.chain(admin) {
        for shown in terminator.shown() {
            if shown.default || !shown.names.is_empty() {
                let address = listener.address.to_string();
                binds.entry(&shown.file.path).or_default().push(address);
            }
        }
    }
    let files = snapshot.certificates.all().into_iter();
    let told = files.map(|file| {
        let binds = binds.remove(&*file.path).unwrap_or_default();
        certificate(file, binds, now)
    });
    told.collect()
}

fn certificate(file: &File, binds: Vec<String>, now: i64) -> CertificateStatus {
    let leaf = &file.bundle.leaf;
    CertificateStatus {
        file: whole(&file.path),
        names: leaf.names.clone(),
        issuer: leaf.issuer.clone(),
        not_before: time(leaf.not_before),
        not_after: time(leaf.not_after),
        days_left: leaf.days_left(now),
        state: match leaf.validity(now) {
            Validity::Days(_) => CertificateState::Valid,
            Validity::Expired(_) => CertificateState::Expired,
            Validity::NotYet => CertificateState::NotYetValid,
        },
        fingerprint: leaf.fingerprint.clone(),
        binds,
    }
}

/// RFC 3339; what lies beyond the year 9999 ends with it.
fn time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds);
    time.unwrap_or(Timestamp::MAX).to_string()
}
