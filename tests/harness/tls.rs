//! TLS as clients do it: single handshakes, and a way for everything that speaks in the clear.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::TLS12;
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct,
    HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, SignatureScheme,
    SupportedProtocolVersion, WantsVerifier,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream as AsyncStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::{Authority, Issued};
use crate::eventually::LIMIT;

/// How a client asks.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
    name: ServerName<'static>,
}

/// What a handshake led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaken {
    /// What the server showed first; nothing where the session was resumed.
    pub leaf: Option<CertificateDer<'static>>,
    pub alpn: Option<String>,
    pub version: ProtocolVersion,
    /// How both came to the same key.
    pub group: Option<NamedGroup>,
    pub resumed: bool,
}

impl Client {
    /// A client that trusts this authority and asks for `name`.
    pub fn new(authority: &Authority, name: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(authority.root_der())
            .expect("it is a certificate");
        let roots = Arc::new(roots);
        let builder = builder(ALL_VERSIONS).with_root_certificates(roots.clone());
        Self {
            config: Arc::new(builder.with_no_client_auth()),
            roots,
            name: ServerName::try_from(name.to_owned()).expect("a name"),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Offers these protocols.
    #[must_use]
    pub fn alpn(self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self.with(|config| config.alpn_protocols = protocols)
    }

    /// Names nobody in its hello.
    #[must_use]
    pub fn without_sni(self) -> Self {
        self.with(|config| config.enable_sni = false)
    }

    /// Begins every session anew.
    #[must_use]
    pub fn without_resumption(self) -> Self {
        self.with(|config| config.resumption = Resumption::disabled())
    }

    /// Speaks TLS 1.2 alone.
    #[must_use]
    pub fn tls12(self) -> Self {
        let builder = builder(&[&TLS12]).with_root_certificates(self.roots.clone());
        let shows = self.config.client_auth_cert_resolver.clone();
        Self {
            config: Arc::new(builder.with_client_cert_resolver(shows)),
            ..self
        }
    }

    /// Knows one way to come to a key.
    #[must_use]
    pub fn by(self, group: &'static dyn SupportedKxGroup) -> Self {
        let provider = CryptoProvider {
            kx_groups: vec![group],
            ..default_provider()
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(ALL_VERSIONS);
        let builder = builder.expect("the provider has them");
        let builder = builder.with_root_certificates(self.roots.clone());
        Self {
            config: Arc::new(builder.with_no_client_auth()),
            ..self
        }
    }

    /// Shows a certificate of its own.
    #[must_use]
    pub fn showing(self, own: &Issued) -> Self {
        let builder = builder(ALL_VERSIONS).with_root_certificates(self.roots.clone());
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("it is PEM");
        let config = builder.with_client_auth_cert(own.chain(), key);
        Self {
            config: Arc::new(config.expect("they fit")),
            ..self
        }
    }

    /// Does a handshake, asks for `/` and reads the answer, so that tickets arrive and refusals show.
    ///
    /// # Errors
    /// Where the handshake fails, or nothing is answered.
    pub fn shake(&self, addr: SocketAddr) -> io::Result<Shaken> {
        let tcp = TcpStream::connect(addr)?;
        tcp.set_read_timeout(Some(LIMIT))?;
        let tls = ClientConnection::new(self.config.clone(), self.name.clone())
            .map_err(io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(tls, tcp);
        stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        let read = io::Read::read_to_end(&mut stream, &mut answer);
        if answer.is_empty() {
            read?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let tls = &stream.conn;
        Ok(Shaken {
            leaf: tls
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|leaf| leaf.clone().into_owned()),
            alpn: tls
                .alpn_protocol()
                .map(|p| String::from_utf8_lossy(p).into_owned()),
            version: tls.protocol_version().ok_or(io::ErrorKind::NotConnected)?,
            group: tls
                .negotiated_key_exchange_group()
                .map(|group| group.name()),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// A connection under TLS.
    ///
    /// # Errors
    /// Where nobody listens, or the handshake fails.
    pub async fn connect(&self, addr: SocketAddr) -> io::Result<TlsStream<AsyncStream>> {
        let connector = TlsConnector::from(self.config.clone());
        let tcp = AsyncStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        connector.connect(self.name.clone(), tcp).await
    }

    /// The OCSP response that a handshake came with, empty where it came without.
    ///
    /// # Errors
    /// As [`Self::shake`].
    pub fn staple(&self, addr: SocketAddr) -> io::Result<Vec<u8>> {
        let provider = Arc::new(default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider);
        let staples = Arc::new(Staples {
            inner: inner.build().map_err(io::Error::other)?,
            seen: Mutex::default(),
        });
        let looking = builder(ALL_VERSIONS)
            .dangerous()
            .with_custom_certificate_verifier(staples.clone())
            .with_no_client_auth();
        let client = Self {
            config: Arc::new(looking),
            ..self.clone()
        };
        client.shake(addr)?;
        let seen = staples.seen.lock().expect("nobody panics with it");
        Ok(seen.clone())
    }

    /// An address in the clear: what connects there speaks through a TLS connection of its own to
    /// `addr`, for as long as the test runs.
    pub fn before(&self, addr: SocketAddr) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let here = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("it is a socket");
        let (connector, name) = (TlsConnector::from(self.config.clone()), self.name.clone());
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let pass_on = async move {
                let listener = TcpListener::from_std(listener).expect("it is a listener");
                while let Ok((mut near, _)) = listener.accept().await {
                    let (connector, name) = (connector.clone(), name.clone());
                    spawn_local(async move {
                        let far = AsyncStream::connect(addr).await?;
                        far.set_nodelay(true)?;
                        near.set_nodelay(true)?;
                        let mut far = connector.connect(name, far).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    });
                }
            };
            LocalSet::new().block_on(&runtime.expect("a runtime"), pass_on);
        });
        here
    }
}

/// Verifies as ever, and remembers what was stapled.
#[derive(Debug)]
struct Staples {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Staples {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        response.clone_into(&mut self.seen.lock().expect("nobody panics with it"));
        self.inner.verify_server_cert(leaf, rest, name, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    builder
        .with_protocol_versions(versions)
        .expect("the provider has them")
}
