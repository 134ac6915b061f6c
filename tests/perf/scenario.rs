//! What is asked of each proxy.

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
};

const LARGE: Scenario = Scenario {
    name: "10m",
    what: "10 MiB responses, 4 connections",
    target: "/10m",
    connections: 4,
    ..SMALL
};

pub(crate) const ALL: [Scenario; 10] = [
    SMALL,
    Scenario {
        name: "64k",
        what: "64 KiB responses, 16 connections",
        target: "/64k",
        connections: 16,
        ..SMALL
    },
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
];

/// The load under which [`crate::scale`] looks at a large configuration.
pub(crate) const FOR_SCALE: Scenario = SMALL;
