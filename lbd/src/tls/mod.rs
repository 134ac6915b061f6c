//! TLS: what a bind shows clients and asks of them here, towards servers in `originator`. rustls
//! stops here; its streams are `data/socket.rs`'s.

mod certificates;
mod clients;
mod originator;
mod tickets;

use std::sync::Arc;

use lb_proto::config::{BindTls, Certificates, TlsVersion};
use lb_proto::pem::File;
use lb_proto::tls;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{
    ALL_VERSIONS, CipherSuite, CommonState, HandshakeKind, ServerConfig, SupportedProtocolVersion,
};
use tokio_rustls::TlsAcceptor;

use self::certificates::Certs;
pub(crate) use self::originator::{Originator, Originators};
use self::tickets::Tickets;
pub(crate) use self::tickets::shaking;

/// What a bind does in handshakes.
pub(crate) struct Terminator {
    /// As configured.
    config: BindTls,
    /// Who issues the certificates that clients are asked for.
    authorities: Vec<CertificateDer<'static>>,
    tickets: Arc<Tickets>,
    acceptor: TlsAcceptor,
    shown: Vec<Shown>,
}

/// A certificate of a bind, and what it is shown for.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) file: Arc<File>,
    /// Those of its names for which no other comes first.
    pub(crate) names: Vec<String>,
    /// To clients that ask for no name that is known.
    pub(crate) default: bool,
}

/// Why TLS cannot be spoken as configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("client_ca {path} cannot be used")]
    ClientCa {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Towards(#[from] tls::TlsError),
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

impl Terminator {
    /// `before`: what the bind did until now. Its tickets go on unless it asked clients for other
    /// certificates: a session that is resumed is not asked again.
    pub(crate) fn new(
        config: &BindTls,
        certificates: &Certificates,
        before: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let ca = config.client_ca.iter();
        let authorities = ca.flat_map(|ca| certificates.authorities(&ca.path));
        let authorities: Vec<_> = authorities.cloned().collect();
        let asks_alike = |before: &&Self| {
            before.config.client_auth == config.client_auth && before.authorities == authorities
        };
        let tickets = match before.filter(asks_alike) {
            Some(before) => before.tickets.clone(),
            None => Arc::new(Tickets::new()?),
        };
        let provider = Arc::new(provider());
        let verifier = clients::verifier(config, &authorities, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(config.min_version))?
            .with_client_cert_verifier(verifier);
        let (certs, shown) = Certs::new(certificates.of_bind(config), config.strict_sni);
        let mut server = builder.with_cert_resolver(Arc::new(certs));
        server.alpn_protocols = config.alpn.iter().map(|p| p.clone().into()).collect();
        server.ignore_client_order = true;
        server.ticketer = tickets.clone();
        server.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: config.clone(),
            authorities,
            tickets,
            acceptor: Arc::new(server).into(),
            shown,
        })
    }

    /// The same, but that clients are shown these.
    pub(crate) fn showing(&self, certificates: &Certificates) -> Self {
        let config = &self.config;
        let (certs, shown) = Certs::new(certificates.of_bind(config), config.strict_sni);
        let mut server = (**self.acceptor.config()).clone();
        server.cert_resolver = Arc::new(certs);
        Self {
            config: config.clone(),
            authorities: self.authorities.clone(),
            tickets: self.tickets.clone(),
            acceptor: Arc::new(server).into(),
            shown,
        }
    }

    /// What clients are shown, in the order in which it was named.
    pub(crate) fn shown(&self) -> &[Shown] {
        &self.shown
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl std::fmt::Debug for Terminator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminator")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Whether a connection whose handshake is over went on with what both remembered of an earlier one.
pub(crate) fn is_resumed(connection: &CommonState) -> bool {
    connection.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// What rustls deems safe, the cheapest first: all of it will do for as long as anybody can tell, and
/// clients without the instructions for AES are rare by now.
fn provider() -> CryptoProvider {
    let mut provider = default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| match suite.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
            CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => 1,
            _ => 2,
        });
    provider
}

fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static ONLY_13: [&SupportedProtocolVersion; 1] = [&TLS13];
    match least {
        TlsVersion::Tls12 => ALL_VERSIONS,
        TlsVersion::Tls13 => &ONLY_13,
    }
}
