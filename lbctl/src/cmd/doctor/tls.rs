//! A handshake with a server, as lbd's checks make it.

use std::sync::Arc;
use std::time::Instant;

use lb_proto::config::{Address, Certificates, Protocol, ServerTls};
use lb_proto::tls::{Handshakes, name, why};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::ask::{Bounded, Stream};

/// What a handshake with one server takes.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    protocol: Protocol,
}

impl Tls {
    /// # Errors
    /// Why TLS cannot be spoken as configured.
    pub(super) fn new(
        tls: &ServerTls,
        address: &Address,
        protocol: Protocol,
        certificates: &Certificates,
    ) -> Result<Self, String> {
        let config = Handshakes::new(certificates).with(tls);
        Ok(Self {
            config: Arc::new(config.map_err(|error| error.to_string())?),
            name: name(tls, address),
            protocol,
        })
    }

    /// # Errors
    /// What is wrong between the server and us; [`std::io::ErrorKind::TimedOut`] keeps its kind.
    pub(super) fn shake_hands(&self, mut tcp: Bounded) -> Result<Box<dyn Stream>, Unshaken> {
        let failed = |why: String| Unshaken { why, late: false };
        let connection = ClientConnection::new(self.config.clone(), self.name.clone());
        let mut tls = connection.map_err(|error| failed(error.to_string()))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).map_err(|error| Unshaken {
                why: why(&error, &self.name),
                late: tcp.is_late(),
            })?;
        }
        if self.protocol == Protocol::Http2 && tls.alpn_protocol() != Some(b"h2") {
            return Err(failed("it does not speak HTTP/2 (ALPN)".to_owned()));
        }
        Ok(Box::new(StreamOwned::new(tls, tcp)))
    }
}

impl Stream for StreamOwned<ClientConnection, Bounded> {
    fn hurry(&mut self, deadline: Instant) {
        self.sock.hurry(deadline);
    }
}

/// Why a handshake did not come to its end.
#[derive(Debug)]
pub(super) struct Unshaken {
    pub(super) why: String,
    pub(super) late: bool,
}
