//! Certificates and keys: how long they and the OCSP responses beside them are good for, who may read
//! them, and whether clients are shown what the files hold.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lb_proto::config::{Config, expiry, staple};
use lb_proto::error::Problem;
use lb_proto::pem::{self, FileError, Validity};
use lb_proto::status::CertificateStatus;

use super::configuration::lines;
use super::finding::Finding;
use super::scene::{File, Scene, is_root};
use crate::there;

const CHECK: &str = "certificates";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let File::Read(read) = &scene.file else {
        let why = "where they are is in the configuration file";
        return vec![Finding::not_looked_at(CHECK, "certificates", why)];
    };
    let paths = paths(&read.config);
    let mut findings = Vec::new();
    let mut good: Vec<i64> = Vec::new();
    for path in &paths {
        match pem::File::read(path) {
            Ok(file) => {
                let found = of_file(&file, scene);
                match (
                    found.is_empty(),
                    file.bundle.leaf.validity(scene.now.as_second()),
                ) {
                    (true, Validity::Days(days)) => good.push(days),
                    _ => findings.extend(found),
                }
            }
            Err(error) => findings.push(unread(&error, is_root())),
        }
    }
    if let (Err(problems), true) = (&read.certificates, findings.is_empty()) {
        findings.push(of_no_use(scene, problems));
    }
    if let Some(least) = good.iter().min() {
        let count = match good.len() {
            1 => "the certificate is".to_owned(),
            many => format!("{many} certificates are"),
        };
        findings.push(Finding::fine(
            CHECK,
            format!("{count} good for {least} days and more"),
        ));
    } else if paths.is_empty() && findings.is_empty() {
        findings.push(Finding::fine(
            CHECK,
            "the configuration names no certificate",
        ));
    }
    findings
}

/// Every file with a key that the configuration leads to.
fn paths(config: &Config) -> BTreeSet<PathBuf> {
    let certs = config.binds_tls().flat_map(|tls| &tls.certs);
    let shown = certs.flat_map(|certs| match pem::list(&certs.path) {
        Ok(listing) => listing.files,
        // Reading it tells why.
        Err(_) => vec![certs.path.clone()],
    });
    let servers = config.backends.iter().flat_map(|b| &b.servers);
    let own = servers.filter_map(|server| server.tls.as_ref()?.cert.as_ref());
    shown.chain(own.map(|cert| cert.path.clone())).collect()
}

fn of_file(file: &pem::File, scene: &Scene) -> Vec<Finding> {
    let path = file.path.display();
    let mut findings = Vec::new();
    let validity = file.bundle.leaf.validity(scene.now.as_second());
    if let Some(fault) = expiry(file, scene.now.as_second()) {
        let finding = Finding::problem(CHECK, fault.message).place(path.to_string());
        findings.push(match validity {
            Validity::NotYet => finding
                .why(format!(
                    "this machine's clock says {}",
                    crate::ui::words::time(&scene.now.to_string())
                ))
                .remedy("set the clock, if it is late; the certificate is refused until then")
                .command("timedatectl"),
            _ => finding.remedy(fault.remedy).command("sudo certbot renew"),
        });
    }
    if let Some(fault) = staple(file, scene.now.as_second()) {
        findings.push(
            Finding::problem(CHECK, fault.message)
                .place(path.to_string())
                .remedy(fault.remedy),
        );
    }
    if let Some(mode) = file.open_to_all {
        let what = format!("everybody on this machine may read the key in {path}");
        findings.push(
            Finding::problem(CHECK, what)
                .place(path.to_string())
                .why(format!("its mode is {mode:04o}"))
                .remedy("let its owner alone read it; it has to be lbd's user")
                .command(format!("sudo chmod 0600 {path}")),
        );
    }
    let shown = scene
        .status()
        .into_iter()
        .flat_map(|status| &status.certificates);
    if scene.is_the_daemons() {
        findings.extend(shown.filter_map(|shown| older(file, shown)));
    }
    findings
}

/// The daemon shows what the file held before.
fn older(file: &pem::File, shown: &CertificateStatus) -> Option<Finding> {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let same_file = whole(Path::new(&shown.file)) == whole(&file.path);
    if !same_file || shown.fingerprint == file.bundle.leaf.fingerprint {
        return None;
    }
    let path = file.path.display();
    let what = format!("lbd shows an older certificate than {path} holds");
    Some(
        Finding::problem(CHECK, what)
            .place(path.to_string())
            .why(format!(
                "it shows one until {}",
                crate::ui::words::time(&shown.not_after)
            ))
            .remedy("have lbd read it; lbctl cert install as Certbot's hook does so by itself")
            .command(there::as_root("reload")),
    )
}

fn unread(error: &FileError, root: bool) -> Finding {
    match error {
        FileError::Unreadable { path, source }
            if source.kind() == ErrorKind::PermissionDenied && !root =>
        {
            let why = "you may not read it, as it should be";
            Finding::not_looked_at(CHECK, path.display().to_string(), why)
                .remedy("run it with sudo")
        }
        FileError::Unreadable { path, .. } | FileError::Unusable { path, .. } => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            Finding::problem(CHECK, error.to_string())
                .place(path.display().to_string())
                .why(cause.unwrap_or_default())
                .remedy(error.remedy())
        }
    }
}

/// Something else that the configuration names: an authority, an empty folder.
fn of_no_use(scene: &Scene, problems: &[Problem]) -> Finding {
    let path = scene.path.display().to_string();
    let what = "certificate files that the configuration names are of no use: a reload fails";
    let finding = Finding::problem(CHECK, what).place(path.clone());
    let finding = lines(problems).into_iter().fold(finding, Finding::why);
    finding
        .remedy("mend what is told there")
        .command(format!("lbctl validate {path}"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn a_key_that_is_not_ours_to_read_is_as_it_should_be() {
        let error = FileError::Unreadable {
            path: "/etc/lbd/certs/a.pem".into(),
            source: io::Error::from(ErrorKind::PermissionDenied),
        };
        assert_eq!(unread(&error, false).severity, Severity::NotLookedAt);
        assert_eq!(unread(&error, true).severity, Severity::Problem);
        let error = FileError::Unusable {
            path: "/etc/lbd/certs/a.pem".into(),
            source: pem::PemError::NoKey,
        };
        let found = unread(&error, false);
        assert_eq!(found.severity, Severity::Problem);
        assert!(found.remedy.unwrap().contains("privkey.pem"));
    }
}
