//! TLS towards servers: who is trusted, what is asked for and shown.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lb_proto::config::{self, Address, Certificates, Protocol, ServerTls};
use lb_proto::tls::{Handshakes, name, why};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TlsError;

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
    handshakes: Handshakes<'a>,
}

impl<'a> Originators<'a> {
    pub(crate) fn new(certificates: &'a Certificates, before: Option<&'a Certificates>) -> Self {
        Self {
            certificates,
            before,
            handshakes: Handshakes::new(certificates),
        }
    }

    /// That of a server, if it is spoken to by TLS: `old`, the one that it had, if that does the same.
    pub(crate) fn of(
        &mut self,
        protocol: Protocol,
        server: &config::Server,
        old: Option<&Arc<Originator>>,
    ) -> Result<Option<Arc<Originator>>, TlsError> {
        let Some(tls) = &server.tls else {
            return Ok(None);
        };
        let made = self.towards(tls, &server.address, protocol, old);
        made.map(Some)
    }

    /// That of whoever is at an address; `old` as above.
    pub(crate) fn towards(
        &mut self,
        tls: &ServerTls,
        address: &Address,
        protocol: Protocol,
        old: Option<&Arc<Originator>>,
    ) -> Result<Arc<Originator>, TlsError> {
        static UIDS: AtomicU64 = AtomicU64::new(1);
        let name = name(tls, address);
        let alike = |old: &&Arc<Originator>| {
            let before = self
                .before
                .is_some_and(|b| self.certificates.are_as_to(tls, b));
            before && old.protocol == protocol && old.config == *tls && old.name == name
        };
        if let Some(old) = old.filter(alike) {
            return Ok(old.clone());
        }
        let config = self.handshakes.with(tls)?;
        let mut checking = config.clone();
        checking.resumption = Resumption::disabled();
        Ok(Arc::new(Originator {
            uid: UIDS.fetch_add(1, Ordering::Relaxed),
            config: tls.clone(),
            protocol,
            name,
            connector: Arc::new(config).into(),
            checking: Arc::new(checking).into(),
        }))
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
