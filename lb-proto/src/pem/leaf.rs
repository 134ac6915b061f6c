//! What a certificate says (RFC 5280), and in which order a chain stands.

use std::fmt::Write;
use std::net::IpAddr;

use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use sha2::{Digest, Sha256};
use x509_parser::error::X509Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::PemError;

/// What is told of the first certificate of a chain. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The DNS names and addresses that it is for (RFC 9525: the common name counts only where there
    /// are none).
    pub names: Vec<String>,
    pub not_before: i64,
    pub not_after: i64,
    /// SHA-256 over the certificate, in hexadecimal.
    pub fingerprint: String,
    /// Who issued it: its organization or common name.
    pub issuer: String,
}

/// How a certificate stands at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For so many whole days more.
    Days(i64),
    /// Since so many whole days.
    Expired(i64),
    NotYet,
}

const DAY: i64 = 24 * 60 * 60;

impl Validity {
    pub(super) fn between(not_before: i64, not_after: i64, now: i64) -> Self {
        if now < not_before {
            Self::NotYet
        } else if now > not_after {
            Self::Expired((now - not_after) / DAY)
        } else {
            Self::Days((not_after - now) / DAY)
        }
    }
}

impl Leaf {
    /// What a certificate says.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, PemError> {
        describe(der, &parse(der)?)
    }

    /// Whole days; negative from the moment of expiry. `now`: seconds since 1970.
    pub fn days_left(&self, now: i64) -> i64 {
        self.not_after.saturating_sub(now).div_euclid(DAY)
    }

    /// `now`: seconds since 1970.
    pub fn validity(&self, now: i64) -> Validity {
        Validity::between(self.not_before, self.not_after, now)
    }

    /// What it is called, for people.
    pub fn name(&self) -> &str {
        self.names.first().map_or("nobody", String::as_str)
    }

    /// The names of `other` that it is not for.
    pub fn lacks<'a>(&self, other: &'a Leaf) -> Vec<&'a str> {
        let named = |name: &str| self.names.iter().any(|pattern| covers(pattern, name));
        let names = other.names.iter().map(String::as_str);
        names.filter(|name| !named(name)).collect()
    }
}

/// Names in one line, however many there are.
pub fn in_short(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().map(AsRef::as_ref).take(SHOWN).collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether a certificate for `pattern` is one for `name`; a `*` stands for one label (RFC 9525, 6.3).
pub fn covers(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (pattern.strip_prefix("*."), name.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && label != "*" && parent.eq_ignore_ascii_case(rest)
}

/// The certificate of this key, and the chain from it upwards. A root at its end is left out:
/// clients have it or do not trust it.
pub(super) fn order(
    certificates: Vec<CertificateDer<'static>>,
    key: &SubjectPublicKeyInfoDer<'_>,
) -> Result<(Leaf, Vec<CertificateDer<'static>>), PemError> {
    let parsed = certificates
        .iter()
        .map(|der| parse(der))
        .collect::<Result<Vec<_>, _>>()?;
    let first = parsed
        .iter()
        .position(|one| one.public_key().raw == key.as_ref())
        .ok_or(PemError::OtherKey)?;
    let leaf = describe(&certificates[first], &parsed[first])?;
    let mut chain = vec![first];
    let mut left: Vec<usize> = (0..parsed.len())
        .filter(|i| parsed[*i].as_ref() != parsed[first].as_ref())
        .collect();
    let mut last = first;
    while let Some(at) = left.iter().position(|i| issued(&parsed[*i], &parsed[last])) {
        last = left.remove(at);
        left.retain(|i| parsed[*i].as_ref() != parsed[last].as_ref());
        chain.push(last);
    }
    if let Some(stray) = left.first().map(|i| &parsed[*i]) {
        let subject = common_name(stray.subject());
        let is_namesake = chain.iter().any(|i| named_as_issuer(stray, &parsed[*i]));
        return Err(match is_namesake {
            true => PemError::Namesake(subject),
            false => PemError::Stray(subject),
        });
    }
    let is_root = |i: usize| parsed[i].subject().as_raw() == parsed[i].issuer().as_raw();
    if chain.len() > 1 && is_root(last) {
        chain.pop();
    }
    let chain = chain.into_iter().map(|i| certificates[i].clone()).collect();
    Ok((leaf, chain))
}

/// Whether `one` was signed by `issuer`. Signatures of kinds that cannot be verified here are believed.
fn issued(issuer: &X509Certificate<'_>, one: &X509Certificate<'_>) -> bool {
    let forged = |error| matches!(error, X509Error::SignatureVerificationError);
    named_as_issuer(issuer, one)
        && !one
            .verify_signature(Some(issuer.public_key()))
            .is_err_and(forged)
}

fn named_as_issuer(issuer: &X509Certificate<'_>, one: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == one.issuer().as_raw()
}

/// Who a certificate is for, and how it stands at `now`, in seconds since 1970.
pub(super) fn standing(der: &CertificateDer<'_>, now: i64) -> Option<(String, Validity)> {
    let one = parse(der).ok()?;
    let (from, until) = (one.validity().not_before, one.validity().not_after);
    let validity = Validity::between(from.timestamp(), until.timestamp(), now);
    Some((common_name(one.subject()), validity))
}

/// The number that its issuer gave it, as it stands there.
pub(super) fn serial(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(parse(der).ok()?.raw_serial().to_vec())
}

/// Whether it names itself as its issuer.
pub fn is_root(der: &CertificateDer<'_>) -> bool {
    parse(der).is_ok_and(|one| one.subject().as_raw() == one.issuer().as_raw())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, PemError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(PemError::BadCertificate("bytes follow it".to_owned())),
        Err(error) => Err(PemError::BadCertificate(error.to_string())),
    }
}

fn describe(der: &CertificateDer<'_>, certificate: &X509Certificate<'_>) -> Result<Leaf, PemError> {
    let bad = |e: X509Error| PemError::BadCertificate(e.to_string());
    let alternatives = certificate.subject_alternative_name().map_err(bad)?;
    let alternatives = alternatives.map_or(&[][..], |extension| &extension.value.general_names);
    let mut names: Vec<String> = alternatives.iter().filter_map(name).collect();
    if names.is_empty() {
        names.push(common_name(certificate.subject()));
    }
    let issuer = certificate.issuer();
    let organization = issuer.iter_organization().next();
    let organization = organization.and_then(|o| o.as_str().ok());
    Ok(Leaf {
        names,
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        fingerprint: fingerprint(der),
        issuer: organization.map_or_else(|| common_name(issuer), str::to_owned),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| v6()).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

fn common_name(name: &x509_parser::x509::X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    let common = common.and_then(|name| name.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

/// SHA-256 over a certificate, in hexadecimal.
pub fn fingerprint(der: &[u8]) -> String {
    let sha256 = Sha256::digest(der);
    sha256.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
