//! Which daemon is meant, where nobody said so.

use std::path::Path;
use std::time::Duration;

use lb_proto::client::{Client, REPLY_TIMEOUT};
use lb_proto::config;
use lb_proto::error::{ErrorCode, ErrorReply};

/// The daemon at a socket. Where that is the usual one and nobody listens there, the usual
/// configuration may name another.
///
/// # Errors
/// As [`Client::connect`].
pub(crate) fn at(socket: &Path) -> Result<Client, ErrorReply> {
    at_within(socket, REPLY_TIMEOUT)
}

/// [`at`], for who waits no longer than `patience` for each answer.
///
/// # Errors
/// As [`Client::connect`].
pub(crate) fn at_within(socket: &Path, patience: Duration) -> Result<Client, ErrorReply> {
    let is_usual = socket == Path::new(lb_proto::DEFAULT_SOCKET);
    let connect = |socket: &Path| Client::connect_within(socket, patience);
    let config = || is_usual.then_some(Path::new(lb_proto::DEFAULT_CONFIG));
    or_through(connect(socket), config, connect)
}

/// Where nobody listens, the daemon at the socket that a configuration names, if that can be read.
///
/// # Errors
/// As [`Client::connect`]; what was wrong at first where that leads nowhere either.
pub(crate) fn or_of<'a>(
    connected: Result<Client, ErrorReply>,
    config: impl FnOnce() -> Option<&'a Path>,
) -> Result<Client, ErrorReply> {
    or_through(connected, config, Client::connect)
}

fn or_through<'a>(
    connected: Result<Client, ErrorReply>,
    config: impl FnOnce() -> Option<&'a Path>,
    connect: impl FnOnce(&Path) -> Result<Client, ErrorReply>,
) -> Result<Client, ErrorReply> {
    let Err(error) = connected else {
        return connected;
    };
    if error.code != ErrorCode::NoDaemon {
        return Err(error);
    }
    let socket = config().and_then(|file| {
        let text = String::from_utf8(config::bytes(file).ok()?).ok()?;
        let config = config::read(&file.to_string_lossy(), &text).ok()?;
        Some(config.global.socket)
    });
    match socket.map(|socket| connect(&socket)) {
        Some(Err(other)) if other.code == ErrorCode::NoDaemon => Err(error),
        Some(connected) => connected,
        None => Err(error),
    }
}
