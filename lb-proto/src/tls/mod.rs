//! TLS towards servers, the same for whoever speaks to one: who is trusted, what is asked for and
//! shown, and why a handshake failed. Never opens a connection.

mod sessions;
mod verify;
mod words;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::VerifierBuilderError;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ALL_VERSIONS, ClientConfig};

use self::sessions::Sessions;
pub use self::verify::Anybody;
use self::verify::Trusted;
pub use self::words::why;
use crate::config::{Address, Certificates, ServerTls};

/// Why TLS cannot be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("nobody is trusted who could have issued the server's certificate")]
    Trusted(#[source] VerifierBuilderError),
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// Makes what handshakes with the servers of a configuration take. Servers that trust the same share
/// it.
pub struct Handshakes<'a> {
    certificates: &'a Certificates,
    provider: Arc<CryptoProvider>,
    /// By `ca`.
    trusted: HashMap<Option<PathBuf>, Arc<dyn ServerCertVerifier>>,
}

impl<'a> Handshakes<'a> {
    pub fn new(certificates: &'a Certificates) -> Self {
        Self {
            certificates,
            provider: Arc::new(default_provider()),
            trusted: HashMap::new(),
        }
    }

    /// With a server of these settings. It keeps the server's last session, to be resumed.
    ///
    /// # Errors
    /// Where nobody is trusted, or what is shown is of no use.
    pub fn with(&mut self, tls: &ServerTls) -> Result<ClientConfig, TlsError> {
        let sessions = Arc::new(Sessions::new(self.verifier(tls)?));
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(ALL_VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(sessions.clone());
        let mut client = match self.certificates.own(tls) {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let (chain, key) = (file.bundle.chain.clone(), file.bundle.key.clone());
                let own = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(own))
            }
        };
        client.alpn_protocols = tls.alpn.iter().map(|p| p.clone().into()).collect();
        client.resumption = Resumption::store(sessions);
        Ok(client)
    }

    fn verifier(&mut self, tls: &ServerTls) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        if !tls.verify {
            return Ok(Arc::new(Anybody::new(self.provider.clone())));
        }
        let ca = tls.ca.as_ref().map(|ca| ca.path.clone());
        if let Some(trusted) = self.trusted.get(&ca) {
            return Ok(trusted.clone());
        }
        let certificates = self.certificates.trusted(tls);
        let trusted = Trusted::new(certificates, ca.is_some(), &self.provider);
        let trusted = Arc::new(trusted.map_err(TlsError::Trusted)?);
        self.trusted.insert(ca, trusted.clone());
        Ok(trusted)
    }
}

/// What a server is asked for and has to be: what `sni` says, or its host.
pub fn name(tls: &ServerTls, address: &Address) -> ServerName<'static> {
    let ip = |address: &SocketAddr| ServerName::IpAddress(address.ip().into());
    let named = match (&tls.sni, address) {
        (Some(sni), _) => ServerName::try_from(sni.clone()),
        (None, Address::Ip(address)) => return ip(address),
        // The dot at the end of a name that is whole is no part of it in a certificate.
        (None, Address::Name { host, .. }) => {
            ServerName::try_from(host.trim_end_matches('.').to_owned())
        }
    };
    // Both were judged when they were read.
    named.unwrap_or_else(|_| ip(&SocketAddr::from(([0, 0, 0, 0], 0))))
}
