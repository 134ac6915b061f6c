//! The certificate files that a configuration names, read and judged.

mod again;
mod staple;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::Config;
use super::file::report::Report;
use super::problem::Fault;
use super::tls::{BindTls, Located, ServerTls};
use crate::error::Problem;
use crate::pem::{self, File, Validity};

pub use self::again::{Again, Unusable};
pub use self::staple::staple;

/// With so many days left, whoever renews it has failed for weeks, and somebody has to look.
pub const URGENT_DAYS: i64 = 7;

/// What they hold, by the path that the configuration has: a file, or a folder of them.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    pub(super) files: HashMap<PathBuf, Vec<Arc<File>>>,
    /// What servers are shown.
    pub(super) own: HashMap<PathBuf, Arc<File>>,
    pub(super) authorities: HashMap<PathBuf, Vec<CertificateDer<'static>>>,
    /// Whom the system trusts, where that is asked.
    pub(super) system: Vec<CertificateDer<'static>>,
}

impl Certificates {
    /// Those of a bind, in the order in which they were named; the first is the default.
    pub fn of_bind<'a>(&'a self, tls: &'a BindTls) -> impl Iterator<Item = &'a Arc<File>> {
        let paths = tls.certs.iter().map(|certs| &certs.path);
        paths.flat_map(|path| self.files.get(path)).flatten()
    }

    /// Each file once, by its path.
    pub fn all(&self) -> Vec<&Arc<File>> {
        let shown = self.files.values().flatten();
        let mut files: Vec<_> = shown.chain(self.own.values()).collect();
        files.sort_by_key(|file| &file.path);
        files.dedup_by_key(|file| &file.path);
        files
    }

    /// Whether the same is shown and asked for as with `other`.
    pub fn are_as(&self, other: &Self) -> bool {
        let same = |(path, files): (&PathBuf, &Vec<Arc<File>>)| {
            other.files.get(path).is_some_and(|others| {
                let pairs = files.iter().zip(others);
                files.len() == others.len() && pairs.into_iter().all(|(a, b)| a.is_as(b))
            })
        };
        let own = |(path, file): (&PathBuf, &Arc<File>)| {
            other.own.get(path).is_some_and(|other| file.is_as(other))
        };
        self.files.len() == other.files.len()
            && self.files.iter().all(same)
            && self.own.len() == other.own.len()
            && self.own.iter().all(own)
            && self.authorities == other.authorities
            && self.system == other.system
    }

    /// Who clients' certificates are issued by.
    pub fn authorities(&self, path: &Path) -> &[CertificateDer<'static>] {
        self.authorities.get(path).map_or(&[], Vec::as_slice)
    }

    /// Who the certificates of servers are issued by.
    pub fn trusted(&self, tls: &ServerTls) -> &[CertificateDer<'static>] {
        match &tls.ca {
            Some(ca) => self.authorities(&ca.path),
            None => &self.system,
        }
    }

    /// What servers are shown that ask for a certificate.
    pub fn own(&self, tls: &ServerTls) -> Option<&Arc<File>> {
        self.own.get(&tls.cert.as_ref()?.path)
    }

    /// Whether handshakes with servers are those with `other`.
    pub fn are_as_to(&self, tls: &ServerTls, other: &Self) -> bool {
        let own = match (self.own(tls), other.own(tls)) {
            (Some(own), Some(others)) => own.is_as(others),
            (own, others) => own.is_none() && others.is_none(),
        };
        own && self.trusted(tls) == other.trusted(tls)
    }
}

/// Reads what the configuration names. `now`: seconds since 1970.
///
/// # Errors
/// Every file that is of no use, at the place that names it.
pub(super) fn read(
    config: &Config,
    file: &str,
    text: &str,
    now: i64,
) -> Result<(Certificates, Vec<Problem>), Vec<Problem>> {
    let reader = Reader {
        report: Report::new(file, text),
        warnings: Report::new(file, text),
        system: OnceCell::new(),
        told: RefCell::default(),
        now,
    };
    let mut found = Certificates::default();
    for tls in config.binds_tls() {
        for certs in &tls.certs {
            if !found.files.contains_key(&certs.path) {
                found.files.insert(certs.path.clone(), reader.files(certs));
            }
        }
        if let Some(ca) = &tls.client_ca {
            found
                .authorities
                .insert(ca.path.clone(), reader.authorities(ca));
        }
    }
    let servers = config.backends.iter().flat_map(|b| &b.servers);
    for tls in servers.filter_map(|server| server.tls.as_ref()) {
        reader.of_server(tls, &mut found);
    }
    if let Some(tls) = config.traces.as_ref().and_then(|t| t.tls.as_ref()) {
        reader.of_server(tls, &mut found);
    }
    match reader.report.finish() {
        problems if problems.is_empty() => Ok((found, reader.warnings.finish())),
        problems => Err(problems),
    }
}

/// What can be served, but should not stay so. `now`: seconds since 1970.
fn judged(file: &File, now: i64) -> Vec<Fault> {
    let path = file.path.display();
    let open = file.open_to_all.map(|mode| {
        Fault::new(
            format!("everybody may read the key in {path} (mode {mode:04o})"),
            "chmod 0600 the file",
        )
    });
    expiry(file, now)
        .into_iter()
        .chain(issuer(file, now))
        .chain(open)
        .chain(staple(file, now))
        .collect()
}

/// What is to be said of an intermediate whose time is not now.
fn issuer(file: &File, now: i64) -> Option<Fault> {
    let (who, validity) = file.bundle.refused_issuer(now)?;
    let path = file.path.display();
    let (what, remedy) = match validity {
        Validity::NotYet => ("is not valid yet", "look at this machine's clock"),
        Validity::Expired(_) | Validity::Days(_) => (
            "has expired",
            "put in the chain that the authority gives now: certbot renew --force-renewal",
        ),
    };
    let message = format!("the intermediate certificate of {who} in {path} {what}: it is refused");
    Some(Fault::new(message, remedy))
}

/// What is to be said of a certificate that has expired, is about to, or is not valid yet. `now`:
/// seconds since 1970.
pub fn expiry(file: &File, now: i64) -> Option<Fault> {
    let path = file.path.display();
    let names = pem::in_short(&file.bundle.leaf.names);
    let (what, remedy) = match file.bundle.leaf.validity(now) {
        Validity::Days(URGENT_DAYS..) => return None,
        Validity::Days(0) => (
            "expires in less than a day".to_owned(),
            "renew it: certbot renew",
        ),
        Validity::Days(left) => (
            format!("expires in {}", count(left, "day")),
            "renew it: certbot renew",
        ),
        Validity::Expired(0) => (
            "expired less than a day ago".to_owned(),
            "renew it; it is refused",
        ),
        Validity::Expired(ago) => (
            format!("expired {} ago", count(ago, "day")),
            "renew it; it is refused",
        ),
        Validity::NotYet => (
            "is not valid yet".to_owned(),
            "look at this machine's clock; it is refused",
        ),
    };
    Some(Fault::new(format!("{path} ({names}) {what}"), remedy))
}

fn count(number: i64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

struct Reader<'a> {
    report: Report<'a>,
    warnings: Report<'a>,
    /// Whom the system trusts, once that was asked.
    system: OnceCell<Result<Vec<CertificateDer<'static>>, pem::NoAuthorities>>,
    /// Where it was told that servers are not verified, or cannot be.
    told: RefCell<BTreeSet<usize>>,
    now: i64,
}

impl Reader<'_> {
    /// What the TLS of a server names. Many servers may have it from their backend.
    fn of_server(&self, tls: &ServerTls, found: &mut Certificates) {
        if let Some(ca) = &tls.ca
            && !found.authorities.contains_key(&ca.path)
        {
            let authorities = self.authorities(ca);
            found.authorities.insert(ca.path.clone(), authorities);
        }
        if let Some(cert) = &tls.cert
            && !found.own.contains_key(&cert.path)
        {
            match File::read(&cert.path) {
                Ok(file) => {
                    self.judge(cert, &file);
                    found.own.insert(cert.path.clone(), Arc::new(file));
                }
                Err(error) => self.unusable(cert, &error),
            }
        }
        if !tls.verify && self.told.borrow_mut().insert(tls.place.0) {
            let message =
                "who the server is, is not verified: anybody on the way to it can take its place";
            let remedy = "name who issued its certificate, or that itself if nobody did, in `ca`";
            self.warnings
                .wrong(tls.place.0, Fault::new(message, remedy));
        }
        if tls.verify && tls.ca.is_none() {
            match self.system.get_or_init(pem::trusted_by_system) {
                Ok(authorities) => {
                    if found.system.is_empty() {
                        found.system.clone_from(authorities);
                    }
                }
                Err(error) if self.told.borrow_mut().insert(tls.place.0) => {
                    let fault = Fault::new(error.to_string(), pem::NoAuthorities::REMEDY);
                    self.report.wrong(tls.place.0, fault);
                }
                Err(_) => {}
            }
        }
    }

    fn files(&self, certs: &Located) -> Vec<Arc<File>> {
        let listing = match pem::list(&certs.path) {
            Ok(listing) => listing,
            Err(source) => {
                self.unusable(
                    certs,
                    &pem::FileError::Unreadable {
                        path: certs.path.clone(),
                        source,
                    },
                );
                return Vec::new();
            }
        };
        for path in &listing.ignored {
            let message = format!("{} is not read", path.display());
            let remedy = "put chain and key into one file whose name ends in .pem";
            self.warnings.wrong(certs.at, Fault::new(message, remedy));
        }
        if listing.files.is_empty() {
            let message = format!("there is no .pem file in {}", certs.path.display());
            let remedy = "put one there: lbctl cert assemble --lineage DIR --out FILE";
            self.report.wrong(certs.at, Fault::new(message, remedy));
        }
        let read = listing.files.iter().map(|path| File::read(path));
        let good = read.filter_map(|file| file.map_err(|e| self.unusable(certs, &e)).ok());
        good.map(|file| {
            self.judge(certs, &file);
            Arc::new(file)
        })
        .collect()
    }

    fn unusable(&self, certs: &Located, error: &pem::FileError) {
        let fault = Fault::new(error.to_string(), error.remedy());
        self.report.wrong(certs.at, fault);
    }

    fn judge(&self, certs: &Located, file: &File) {
        for fault in judged(file, self.now) {
            self.warnings.wrong(certs.at, fault);
        }
    }

    fn authorities(&self, ca: &Located) -> Vec<CertificateDer<'static>> {
        let read = pem::authorities(&ca.path);
        read.unwrap_or_else(|error| {
            self.unusable(ca, &error);
            Vec::new()
        })
    }
}
