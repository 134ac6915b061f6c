//! `[global]`: the process, its socket and its log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::table::{Shape, Table, Value};
use crate::config::problem::Fault;
use crate::config::{AccessLog, Global, Log, LogFormat, LogLevel, LogPath, address, units};
use crate::{DEFAULT_SOCKET, DEFAULT_STATE_DIR};

const GLOBAL: Shape = Shape {
    what: "[global]",
    example: "a section: [global]",
    keys: &[
        "threads",
        "max_connections",
        "max_handshakes",
        "socket",
        "socket_mode",
        "socket_group",
        "state_dir",
        "shutdown_timeout",
        "shutdown_delay",
        "resolvers",
        "log",
        "access_log",
    ],
    later: &[],
};

const LOG: Shape = Shape {
    what: "a log",
    example: "{ level = \"info\" }",
    keys: &["level", "format"],
    later: &[],
};

const ACCESS_LOG: Shape = Shape {
    what: "an access log",
    example: "{ path = \"/var/log/lbd/access.log\" }",
    keys: &["path", "format", "request_id"],
    later: &[],
};

const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

/// More threads than any machine this was measured on has use for; a slip of the finger otherwise.
const MAX_THREADS: u32 = 256;

/// The kernel's `sun_path` has 108 bytes, the last of them zero (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

pub(super) fn read(value: Option<Value<'_>>) -> Global {
    let table = value.and_then(|value| value.table(&GLOBAL));
    table.map_or_else(built_in, |table| given(table, built_in()))
}

fn built_in() -> Global {
    Global {
        threads: None,
        max_connections: None,
        max_handshakes: None,
        socket: PathBuf::from(DEFAULT_SOCKET),
        socket_mode: 0o660,
        socket_group: None,
        state_dir: PathBuf::from(DEFAULT_STATE_DIR),
        shutdown_timeout: Duration::from_secs(30),
        shutdown_delay: None,
        resolvers: Vec::new(),
        log: Log {
            level: LogLevel::Info,
            format: LogFormat::Text,
        },
        access_log: None,
    }
}

fn given(table: Table<'_>, defaults: Global) -> Global {
    let threads = table.get("threads").and_then(|v| v.number(1, MAX_THREADS));
    let limit = table.get("max_connections");
    let handshakes = table.get("max_handshakes");
    let group = table.get("socket_group").and_then(|v| v.words());
    let state_dir = table.get("state_dir").and_then(|v| v.words());
    let log = table.get("log").and_then(|v| v.table(&LOG));
    let access_log = table.get("access_log").and_then(|v| v.table(&ACCESS_LOG));
    Global {
        threads: threads.and_then(|threads| threads.try_into().ok()),
        max_connections: limit.and_then(|v| v.number(1, u32::MAX)),
        max_handshakes: handshakes.and_then(|v| v.number(1, u32::MAX)),
        socket: table.parse("socket", socket).unwrap_or(defaults.socket),
        socket_mode: table
            .parse("socket_mode", mode)
            .unwrap_or(defaults.socket_mode),
        socket_group: group.map(str::to_owned),
        state_dir: state_dir.map_or(defaults.state_dir, PathBuf::from),
        resolvers: resolvers(table),
        shutdown_timeout: table
            .parse("shutdown_timeout", units::timeout)
            .unwrap_or(defaults.shutdown_timeout),
        shutdown_delay: table.parse("shutdown_delay", units::timeout),
        log: log.map_or(defaults.log, |table| given_log(table, defaults.log)),
        access_log: access_log.and_then(given_access_log),
    }
}

fn resolvers(table: Table<'_>) -> Vec<SocketAddr> {
    let given = table.get("resolvers").and_then(|value| value.list());
    given
        .unwrap_or_default()
        .iter()
        .filter_map(|value| value.parse(address::resolver))
        .collect()
}

fn given_log(table: Table<'_>, defaults: Log) -> Log {
    let level = table.get("level");
    let format = table.get("format");
    Log {
        level: level
            .and_then(|v| v.choice(LEVELS, |_| false))
            .unwrap_or(defaults.level),
        format: format
            .and_then(|v| v.choice(FORMATS, |_| false))
            .unwrap_or(defaults.format),
    }
}

fn given_access_log(table: Table<'_>) -> Option<AccessLog> {
    let path = table.require("path", "`path = \"stdout\"`, or the path of a file");
    let format = table.get("format");
    let format = format.and_then(|v| v.choice(FORMATS, |_| false));
    let request_id = table.get("request_id").and_then(|v| v.flag());
    let path = match path?.words()? {
        "stdout" => LogPath::Stdout,
        file => LogPath::File(PathBuf::from(file)),
    };
    Some(AccessLog {
        path,
        format: format.unwrap_or(LogFormat::Text),
        request_id: request_id.unwrap_or(false),
    })
}

fn socket(text: &str) -> Result<PathBuf, Fault> {
    if text.is_empty() || text.contains(char::is_control) || text.len() > MAX_SOCKET_PATH {
        return Err(Fault::new(
            "no socket can have this path",
            format!("write a path of 1 to {MAX_SOCKET_PATH} bytes, as in \"{DEFAULT_SOCKET}\""),
        ));
    }
    Ok(PathBuf::from(text))
}

fn mode(text: &str) -> Result<u32, Fault> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| digits);
    mode.filter(|mode| *mode <= 0o777).ok_or_else(|| {
        Fault::new(
            format!("`{text}` is not a file mode"),
            "write three octal digits after a zero, as in \"0660\"; the widest is \"0777\"",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_has_permission_bits_only() {
        assert_eq!(mode("0660"), Ok(0o660));
        assert_eq!(mode("600"), Ok(0o600));
        for text in ["", "0888", "1777", "0o660", "rw-rw----", "-660", "+660"] {
            assert!(mode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_socket_path_fits_the_kernel() {
        assert!(socket(&"a".repeat(107)).is_ok());
        assert!(socket(&"a".repeat(108)).is_err() && socket("").is_err() && socket("a\0").is_err());
    }
}
