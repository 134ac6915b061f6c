//! The clock of this machine: certificates are judged by it, and logs are read by it.

use std::path::PathBuf;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use super::program::{self, Ran};
use super::scene::Scene;
use crate::duration;

const CHECK: &str = "clock";

/// Files of another machine may come from one whose clock is a little ahead.
const TOLERATED: SignedDuration = SignedDuration::from_secs(60);

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(written_later(scene.now, &files(scene)));
    if let Some(status) = scene.status() {
        let started = status.daemon.started_at.as_deref();
        let up =
            SignedDuration::from_secs(i64::try_from(status.daemon.uptime_s).unwrap_or(i64::MAX));
        findings.extend(started.and_then(|at| jumped(scene.now, at.parse().ok()?, up)));
    }
    let asked = program::run(
        "timedatectl",
        &["show", "--property=NTPSynchronized", "--value"],
    );
    findings.push(synchronized(&asked));
    findings
}

/// Files that were written by this machine, or installed on it, before now.
fn files(scene: &Scene) -> Vec<(PathBuf, Timestamp)> {
    let programs = std::env::current_exe().ok();
    let paths = programs
        .into_iter()
        .chain([scene.path.clone(), scene.socket.clone()]);
    let times = paths.filter_map(|path| {
        let modified = std::fs::metadata(&path).ok()?.modified().ok()?;
        Some((path, time(modified)?))
    });
    times.collect()
}

fn time(of: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(of).ok()
}

/// The clock is behind what it has been.
fn written_later(now: Timestamp, files: &[(PathBuf, Timestamp)]) -> Option<Finding> {
    let (path, last) = files.iter().max_by_key(|(_, at)| *at)?;
    let behind = last.duration_since(now);
    if behind <= TOLERATED {
        return None;
    }
    let path = path.display();
    let what = format!("this machine's clock is at least {} late", in_words(behind));
    Some(
        set_it(Finding::problem(CHECK, what))
            .place(path.to_string())
            .why(format!(
                "{path} was written at {last}, and the clock says {now}"
            )),
    )
}

/// The clock has not gone as long as the process has.
fn jumped(now: Timestamp, started: Timestamp, up: SignedDuration) -> Option<Finding> {
    let jump = now.duration_since(started) - up;
    if jump.abs() <= TOLERATED {
        return None;
    }
    let (length, whither) = match jump.is_negative() {
        true => (in_words(-jump), "back"),
        false => (in_words(jump), "ahead"),
    };
    let what =
        format!("this machine's clock was set {length} {whither} since lbd started, or it slept");
    Some(set_it(Finding::warning(CHECK, what)).why(format!(
        "lbd has been up for {}, since {started} by the clock of then",
        in_words(up)
    )))
}

fn set_it(finding: Finding) -> Finding {
    finding
        .remedy("have it set from the network: systemd-timesyncd or chrony")
        .command("sudo timedatectl set-ntp true")
}

fn in_words(length: SignedDuration) -> String {
    duration::words(length.unsigned_abs())
}

/// What `timedatectl show --property=NTPSynchronized --value` said.
fn synchronized(asked: &Ran) -> Finding {
    let what = "whether the clock is set from the network";
    match asked {
        Ran::Said(text) if text.trim() == "yes" => {
            Finding::fine(CHECK, "the clock is set from the network")
        }
        Ran::Said(text) if text.trim() == "no" => set_it(Finding::warning(
            CHECK,
            "the clock is not set from the network",
        )),
        Ran::Said(_) => Finding::not_looked_at(CHECK, what, "timedatectl does not say"),
        Ran::Absent => Finding::not_looked_at(CHECK, what, "there is no timedatectl here"),
        Ran::Failed(why) => Finding::not_looked_at(CHECK, what, why),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn file(path: &str, modified: &str) -> (PathBuf, Timestamp) {
        (path.into(), at(modified))
    }

    #[test]
    fn a_clock_that_is_behind_a_file_is_late() {
        let now = at("2026-11-27T12:00:00Z");
        let files = [
            file("/usr/bin/lbctl", "2026-11-20T12:00:00Z"),
            file("/etc/lbd/lbd.toml", "2026-11-27T14:05:00Z"),
        ];
        let found = written_later(now, &files).unwrap();
        assert_eq!(found.what, "this machine's clock is at least 2h05m late");
        assert_eq!(found.place.as_deref(), Some("/etc/lbd/lbd.toml"));
        assert_eq!(written_later(now, &files[..1]), None);
        assert_eq!(written_later(now, &[]), None);
        let a_little = [file("/x", "2026-11-27T12:00:30Z")];
        assert_eq!(written_later(now, &a_little), None);
    }

    #[test]
    fn a_jump_is_what_the_process_did_not_live_through() {
        let started = at("2026-11-27T12:00:00Z");
        let up = SignedDuration::from_mins(10);
        let now = |text| jumped(at(text), started, up).map(|found| found.what);
        assert_eq!(now("2026-11-27T12:10:01Z"), None);
        let ahead = now("2026-11-27T13:10:00Z").unwrap();
        assert!(ahead.contains("set 1h ahead"), "{ahead}");
        let back = now("2026-11-27T11:40:00Z").unwrap();
        assert!(back.contains("set 30m back"), "{back}");
    }

    #[test]
    fn nobody_to_ask_is_not_fine() {
        let of = |ran: Ran| synchronized(&ran).severity;
        assert_eq!(of(Ran::Said("yes\n".to_owned())), Severity::Fine);
        assert_eq!(of(Ran::Said("no\n".to_owned())), Severity::Warning);
        assert_eq!(of(Ran::Said(String::new())), Severity::NotLookedAt);
        assert_eq!(of(Ran::Absent), Severity::NotLookedAt);
        assert_eq!(
            of(Ran::Failed("it failed".to_owned())),
            Severity::NotLookedAt
        );
    }
}
