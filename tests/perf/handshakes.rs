//! Handshakes as the load: a connection, a request, and its end, one after the other.
//!
//! Full ones are full and resumed ones resumed, or they count as errors. All proxies are offered the
//! same: one version, one cipher, X25519 first.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::certificate::{Certificates, NAME};
use crate::scenario::{Handshakes, Scenario, Version};
use crate::wrk::Load;

const PATIENCE: Duration = Duration::from_secs(10);

/// Loads the proxy at `addr` for some seconds.
pub(crate) fn run(
    addr: SocketAddr,
    scenario: &Scenario,
    what: Handshakes,
    certificates: &Certificates,
    seconds: u64,
) -> Result<Load, String> {
    let mut clients = Vec::new();
    for _ in 0..scenario.connections {
        clients.push(Client {
            addr,
            target: scenario.target,
            connector: Arc::new(config(what, certificates).map_err(|e| e.to_string())?).into(),
            kind: match what.resumed {
                true => HandshakeKind::Resumed,
                false => HandshakeKind::Full,
            },
        });
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        if what.resumed {
            // What there is to be resumed begins here.
            for client in &clients {
                client
                    .once(HandshakeKind::Full)
                    .await
                    .map_err(|e| e.to_string())?;
            }
        }
        let started = Instant::now();
        let until = started + Duration::from_secs(seconds);
        let shaking: JoinSet<_> = clients.into_iter().map(|c| c.shake(until)).collect();
        let (mut took, mut errors) = (Vec::new(), Vec::new());
        for (some, failed) in shaking.join_all().await {
            took.extend(some);
            errors.extend(failed);
        }
        took.sort_unstable();
        let at = |part: usize| took.get(took.len() * part / 100).copied();
        let (Some(p50), Some(p99)) = (at(50), at(99)) else {
            return Err(format!(
                "{}: no handshake succeeded: {:?}",
                scenario.name,
                errors.first()
            ));
        };
        Ok(Load {
            requests: took.len() as u64,
            seconds: started.elapsed().as_secs_f64(),
            p50,
            p99,
            errors: errors.len() as u64,
        })
    })
}

fn config(what: Handshakes, certificates: &Certificates) -> Result<ClientConfig, rustls::Error> {
    let mut provider = default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ];
    // All servers take the first that they know; P-256 is there for the key (RFC 8422, 5.1.1).
    provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1];
    if what.hybrid {
        provider.kx_groups.insert(0, kx_group::X25519MLKEM768);
    }
    let version = match what.version {
        Version::Tls12 => &TLS12,
        Version::Tls13 => &TLS13,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])?
        .with_root_certificates(certificates.roots()?)
        .with_no_client_auth();
    if !what.resumed {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}

/// One that has sessions of its own.
struct Client {
    addr: SocketAddr,
    target: &'static str,
    connector: TlsConnector,
    kind: HandshakeKind,
}

impl Client {
    /// How long each connection took from its beginning to its end, in microseconds; what failed.
    async fn shake(self, until: Instant) -> (Vec<u64>, Vec<io::Error>) {
        let (mut took, mut errors) = (Vec::new(), Vec::new());
        loop {
            let began = Instant::now();
            if began >= until {
                return (took, errors);
            }
            match timeout(PATIENCE, self.once(self.kind)).await {
                Ok(Ok(())) => took.push(began.elapsed().as_micros() as u64),
                Ok(Err(error)) => errors.push(error),
                Err(late) => errors.push(late.into()),
            }
        }
    }

    async fn once(&self, kind: HandshakeKind) -> io::Result<()> {
        let tcp = TcpStream::connect(self.addr).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let mut stream = self.connector.connect(name, tcp).await?;
        let ask = format!(
            "GET {} HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n",
            self.target
        );
        stream.write_all(ask.as_bytes()).await?;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        let tls = stream.get_ref().1;
        let shaken = tls.handshake_kind();
        if shaken != Some(kind) {
            return Err(io::Error::other(format!("{shaken:?} instead of {kind:?}")));
        }
        let group = tls
            .negotiated_key_exchange_group()
            .map(|group| group.name());
        if group == Some(NamedGroup::secp256r1) {
            return Err(io::Error::other("P-256 instead of X25519"));
        }
        match answer.starts_with(b"HTTP/1.1 200 ") {
            true => Ok(()),
            false => Err(read.err().unwrap_or_else(|| {
                io::Error::other(String::from_utf8_lossy(&answer).into_owned())
            })),
        }
    }
}
