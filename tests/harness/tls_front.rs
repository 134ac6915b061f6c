//! TLS as servers do it: what connects here by TLS speaks in the clear with an origin.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS12;
use rustls::{ALL_VERSIONS, HandshakeKind, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Issued};
use crate::port::Port;

/// How it shakes hands.
#[derive(Debug)]
pub struct TlsFront {
    shows: Issued,
    asks: Option<CertificateDer<'static>>,
    alpn: Vec<Vec<u8>>,
    tls12: bool,
    introduced: bool,
}

/// A handshake that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shook {
    pub resumed: bool,
    /// The name that was asked for.
    pub sni: Option<String>,
    pub alpn: Option<String>,
    /// What the client showed.
    pub client: Option<CertificateDer<'static>>,
    /// The line in the clear that came before.
    pub introduction: String,
}

/// One that runs, for as long as the test does.
#[derive(Debug)]
pub struct RunningFront {
    addr: SocketAddr,
    shook: Arc<Mutex<Vec<Shook>>>,
    failed: Arc<AtomicU64>,
}

impl TlsFront {
    /// Shows this certificate to everybody.
    pub fn showing(issued: &Issued) -> Self {
        Self {
            shows: issued.clone(),
            asks: None,
            alpn: Vec::new(),
            tls12: false,
            introduced: false,
        }
    }

    /// Wants a certificate of this authority's.
    #[must_use]
    pub fn asking(mut self, authority: &Authority) -> Self {
        self.asks = Some(authority.root_der());
        self
    }

    /// Speaks these protocols.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// Speaks TLS 1.2 alone.
    #[must_use]
    pub fn tls12(mut self) -> Self {
        self.tls12 = true;
        self
    }

    /// Wants a line in the clear before the handshake, such as a PROXY header.
    #[must_use]
    pub fn introduced(mut self) -> Self {
        self.introduced = true;
        self
    }

    /// Runs it before `origin`.
    pub fn before(&self, origin: SocketAddr) -> RunningFront {
        let port = Port::new();
        let listener = port.listen().expect("the port is kept for us");
        listener.set_nonblocking(true).expect("it is a socket");
        let front = RunningFront {
            addr: port.addr(),
            shook: Arc::default(),
            failed: Arc::default(),
        };
        let (shook, failed) = (front.shook.clone(), front.failed.clone());
        let (acceptor, introduced) = (TlsAcceptor::from(self.config()), self.introduced);
        thread::spawn(move || {
            let _port = port;
            let runtime = Builder::new_current_thread().enable_all().build();
            let serve = async move {
                let listener = TcpListener::from_std(listener).expect("it is a listener");
                while let Ok((near, _)) = listener.accept().await {
                    let (acceptor, shook) = (acceptor.clone(), shook.clone());
                    let failed = failed.clone();
                    spawn_local(async move {
                        let passed = pass_on(near, origin, &acceptor, introduced, &shook).await;
                        if passed.is_err() {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            };
            LocalSet::new().block_on(&runtime.expect("a runtime"), serve);
        });
        front
    }

    fn config(&self) -> Arc<ServerConfig> {
        let versions = match self.tls12 {
            true => &[&TLS12][..],
            false => ALL_VERSIONS,
        };
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .expect("the provider has them");
        let builder = match &self.asks {
            None => builder.with_no_client_auth(),
            Some(root) => {
                let mut roots = RootCertStore::empty();
                roots.add(root.clone()).expect("it is a certificate");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_client_cert_verifier(verifier.expect("it has a root"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.shows.key.as_bytes()).expect("it is PEM");
        let config = builder.with_single_cert(self.shows.chain(), key);
        let mut config = config.expect("they fit");
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }
}

impl RunningFront {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The handshakes that succeeded so far, in order.
    pub fn shook(&self) -> Vec<Shook> {
        let shook = self.shook.lock().unwrap_or_else(PoisonError::into_inner);
        shook.clone()
    }

    /// Connections that failed so far, in the handshake or after it.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

async fn pass_on(
    mut near: TcpStream,
    origin: SocketAddr,
    acceptor: &TlsAcceptor,
    introduced: bool,
    shook: &Mutex<Vec<Shook>>,
) -> io::Result<()> {
    near.set_nodelay(true)?;
    let mut introduction = Vec::new();
    while introduced && !introduction.ends_with(b"\r\n") {
        introduction.push(near.read_u8().await?);
    }
    let mut near = acceptor.accept(near).await?;
    let tls = near.get_ref().1;
    let one = Shook {
        resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        sni: tls.server_name().map(str::to_owned),
        alpn: tls
            .alpn_protocol()
            .map(|p| String::from_utf8_lossy(p).into_owned()),
        client: tls
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|leaf| leaf.clone().into_owned()),
        introduction: String::from_utf8_lossy(&introduction).into_owned(),
    };
    shook
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(one);
    let mut far = TcpStream::connect(origin).await?;
    far.set_nodelay(true)?;
    copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
