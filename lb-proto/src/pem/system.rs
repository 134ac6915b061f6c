//! Whom this system trusts: the certificates that its `ca-certificates`, or the like, installs.

use rustls_native_certs::load_native_certs;
use rustls_pki_types::CertificateDer;

/// The system trusts nobody, as far as can be seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this system has no certificate authorities to verify the server with{0}")]
pub struct NoAuthorities(String);

impl NoAuthorities {
    pub const REMEDY: &'static str =
        "install the package ca-certificates, or name the authority: ca = \"/etc/lbd/ca.pem\"";
}

/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name other places, as for OpenSSL.
///
/// # Errors
/// Where there is not one. Single files of no use are passed over, as everybody does.
pub fn trusted_by_system() -> Result<Vec<CertificateDer<'static>>, NoAuthorities> {
    let found = load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first();
        return Err(NoAuthorities(
            why.map(|error| format!(": {error}")).unwrap_or_default(),
        ));
    }
    Ok(found.certs)
}
