//! TLS towards servers: who is trusted, what is asked for and shown.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lb_proto::config::{self, Address, Certificates, Protocol, ServerTls};
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ALL_VERSIONS, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TlsError;
use super::verify::{Anybody, Trusted};
use super::words::why;

/// What is done in handshakes with one server. As long as a reload changes nothing about them, it
/// stays, and so do the sessions that can be resumed.
pub(crate) struct Originator {
    /// Tells it from every other of the process; never 0.
    pub(crate) uid: u64,
    /// As configured.
    config: ServerTls,
    protocol: Protocol,
    name: ServerName<'static>,
    connector: TlsConnector,
    /// Every handshake whole, so that each looks at the certificate.
    checking: TlsConnector,
}

/// Makes those of a configuration. Servers that trust the same share what it takes.
pub(crate) struct Originators<'a> {
    certificates: &'a Certificates,
    /// Those of the configuration before.
    before: Option<&'a Certificates>,
    provider: Arc<CryptoProvider>,
    /// By `ca`.
    trusted: HashMap<Option<PathBuf>, Arc<dyn ServerCertVerifier>>,
}

impl<'a> Originators<'a> {
    pub(crate) fn new(certificates: &'a Certificates, before: Option<&'a Certificates>) -> Self {
        Self {
            certificates,
            before,
            provider: Arc::new(default_provider()),
            trusted: HashMap::new(),
        }
    }

    /// That of a server, if it is spoken to by TLS: `old`, the one that it had, if that does the same.
    pub(crate) fn of(
        &mut self,
        protocol: Protocol,
        server: &config::Server,
        old: Option<&Arc<Originator>>,
    ) -> Result<Option<Arc<Originator>>, TlsError> {
        static UIDS: AtomicU64 = AtomicU64::new(1);
        let Some(tls) = &server.tls else {
            return Ok(None);
        };
        let name = name(tls, &server.address);
        let alike = |old: &&Arc<Originator>| {
            let before = self
                .before
                .is_some_and(|b| self.certificates.are_as_to(tls, b));
            before && old.protocol == protocol && old.config == *tls && old.name == name
        };
        if let Some(old) = old.filter(alike) {
            return Ok(Some(old.clone()));
        }
        let config = self.client(tls)?;
        let mut checking = config.clone();
        checking.resumption = Resumption::disabled();
        Ok(Some(Arc::new(Originator {
            uid: UIDS.fetch_add(1, Ordering::Relaxed),
            config: tls.clone(),
            protocol,
            name,
            connector: Arc::new(config).into(),
            checking: Arc::new(checking).into(),
        })))
    }

    fn client(&mut self, tls: &ServerTls) -> Result<ClientConfig, TlsError> {
        let verifier = self.verifier(tls)?;
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(ALL_VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = match self.certificates.own(tls) {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let (chain, key) = (file.bundle.chain.clone(), file.bundle.key.clone());
                let own = SingleCertAndKey::from(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(own))
            }
        };
        client.alpn_protocols = tls.alpn.iter().map(|p| p.clone().into()).collect();
        // One name is asked for: rustls keeps its last session, or its last eight tickets.
        client.resumption = Resumption::in_memory_sessions(1);
        Ok(client)
    }

    fn verifier(&mut self, tls: &ServerTls) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        if !tls.verify {
            return Ok(Arc::new(Anybody(self.provider.clone())));
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

impl Originator {
    pub(crate) fn connector(&self) -> &TlsConnector {
        &self.connector
    }

    /// What is asked for.
    pub(crate) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// A handshake for a check, or why there is none. The caller bounds the time.
    pub(crate) async fn check(
        &self,
        stream: TcpStream,
    ) -> Result<Box<TlsStream<TcpStream>>, String> {
        let shaken = self.checking.connect(self.name(), stream).await;
        let agreed = shaken.and_then(|stream| {
            self.agree(stream.get_ref().1.alpn_protocol())?;
            Ok(Box::new(stream))
        });
        agreed.map_err(|error| self.why(&error))
    }

    /// What is wrong between us and the server, if an error tells.
    pub(crate) fn why(&self, error: &io::Error) -> String {
        why(error, &self.name)
    }

    /// Whether what was agreed on in a handshake is what has to be spoken.
    pub(crate) fn agree(&self, alpn: Option<&[u8]>) -> io::Result<()> {
        match self.protocol {
            Protocol::Http2 if alpn != Some(b"h2") => Err(io::Error::other(
                "it does not speak HTTP/2 (ALPN): `protocol` may be \"http1\"",
            )),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Originator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Originator")
            .field("uid", &self.uid)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What a server is asked for and has to be: what `sni` says, or its host.
fn name(tls: &ServerTls, address: &Address) -> ServerName<'static> {
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
