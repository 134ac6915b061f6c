//! `[global]`: what of it counts at once, and what when lbd is restarted.

use super::Differ;
use crate::config::{Global, Log};
use crate::plan::{Change, Effect, Section};

pub(super) fn compare(old: &Global, new: &Global, changes: &mut Vec<Change>) {
    let Global {
        threads,
        max_connections,
        max_handshakes,
        socket,
        socket_mode,
        socket_group,
        state_dir,
        shutdown_timeout,
        shutdown_delay,
        resolvers,
        log: Log { level, format },
        access_log,
    } = old;
    let mut at = Differ::new(Section::Global, "", changes);
    at.key("threads", threads, &new.threads, Effect::Restart);
    at.key(
        "max_connections",
        max_connections,
        &new.max_connections,
        Effect::AtOnce,
    );
    at.key(
        "max_handshakes",
        max_handshakes,
        &new.max_handshakes,
        Effect::AtOnce,
    );
    at.key("socket", socket, &new.socket, Effect::Restart);
    let octal = |mode: &u32| format!("{mode:04o}");
    at.key(
        "socket_mode",
        &octal(socket_mode),
        &octal(&new.socket_mode),
        Effect::Restart,
    );
    at.key(
        "socket_group",
        socket_group,
        &new.socket_group,
        Effect::Restart,
    );
    at.key("state_dir", state_dir, &new.state_dir, Effect::Restart);
    at.key(
        "shutdown_timeout",
        shutdown_timeout,
        &new.shutdown_timeout,
        Effect::AtOnce,
    );
    at.key(
        "shutdown_delay",
        shutdown_delay,
        &new.shutdown_delay,
        Effect::AtOnce,
    );
    at.key("resolvers", resolvers, &new.resolvers, Effect::AtOnce);
    at.key("log.level", level, &new.log.level, Effect::AtOnce);
    at.key("log.format", format, &new.log.format, Effect::AtOnce);
    at.key(
        "access_log",
        access_log,
        &new.access_log,
        Effect::NewRequests,
    );
}
