//! A TLS handshake that looks at what it is shown, up to the server's last word and no further: the
//! key is proved to be there, no request is made, and behind a bind of mode tcp no server hears of it.
//! A server that wants a certificate of its client has shown its own by then, too.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_proto::config::ProxyVersion;
use lb_proto::pem::Bundle;
use lb_proto::tls::Anybody;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, SignatureScheme};

/// A name that a client may ask for.
pub(super) type Name = ServerName<'static>;

/// `None`: nobody can ask for it.
pub(super) fn name(text: String) -> Option<Name> {
    Name::try_from(text).ok()
}

/// Asks as a client would that takes certificates with keys of one kind alone.
#[derive(Debug)]
pub(super) struct Client {
    config: ClientConfig,
}

/// Where to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// A PROXY header is due first.
    pub(super) introduced: bool,
}

impl Client {
    /// One that is shown this certificate if any of its names and another key's is there, too.
    pub(super) fn for_key_of(bundle: &Bundle) -> Result<Self, rustls::Error> {
        let provider = Arc::new(default_provider());
        let all = provider
            .signature_verification_algorithms
            .supported_schemes();
        let fits = |scheme: &SignatureScheme| bundle.key.choose_scheme(&[*scheme]).is_some();
        let schemes = all.into_iter().filter(fits).collect();
        let looks = Anybody::who_signs(schemes, provider.clone());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(looks))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { config })
    }

    /// What a client is shown that asks for `name`, or for none.
    ///
    /// # Errors
    /// Where nothing is shown before `deadline`.
    pub(super) fn ask(
        &self,
        target: Target,
        name: Option<Name>,
        deadline: Instant,
    ) -> io::Result<CertificateDer<'static>> {
        // An address is no name that a client may ask for, and is not sent.
        let name = name.unwrap_or_else(|| target.address.ip().into());
        let mut tcp = TcpStream::connect_timeout(&target.address, left(deadline)?)?;
        if target.introduced {
            tcp.set_write_timeout(Some(left(deadline)?))?;
            tcp.write_all(ProxyVersion::V1.about_nobody())?;
        }
        let config = Arc::new(self.config.clone());
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            if tls.wants_write() {
                tcp.set_write_timeout(Some(left(deadline)?))?;
                tls.write_tls(&mut tcp)?;
                continue;
            }
            tcp.set_read_timeout(Some(left(deadline)?))?;
            if tls.read_tls(&mut tcp)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it closed the connection",
                ));
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
        let shown = tls.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.map(|leaf| leaf.clone().into_owned());
        shown.ok_or_else(|| io::Error::other("it showed no certificate"))
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}
