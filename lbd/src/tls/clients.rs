//! What clients have to show, and for how long that counts.

use std::sync::Arc;

use lb_proto::config::{BindTls, ClientAuth};
use lb_proto::pem::Leaf;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::{TlsError, tickets};

pub(super) fn verifier(
    config: &BindTls,
    authorities: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(ca) = config
        .client_ca
        .as_ref()
        .filter(|_| config.client_auth != ClientAuth::None)
    else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let unfit = |source: Box<dyn std::error::Error + Send + Sync>| TlsError::ClientCa {
        path: ca.path.display().to_string(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|e| unfit(e.into()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = match config.client_auth {
        ClientAuth::Optional => verifier.allow_unauthenticated(),
        ClientAuth::Required | ClientAuth::None => verifier,
    };
    let verifier = verifier.build().map_err(|e| unfit(e.into()))?;
    Ok(Arc::new(UntilItExpires(verifier)))
}

/// Verifies as ever; the session ends with the certificate: when it is resumed nobody looks at that again.
#[derive(Debug)]
struct UntilItExpires(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for UntilItExpires {
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(leaf, rest, now)?;
        let expires = Leaf::of(leaf).map_or(0, |leaf| leaf.not_after);
        tickets::ends_by(expires.try_into().unwrap_or(0));
        Ok(verified)
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
