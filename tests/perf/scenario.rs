//! What is asked of each proxy.

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
}

const SMALL: Scenario = Scenario {
    name: "small",
    what: "128 bytes, keep-alive, 32 connections",
    target: "/small",
    connections: 32,
    upload: 0,
    closes: false,
};

pub(crate) const ALL: [Scenario; 6] = [
    SMALL,
    Scenario {
        name: "64k",
        what: "64 KiB responses, 16 connections",
        target: "/64k",
        connections: 16,
        ..SMALL
    },
    Scenario {
        name: "10m",
        what: "10 MiB responses, 4 connections",
        target: "/10m",
        connections: 4,
        ..SMALL
    },
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
];

/// The load under which [`crate::scale`] looks at a large configuration.
pub(crate) const FOR_SCALE: Scenario = SMALL;
