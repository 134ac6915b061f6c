//! What is asked of each proxy.

use crate::certificate::Key;
use crate::proxy::Kind;

/// One kind of load.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) target: &'static str,
    pub(crate) connections: usize,
    /// Bytes sent with each request, as a POST; 0 is a GET.
    pub(crate) upload: usize,
    /// Whether each request has a connection of its own.
    pub(crate) closes: bool,
    pub(crate) service: Service,
    pub(crate) entry: Entry,
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// HTTP/1.1, or what the service says.
    Clear,
    /// HTTP/1.1 under TLS, with this kind of certificate.
    Tls(Key),
    /// HTTP/1.1 under TLS, one request a connection: what counts is the handshake.
    Handshakes(Handshakes),
    /// HTTP/2 under TLS, so many requests at once on a connection.
    H2 { streams: usize },
    /// HTTP/2 in the clear, by prior knowledge.
    H2c { streams: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handshakes {
    pub(crate) key: Key,
    pub(crate) version: Version,
    pub(crate) resumed: bool,
    /// Whether clients offer X25519MLKEM768 as well, before X25519, which is all that is offered
    /// otherwise.
    pub(crate) hybrid: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

impl Entry {
    /// The kind of certificate that is shown, if any is.
    pub(crate) fn key(self) -> Option<Key> {
        match self {
            Self::Clear | Self::H2c { .. } => None,
            Self::Tls(key) | Self::Handshakes(Handshakes { key, .. }) => Some(key),
            Self::H2 { .. } => Some(Key::Ecdsa),
        }
    }

    pub(crate) fn is_h2(self) -> bool {
        matches!(self, Self::H2 { .. } | Self::H2c { .. })
    }
}

/// What the proxies are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Requests to nginx, each looked at.
    Http,
    /// The same requests, of which the proxies see nothing but bytes.
    Tcp,
    /// As well, with HAProxy told to splice everything: left to itself (`option splice-auto`) it may
    /// copy instead.
    TcpSpliced,
    /// WebSocket, to the origin of [`crate::echo`].
    WebSocket,
}

impl Service {
    pub(crate) fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::TcpSpliced)
    }

    /// nginx needs a module of its own for TCP, which is not in Debian's package.
    pub(crate) fn is_for(self, proxy: Kind) -> bool {
        !self.is_tcp() || proxy != Kind::Nginx
    }
}

const SMALL: Scenario = Scenario {
    name: "small",
    what: "128 bytes, keep-alive, 32 connections",
    target: "/small",
    connections: 32,
    upload: 0,
    closes: false,
    service: Service::Http,
    entry: Entry::Clear,
};

const LARGE: Scenario = Scenario {
    name: "10m",
    what: "10 MiB responses, 4 connections",
    target: "/10m",
    connections: 4,
    ..SMALL
};

const LARGER: Scenario = Scenario {
    name: "64k",
    what: "64 KiB responses, 16 connections",
    target: "/64k",
    connections: 16,
    ..SMALL
};

const FULL: Handshakes = Handshakes {
    key: Key::Ecdsa,
    version: Version::Tls13,
    resumed: false,
    hybrid: false,
};

const SHAKEN: Scenario = Scenario {
    name: "tls-ecdsa",
    what: "full TLS 1.3 handshakes, P-256, X25519, a request each, 32 at once",
    closes: true,
    entry: Entry::Handshakes(FULL),
    ..SMALL
};

pub(crate) const ALL: [Scenario; 21] = [
    SMALL,
    LARGER,
    LARGE,
    Scenario {
        name: "upload",
        what: "1 MiB uploads, 8 connections",
        target: "/upload",
        connections: 8,
        upload: 1024 * 1024,
        ..SMALL
    },
    Scenario {
        name: "new",
        what: "128 bytes, a new connection per request, 32 at once",
        closes: true,
        ..SMALL
    },
    Scenario {
        name: "c1000",
        what: "128 bytes, keep-alive, 1,000 connections",
        connections: 1000,
        ..SMALL
    },
    Scenario {
        name: "tcp-small",
        what: "mode tcp, 128 bytes, 32 connections",
        service: Service::Tcp,
        ..SMALL
    },
    Scenario {
        name: "tcp-bulk",
        what: "mode tcp, 10 MiB, 4 connections; HAProxy with splice-auto",
        service: Service::Tcp,
        ..LARGE
    },
    Scenario {
        name: "tcp-splice",
        what: "mode tcp, 10 MiB, 4 connections; HAProxy with splice-response",
        service: Service::TcpSpliced,
        ..LARGE
    },
    Scenario {
        name: "ws",
        what: "WebSocket echo of 32 bytes, 100 connections",
        target: "/echo",
        connections: 100,
        service: Service::WebSocket,
        ..SMALL
    },
    Scenario {
        name: "tls-small",
        what: "128 bytes under TLS, keep-alive, 32 connections",
        entry: Entry::Tls(Key::Ecdsa),
        ..SMALL
    },
    Scenario {
        name: "tls-64k",
        what: "64 KiB responses under TLS, 16 connections",
        entry: Entry::Tls(Key::Ecdsa),
        ..LARGER
    },
    SHAKEN,
    Scenario {
        name: "tls-rsa",
        what: "the same with RSA of 2048 bits",
        entry: Entry::Handshakes(Handshakes {
            key: Key::Rsa,
            ..FULL
        }),
        ..SHAKEN
    },
    Scenario {
        name: "tls-resumed",
        what: "the same, sessions resumed by ticket",
        entry: Entry::Handshakes(Handshakes {
            resumed: true,
            ..FULL
        }),
        ..SHAKEN
    },
    Scenario {
        name: "tls12-ecdsa",
        what: "full TLS 1.2 handshakes, P-256, X25519",
        entry: Entry::Handshakes(Handshakes {
            version: Version::Tls12,
            ..FULL
        }),
        ..SHAKEN
    },
    Scenario {
        name: "tls12-resumed",
        what: "the same, sessions resumed by ticket",
        entry: Entry::Handshakes(Handshakes {
            version: Version::Tls12,
            resumed: true,
            ..FULL
        }),
        ..SHAKEN
    },
    Scenario {
        name: "tls-hybrid",
        what: "as tls-ecdsa, X25519MLKEM768 for who knows it: lbd",
        entry: Entry::Handshakes(Handshakes {
            hybrid: true,
            ..FULL
        }),
        ..SHAKEN
    },
    Scenario {
        name: "h2-small",
        what: "HTTP/2 under TLS, 128 bytes, 10 connections of 32 streams",
        connections: 10,
        entry: Entry::H2 { streams: 32 },
        ..SMALL
    },
    Scenario {
        name: "h2-64k",
        what: "HTTP/2 under TLS, 64 KiB, 10 connections of 8 streams",
        connections: 10,
        entry: Entry::H2 { streams: 8 },
        ..LARGER
    },
    Scenario {
        name: "h2c-small",
        what: "HTTP/2 in the clear, 128 bytes, 10 connections of 32 streams",
        connections: 10,
        entry: Entry::H2c { streams: 32 },
        ..SMALL
    },
];

/// The load under which [`crate::scale`] looks at a large configuration.
pub(crate) const FOR_SCALE: Scenario = SMALL;
