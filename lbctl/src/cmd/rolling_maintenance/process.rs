//! Whether CMD of a maintenance that stopped is still at work: its lbctl may have been killed beside it.
//!
//! CMD leads a session. What it began belongs to that, and may outlive it.

use std::fs::{self, DirEntry};

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::ServerId;
use lb_proto::rolling::{Hook, Rolling};
use rustix::system::uname;

/// How a process of this machine is known again, if that can be told.
pub(super) fn note(pid: u32) -> Option<Hook> {
    Some(Hook {
        pid,
        started: stat(pid)?.started,
        host: host(),
        boot: boot()?,
    })
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// With these pids, its own first.
    Runs(Vec<u32>),
    Gone,
    /// It was begun on another machine.
    Unknown,
}

pub(super) fn fate(hook: &Hook) -> Fate {
    match boot().as_ref() == Some(&hook.boot) {
        true => match alive(hook) {
            pids if pids.is_empty() => Fate::Gone,
            pids => Fate::Runs(pids),
        },
        // A machine that was started anew has none of its processes.
        false if hook.host == host() => Fate::Gone,
        false => Fate::Unknown,
    }
}

/// Why nothing is begun while it runs.
pub(super) fn in_the_way(
    (hook, pids): (&Hook, &[u32]),
    server: &ServerId,
    of: &Rolling,
    resume: &str,
) -> ErrorReply {
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
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let pids = pids.join(", ");
    let message = format!("CMD for {server} still runs: pid {pids}, begun by {by}, who is gone");
    ErrorReply::new(ErrorCode::Busy, message).hint(format!(
        "wait until `ps -s {pid}` shows nothing more, or end all of it with `pkill -s {pid}`; then go \
         on with: {resume}"
    ))
}

pub(super) fn not_seen(hook: &Hook, server: &ServerId) -> String {
    let Hook { pid, host, .. } = hook;
    format!(
        "CMD for {server} was begun on {host} as pid {pid}: whether it still runs is not seen from here"
    )
}

/// It and what it began, as far as they have not ended.
fn alive(hook: &Hook) -> Vec<u32> {
    let leader = stat(hook.pid).map(|stat| stat.started);
    // A pid is nobody else's while a session has its number.
    if leader.is_some_and(|started| started != hook.started) {
        return Vec::new();
    }
    let mut pids = members(hook.pid);
    pids.retain(|pid| *pid != hook.pid);
    pids.sort_unstable();
    if leader.is_some() {
        pids.insert(0, hook.pid);
    }
    pids
}

fn members(session: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pid = |entry: DirEntry| entry.file_name().to_str()?.parse().ok();
    let pids = processes.flatten().filter_map(pid);
    let is_member = |pid: &u32| stat(*pid).is_some_and(|stat| stat.session == session);
    pids.filter(is_member).collect()
}

/// Of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    session: u32,
    /// When it began, in clock ticks.
    started: u64,
}

/// Nothing once it has ended.
fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// A line of proc_pid_stat(5). One that nobody has waited for yet has ended.
fn parse(stat: &str) -> Option<Stat> {
    // Whatever the program is called is in parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if let "Z" | "X" = fields.next()? {
        return None;
    }
    let session = fields.nth(2)?.parse().ok()?;
    let started = fields.nth(15)?.parse().ok()?;
    Some(Stat { session, started })
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
        assert_eq!(fate(&us), Fate::Runs(vec![std::process::id()]));
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
        let expected = Stat {
            session: 6,
            started: 22,
        };
        assert_eq!(parse(&format!("7 (a) b ) S {rest} 23\n")), Some(expected));
        assert_eq!(parse(&format!("7 (sh) Z {rest}\n")), None);
        assert_eq!(parse("7 (sh"), None);
    }
}
