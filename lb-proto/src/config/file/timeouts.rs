//! `[defaults.timeouts]`, and the `timeouts` of a frontend or backend that override it.

use std::time::Duration;

use super::table::{Shape, Table, Value};
use crate::config::{ClientTimeouts, ServerTimeouts, units};

const DEFAULTS: Shape = Shape {
    what: "[defaults]",
    example: "a section: [defaults]",
    keys: &["timeouts"],
    later: &[],
};

const ALL: Shape = Shape {
    what: "[defaults.timeouts]",
    example: "{ client = \"30s\" }",
    keys: &[
        "request",
        "client",
        "keep_alive",
        "queue",
        "connect",
        "server",
        "tunnel",
        "tls_handshake",
    ],
    later: &[],
};

const OF_FRONTEND: Shape = Shape {
    what: "a frontend's timeouts",
    example: "{ client = \"30s\" }",
    keys: &["request", "client", "keep_alive", "tunnel", "tls_handshake"],
    later: &[],
};

const OF_BACKEND: Shape = Shape {
    what: "a backend's timeouts",
    example: "{ server = \"30s\" }",
    keys: &["queue", "connect", "server", "tunnel"],
    later: &[],
};

/// What a frontend or backend waits for if neither it nor the file says otherwise. Every one is
/// finite, so that no peer can hold a connection for ever.
const BUILT_IN: Timeouts = Timeouts {
    client: ClientTimeouts {
        request: Duration::from_secs(10),
        client: Duration::from_secs(30),
        keep_alive: Duration::from_secs(60),
        tunnel: Duration::from_secs(60 * 60),
        tls_handshake: Duration::from_secs(10),
    },
    server: ServerTimeouts {
        queue: Duration::from_secs(5),
        connect: Duration::from_secs(5),
        server: Duration::from_secs(30),
        tunnel: None,
    },
};

#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) client: ClientTimeouts,
    pub(super) server: ServerTimeouts,
}

pub(super) fn defaults(value: Option<Value<'_>>) -> Timeouts {
    let table = value.and_then(|value| value.table(&DEFAULTS));
    let table = table.and_then(|table| table.get("timeouts")?.table(&ALL));
    table.map_or(BUILT_IN, |table| Timeouts {
        client: client(table, BUILT_IN.client),
        server: server(table, BUILT_IN.server),
    })
}

pub(super) fn of_frontend(frontend: Table<'_>, defaults: ClientTimeouts) -> ClientTimeouts {
    let table = frontend.get("timeouts");
    let table = table.and_then(|value| value.table(&OF_FRONTEND));
    table.map_or(defaults, |table| client(table, defaults))
}

pub(super) fn of_backend(backend: Table<'_>, defaults: ServerTimeouts) -> ServerTimeouts {
    let table = backend.get("timeouts");
    let table = table.and_then(|value| value.table(&OF_BACKEND));
    table.map_or(defaults, |table| ServerTimeouts {
        tunnel: table.parse("tunnel", units::timeout),
        ..server(table, defaults)
    })
}

fn client(table: Table<'_>, defaults: ClientTimeouts) -> ClientTimeouts {
    let or = |key, default| table.parse(key, units::timeout).unwrap_or(default);
    ClientTimeouts {
        request: or("request", defaults.request),
        client: or("client", defaults.client),
        keep_alive: or("keep_alive", defaults.keep_alive),
        tunnel: or("tunnel", defaults.tunnel),
        tls_handshake: or("tls_handshake", defaults.tls_handshake),
    }
}

fn server(table: Table<'_>, defaults: ServerTimeouts) -> ServerTimeouts {
    let or = |key, default| table.parse(key, units::timeout).unwrap_or(default);
    ServerTimeouts {
        queue: or("queue", defaults.queue),
        connect: or("connect", defaults.connect),
        server: or("server", defaults.server),
        tunnel: defaults.tunnel,
    }
}
