//! Whether a server is the one that it says it is.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::pem::{Leaf, Validity, is_root};

/// Who is trusted: authorities, and servers whose very certificates are given.
#[derive(Debug)]
pub(super) struct Trusted {
    authorities: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl Trusted {
    /// `given` are authorities to be trusted in any case, or what a server shows that made its
    /// certificate itself; others, such as the system's, may be of no use.
    pub(super) fn new(
        certificates: &[CertificateDer<'static>],
        given: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
        Ok(Self {
            authorities: verifier.build()?,
            given: match given {
                true => certificates.to_vec(),
                false => Vec::new(),
            },
        })
    }
}

/// Nobody else speaks for a server, and it was not given.
#[derive(Debug, thiserror::Error)]
#[error("nobody issued its certificate but itself; `ca` may name that")]
pub(super) struct OfItsOwn;

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.given.contains(leaf) {
            let authorities = &self.authorities;
            let verified = authorities.verify_server_cert(leaf, chain, name, ocsp, now);
            return verified.map_err(|error| match is_root(leaf) {
                true => CertificateError::Other(OtherError(Arc::new(OfItsOwn))).into(),
                false => error,
            });
        }
        // One that was made with `openssl req -x509` is an authority of its own, which no server may
        // be by the rules; here it was named as such.
        verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
        let described = Leaf::of(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match described.validity(seconds) {
            Validity::Days(_) => Ok(ServerCertVerified::assertion()),
            Validity::Expired(_) => Err(CertificateError::Expired.into()),
            Validity::NotYet => Err(CertificateError::NotValidYet.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities
            .verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

/// Anybody is trusted who has the key of what is shown: for a look at that, or where nobody is to be
/// verified.
#[derive(Debug)]
pub struct Anybody {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

impl Anybody {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        let algorithms = &provider.signature_verification_algorithms;
        let schemes = algorithms.supported_schemes();
        Self { provider, schemes }
    }

    /// Only keys that sign in one of these ways are asked for.
    pub fn who_signs(schemes: Vec<SignatureScheme>, provider: Arc<CryptoProvider>) -> Self {
        Self { provider, schemes }
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
