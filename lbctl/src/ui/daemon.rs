//! The daemon as people read it: the lines above the tables.

use std::fmt::Write as _;

use lb_proto::status::{ConfigStatus, Daemon, KeptStatus, LastReload};

use super::words::{self, seconds};

use crate::there;

/// Who it is, what it runs with, and what is wrong with it.
pub(crate) fn lines(daemon: &Daemon) -> String {
    let lost = match &daemon.access_log {
        Some(log) if log.lost > 0 => {
            format!("access log {}: {} lines lost\n", log.path, log.lost)
        }
        _ => String::new(),
    };
    let removed = match daemon.connections_removed {
        0 => String::new(),
        many => format!("{many} of the connections are of frontends that were removed\n"),
    };
    let crowd = match daemon.handshakes_waiting {
        0 => String::new(),
        waiting => format!(
            "{} of {} TLS handshakes, {waiting} more wait\n",
            daemon.handshakes, daemon.handshakes_limit
        ),
    };
    let kept = kept(&daemon.kept);
    format!(
        "lbd {}, pid {}, up {}, {} of {} connections\n\
         {}, generation {}, loaded {}\n{}{removed}{lost}{crowd}{kept}",
        daemon.version,
        daemon.pid,
        seconds(daemon.uptime_s),
        daemon.connections,
        daemon.connections_limit,
        daemon.config.path,
        daemon.config.generation,
        words::time(&daemon.config.loaded_at),
        unsettled(&daemon.config),
    )
}

/// What an operator is still to do about the configuration, a line each.
fn unsettled(config: &ConfigStatus) -> String {
    let mut text = String::new();
    if let Some(trial) = &config.trial {
        let left = |left: Option<u64>| seconds(left.unwrap_or_default());
        if trial.confirm_until.is_some() {
            let left = left(trial.confirm_left_s);
            let _ = writeln!(
                text,
                "not confirmed: goes back in {left} unless `{} confirm`",
                there::lbctl()
            );
        }
        if trial.watched_until.is_some() {
            let left = left(trial.watched_left_s);
            let _ = writeln!(
                text,
                "goes back if a backend is left without a server, for {left}"
            );
        }
    }
    if config.file_differs == Some(true) {
        let lbctl = there::lbctl();
        let _ = writeln!(text, "the file says something else by now: `{lbctl} plan`");
    }
    if let Some(LastReload {
        at,
        ok: false,
        error,
    }) = &config.last_reload
    {
        let error = error.as_deref().unwrap_or_default();
        let _ = writeln!(text, "the last reload failed, {}: {error}", words::time(at));
    }
    text
}

/// What is wrong with what is to outlive the daemon.
fn kept(kept: &KeptStatus) -> String {
    let lost = kept.error.as_ref();
    let lost = lost.map(|why| format!("a restart would forget what was set by hand: {why}\n"));
    let config = kept.config_error.as_ref();
    let config = config.map(|why| format!("{why}; tried again\n"));
    let audit = kept.audit_error.as_ref();
    let audit = audit.map(|why| format!("changes are not in the audit file: {why}\n"));
    let aside = kept.set_aside.as_ref().map(|told| format!("{told}\n"));
    let unknown: Vec<String> = kept.unknown.iter().map(ToString::to_string).collect();
    let unknown = (!unknown.is_empty()).then(|| {
        let servers = unknown.join(", ");
        format!("something was set on servers that the configuration does not have: {servers}\n")
    });
    [lost, config, audit, aside, unknown]
        .into_iter()
        .flatten()
        .collect()
}
