//! Whether CMD of a maintenance that stopped is still at work: its lbctl may have been killed beside it.

use std::fs;

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::ServerId;
use lb_proto::rolling::{Hook, Rolling};
use rustix::system::uname;

/// How a process of this machine is known again, if that can be told.
pub(super) fn note(pid: u32) -> Option<Hook> {
    Some(Hook {
        pid,
        started: started(pid)?,
        host: host(),
        boot: boot()?,
    })
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Runs,
    Gone,
    /// It was begun on another machine.
    Unknown,
}

pub(super) fn fate(hook: &Hook) -> Fate {
    match boot().as_ref() == Some(&hook.boot) {
        true if started(hook.pid) == Some(hook.started) => Fate::Runs,
        true => Fate::Gone,
        // A machine that was started anew has none of its processes.
        false if hook.host == host() => Fate::Gone,
        false => Fate::Unknown,
    }
}

/// Why nothing is begun while it runs.
pub(super) fn in_the_way(hook: &Hook, server: &ServerId, of: &Rolling, resume: &str) -> ErrorReply {
    let (pid, backend) = (hook.pid, &server.backend);
    let Rolling { by, since, .. } = of;
    if of.running {
        let message = format!(
            "{backend} is in rolling maintenance by {by} since {since}, now at {server}, where CMD \
             runs (pid {pid})"
        );
        return ErrorReply::new(ErrorCode::Busy, message)
            .hint("wait for it to end, or have it stopped with Ctrl-C");
    }
    let message = format!("CMD for {server} still runs: pid {pid}, begun by {by}, who is gone");
    ErrorReply::new(ErrorCode::Busy, message).hint(format!(
        "wait until `ps -p {pid}` shows it no more, or end it with `kill {pid}`; then go on with: {resume}"
    ))
}

pub(super) fn not_seen(hook: &Hook, server: &ServerId) -> String {
    let Hook { pid, host, .. } = hook;
    format!(
        "CMD for {server} was begun on {host} as pid {pid}: whether it still runs is not seen from here"
    )
}

/// When a process began, in clock ticks, unless it has ended.
fn started(pid: u32) -> Option<u64> {
    starttime(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Of a line of proc_pid_stat(5). One that nobody has waited for yet has ended.
fn starttime(stat: &str) -> Option<u64> {
    // Whatever the program is called is in parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn host() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_and_no_other_is_taken_for_it() {
        let us = note(std::process::id()).unwrap();
        assert_eq!(fate(&us), Fate::Runs);
        let another = Hook {
            started: us.started + 1,
            ..us.clone()
        };
        assert_eq!(fate(&another), Fate::Gone);
        let before = Hook {
            boot: "another".to_owned(),
            ..us
        };
        assert_eq!(fate(&before), Fate::Gone);
        let elsewhere = Hook {
            host: "another".to_owned(),
            ..before
        };
        assert_eq!(fate(&elsewhere), Fate::Unknown);
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_is_not_counted() {
        let rest: Vec<String> = (4..=22).map(|field| field.to_string()).collect();
        let rest = rest.join(" ");
        assert_eq!(starttime(&format!("7 (a) b ) S {rest} 23\n")), Some(22));
        assert_eq!(starttime(&format!("7 (sh) Z {rest}\n")), None);
        assert_eq!(starttime("7 (sh"), None);
    }
}
