//! Open files: what lbd was given, what its connections need, and how many it has.

use std::fs;
use std::io;

use lb_proto::config::open_files;
use lb_proto::os_error::in_words;
use lb_proto::status::Daemon;

use super::finding::Finding;
use super::scene::Scene;
use crate::there;

const CHECK: &str = "limits";

/// Fewer connections at once than any public site has on a bad day.
const FEW: u64 = 1_000;

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let Some(status) = scene.status() else {
        let why = "the limit of open files is that of a running lbd";
        return vec![Finding::not_looked_at(CHECK, "open files", why)];
    };
    let daemon = &status.daemon;
    let pid = daemon.pid;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"));
    let open = fs::read_dir(format!("/proc/{pid}/fd")).map(|files| files.count() as u64);
    let configured = scene
        .config()
        .and_then(|config| config.global.max_connections);
    judge(daemon, limits, open.ok(), configured.map(u64::from))
}

fn judge(
    daemon: &Daemon,
    limits: io::Result<String>,
    open: Option<u64>,
    configured: Option<u64>,
) -> Vec<Finding> {
    let limit = match limits.map(|text| open_files_in(&text)) {
        Ok(Some(limit)) => limit,
        Ok(None) => {
            let why = "the kernel's list of limits has another form";
            return vec![Finding::not_looked_at(
                CHECK,
                "the limit of open files",
                why,
            )];
        }
        Err(error) => {
            return vec![Finding::not_looked_at(
                CHECK,
                "the limit of open files",
                in_words(&error),
            )];
        }
    };
    let Daemon {
        connections,
        connections_limit: most,
        ..
    } = *daemon;
    let needed = open_files(most);
    let place = format!("lbd, pid {}", daemon.pid);
    let more = "set LimitNOFILE in the unit (systemctl edit lbd), or ulimit -n, and restart lbd";
    let mut findings = Vec::new();
    if needed > limit {
        findings.push(
            Finding::problem(
                CHECK,
                format!(
                    "max_connections = {most} needs {needed} open files, and lbd may have {limit}"
                ),
            )
            .place(place.clone())
            .remedy(format!("{more}; or lower max_connections"))
            .command(format!("grep 'open files' /proc/{}/limits", daemon.pid)),
        );
    } else if configured.is_none() && most < FEW {
        findings.push(
            Finding::warning(CHECK, format!("lbd takes only {most} connections at once"))
                .place(place.clone())
                .why(format!(
                    "it may have {limit} open files, and max_connections is not set"
                ))
                .remedy(more),
        );
    }
    if connections >= most {
        findings.push(
            Finding::problem(
                CHECK,
                format!("all {most} connections are taken: new clients wait"),
            )
            .place(place.clone())
            .remedy("raise max_connections in [global], and with it the limit of open files")
            .command(format!("{} status", there::lbctl())),
        );
    }
    // The last tenth goes quickly.
    if let Some(open) = open.filter(|open| *open > limit / 10 * 9) {
        findings.push(
            Finding::warning(CHECK, format!("lbd has {open} of {limit} files open"))
                .place(place)
                .remedy(more),
        );
    }
    if findings.is_empty() {
        let has = open.map_or_else(|| "some".to_owned(), |open| open.to_string());
        let what =
            format!("lbd has {has} of {limit} files open and {connections} of {most} connections");
        findings.push(Finding::fine(CHECK, what));
    }
    findings
}

/// The soft limit in `/proc/PID/limits` (proc_pid_limits(5)).
fn open_files_in(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;
    use crate::ui::sample;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
        Max processes             63328                63328                processes \n\
        Max open files            1024                 524288               files     \n";

    fn found(
        limit: u64,
        most: u64,
        now: u64,
        open: Option<u64>,
        configured: Option<u64>,
    ) -> (Severity, String) {
        let daemon = Daemon {
            connections: now,
            connections_limit: most,
            ..sample::status().daemon
        };
        let limits = LIMITS.replace("1024 ", &format!("{limit} "));
        let found = judge(&daemon, Ok(limits), open, configured).remove(0);
        (found.severity, found.what)
    }

    #[test]
    fn the_soft_limit_is_read() {
        assert_eq!(open_files_in(LIMITS), Some(1024));
        assert_eq!(
            open_files_in("Max open files            unlimited  unlimited files"),
            Some(u64::MAX)
        );
        assert_eq!(open_files_in("Max cpu time unlimited"), None);
    }

    #[test]
    fn connections_have_to_fit_into_it() {
        let wanted = Some(5_000);
        assert_eq!(
            found(1024, 5_000, 0, Some(20), wanted),
            (
                Severity::Problem,
                "max_connections = 5000 needs 10064 open files, and lbd may have 1024".to_owned()
            )
        );
        assert_eq!(found(1024, 480, 0, Some(20), None).0, Severity::Warning);
        assert_eq!(found(1024, 480, 0, Some(20), Some(480)).0, Severity::Fine);
        assert_eq!(
            found(1024, 480, 480, Some(20), Some(480)).0,
            Severity::Problem
        );
        assert_eq!(
            found(1024, 480, 470, Some(1000), Some(480)).0,
            Severity::Warning
        );
        assert_eq!(
            found(524_288, 20_000, 12, Some(40), None),
            (
                Severity::Fine,
                "lbd has 40 of 524288 files open and 12 of 20000 connections".to_owned()
            )
        );
        assert_eq!(found(524_288, 20_000, 12, None, None).0, Severity::Fine);
    }

    #[test]
    fn what_cannot_be_read_is_not_fine() {
        let daemon = sample::status().daemon;
        let denied = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let found = judge(&daemon, denied(), None, None);
        assert_eq!(found[0].severity, Severity::NotLookedAt);
        let found = judge(&daemon, Ok(String::new()), None, None);
        assert_eq!(found[0].severity, Severity::NotLookedAt);
    }
}
