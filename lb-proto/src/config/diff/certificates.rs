//! What the certificate files hold, by fingerprint: a renewed file is a change though no word of the
//! configuration differs.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::{Differ, matched};
use crate::config::Certificates;
use crate::pem::{File, in_short};
use crate::plan::{Change, Effect, Kind, Section};

const SHOWN: Effect = Effect::NewHandshakes;

/// What handshakes do differently with `new`, where the configuration is the same. `now`: seconds
/// since 1970.
pub fn diff_certificates(old: &Certificates, new: &Certificates, now: i64) -> Vec<Change> {
    let mut changes = Vec::new();
    let (had, has) = (old.all(), new.all());
    let all = matched(&had, &has, |file| &file.path);
    for (_, gone) in &all.gone {
        at(&gone.path, &mut changes).removed(summary(gone, now), SHOWN);
    }
    for one in &all.present {
        let mut at = at(&one.new.path, &mut changes);
        match one.old {
            Some((_, old)) => differ(&mut at, old, one.new, now),
            None => at.added(summary(one.new, now), SHOWN),
        }
    }
    authorities(old, new, &mut changes);
    changes
}

fn at<'a>(path: &Path, changes: &'a mut Vec<Change>) -> Differ<'a> {
    Differ::new(Section::Certificate, &path.display().to_string(), changes)
}

fn differ(at: &mut Differ<'_>, old: &Arc<File>, new: &Arc<File>, now: i64) {
    if old.is_as(new) {
        return;
    }
    if old.bundle.leaf.fingerprint == new.bundle.leaf.fingerprint {
        // The same certificate: its chain or its OCSP response is another.
        let key = if old.ocsp == new.ocsp {
            "chain"
        } else {
            "ocsp"
        };
        return at.tell(Kind::Changed, Some(key), (None, None), SHOWN);
    }
    let values = (Some(summary(old, now)), Some(summary(new, now)));
    at.tell(Kind::Changed, None, values, SHOWN);
}

/// `example.com, www.example.com, 89 days left, 25bfae534d7d57a6`
fn summary(file: &File, now: i64) -> String {
    /// Of a fingerprint, in characters: as `lbctl cert list` has it.
    const SHORT: usize = 16;
    let leaf = &file.bundle.leaf;
    let names = in_short(&leaf.names);
    let days = match leaf.days_left(now) {
        1 => "1 day left".to_owned(),
        0.. => format!("{} days left", leaf.days_left(now)),
        _ => "expired".to_owned(),
    };
    let short = leaf.fingerprint.get(..SHORT).unwrap_or(&leaf.fingerprint);
    format!("{names}, {days}, {short}")
}

/// Files of authorities that both have, and whom the system trusts.
fn authorities(old: &Certificates, new: &Certificates, changes: &mut Vec<Change>) {
    let count = |of: &[CertificateDer<'_>]| Some(format!("{} certificates", of.len()));
    let mut tell = |path: &str, old: &[CertificateDer<'_>], new: &[CertificateDer<'_>]| {
        let mut at = Differ::new(Section::Certificate, path, changes);
        at.tell(
            Kind::Changed,
            Some("authorities"),
            (count(old), count(new)),
            SHOWN,
        );
    };
    let mut paths: Vec<_> = old
        .authorities
        .keys()
        .chain(new.authorities.keys())
        .collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let (before, after) = (old.authorities(path), new.authorities(path));
        if before != after {
            tell(&path.display().to_string(), before, after);
        }
    }
    if old.system != new.system {
        tell("the system's", &old.system, &new.system);
    }
}
