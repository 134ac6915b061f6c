//! Changes that do not take effect: the file is invalid, or was edited and never loaded, or the last
//! reload failed.

use std::io::ErrorKind;

use lb_proto::config;
use lb_proto::error::Problem;
use lb_proto::status::ConfigStatus;

use super::finding::Finding;
use super::scene::{File, Scene};
use crate::there;
use crate::ui::words;

const CHECK: &str = "configuration";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let path = scene.path.display().to_string();
    let running = scene.status().map(|status| &status.daemon.config);
    let mut findings = vec![match &scene.file {
        File::Unreadable(kind, why) => unreadable(&path, *kind, why, running),
        File::Invalid { problems, .. } => invalid(&path, problems, running),
        File::Read(_) => Finding::fine(CHECK, format!("{path} is valid")),
    }];
    let text = match &scene.file {
        File::Read(read) => Some(&read.text),
        File::Invalid { text, .. } => Some(text),
        File::Unreadable(..) => None,
    };
    match (running, text) {
        (Some(running), Some(_)) if !scene.is_the_daemons() => {
            let other = &running.path;
            let what = format!("lbd runs {other}, not {path}");
            findings.push(Finding::warning(CHECK, what).remedy(format!(
                "name that file to look at it, or start lbd with --config {path}"
            )));
        }
        (Some(running), Some(text)) => findings.extend(effect(&path, text, running)),
        _ => {}
    }
    findings
}

fn unreadable(path: &str, kind: ErrorKind, why: &str, running: Option<&ConfigStatus>) -> Finding {
    let what = format!("cannot read {path}");
    match (kind, running) {
        (ErrorKind::PermissionDenied, _) => {
            Finding::not_looked_at(CHECK, format!("the configuration {path}"), why)
                .remedy("run it with sudo")
        }
        (ErrorKind::NotFound, Some(_)) => Finding::problem(
            CHECK,
            format!("{path}, which lbd runs, is no longer there: it could not be started again"),
        )
        .remedy("put the file back")
        .place(path),
        _ => Finding::problem(CHECK, what)
            .place(path)
            .why(why)
            .remedy("--config names another file"),
    }
}

fn invalid(path: &str, problems: &[Problem], running: Option<&ConfigStatus>) -> Finding {
    let what = match running {
        Some(running) => format!(
            "{path} is invalid: lbd goes on with what it loaded {}, and would not start again",
            words::time(&running.loaded_at)
        ),
        None => format!("{path} is invalid: lbd does not start"),
    };
    lines(problems)
        .into_iter()
        .fold(Finding::problem(CHECK, what).place(path), Finding::why)
        .remedy("mend the file; every problem is shown with its line")
        .command(format!("lbctl validate {path}"))
}

/// A few problems, a line each.
pub(super) fn lines(problems: &[Problem]) -> Vec<String> {
    const SHOWN: usize = 5;
    let line = |problem: &Problem| {
        let Problem {
            line,
            message,
            remedy,
            ..
        } = problem;
        format!("line {line}: {message}; {remedy}")
    };
    let mut all: Vec<String> = problems.iter().take(SHOWN).map(line).collect();
    if let Some(more @ 1..) = problems.len().checked_sub(SHOWN) {
        all.push(format!("and {more} more"));
    }
    all
}

/// Whether what the file says is what runs, and if not, why a reload did not help.
fn effect(path: &str, text: &str, running: &ConfigStatus) -> Vec<Finding> {
    let since = words::time(&running.loaded_at);
    let generation = running.generation;
    let failed = running.last_reload.as_ref().filter(|last| !last.ok);
    let failed = failed.map(|last| {
        let why = last.error.as_deref().unwrap_or("the log says why");
        format!("the last reload, {}, failed: {why}", words::time(&last.at))
    });
    let mut findings = Vec::new();
    if config::sha256(text) == running.sha256 {
        let what = format!("lbd runs what {path} says (generation {generation}, since {since})");
        findings.push(Finding::fine(CHECK, what));
        findings.extend(failed.map(|why| {
            let what = "the last reload failed, and the file is what runs again";
            Finding::warning(CHECK, what)
                .place(path)
                .why(why)
                .remedy("nothing, if what was to be changed was given up")
        }));
    } else {
        let what = format!(
            "changes of {path} have not taken effect: it was edited after lbd loaded it, or rolled back"
        );
        let finding = Finding::problem(CHECK, what)
            .place(path)
            .why(format!("lbd runs generation {generation}, loaded {since}"));
        findings.push(match failed {
            // Somebody tried, or had it taken back.
            Some(why) => finding
                .why(why)
                .remedy("see what differs, and mend the file before lbd loads it")
                .command(there::as_root("plan")),
            None => finding
                .remedy("have lbd load it, after `lbctl plan` has shown what differs")
                .command(there::as_root("reload")),
        });
    }
    findings.extend(on_trial(path, running));
    findings
}

/// The configuration before may come back by itself.
fn on_trial(path: &str, running: &ConfigStatus) -> Option<Finding> {
    let trial = running.trial.as_ref()?;
    let until = trial.confirm_until.as_deref()?;
    let what = format!(
        "what runs goes back at {} unless it is confirmed",
        words::time(until)
    );
    Some(
        Finding::warning(CHECK, what)
            .place(path)
            .why(format!("reloaded by {}", trial.by))
            .remedy("keep it, if it does what it should")
            .command(there::as_root("confirm")),
    )
}

#[cfg(test)]
mod tests {
    use lb_proto::status::{LastReload, TrialStatus};

    use super::super::finding::Severity;
    use super::*;

    fn running(text: &str) -> ConfigStatus {
        ConfigStatus {
            path: "/etc/lbd/lbd.toml".to_owned(),
            generation: 3,
            loaded_at: "2026-11-23T20:31:11Z".to_owned(),
            sha256: config::sha256(text),
            file_differs: None,
            confirmed: true,
            trial: None,
            last_reload: None,
        }
    }

    #[test]
    fn an_edited_file_is_told_from_one_that_runs() {
        let path = "/etc/lbd/lbd.toml";
        let same = effect(path, "a", &running("a"));
        assert_eq!((same.len(), same[0].severity), (1, Severity::Fine));
        let edited = effect(path, "b", &running("a")).remove(0);
        assert_eq!(edited.severity, Severity::Problem);
        assert_eq!(edited.command.as_deref(), Some("sudo lbctl reload"));
        assert_eq!(
            edited.why,
            ["lbd runs generation 3, loaded 2026-11-23 20:31:11 UTC"]
        );
    }

    #[test]
    fn why_the_last_reload_failed_is_told_as_long_as_it_matters() {
        let path = "/etc/lbd/lbd.toml";
        let failed = |text| ConfigStatus {
            last_reload: Some(LastReload {
                at: "2026-11-24T08:00:00Z".to_owned(),
                ok: false,
                error: Some("cannot listen on 0.0.0.0:80".to_owned()),
            }),
            ..running(text)
        };
        let why = "the last reload, 2026-11-24 08:00:00 UTC, failed: cannot listen on 0.0.0.0:80";
        let edited = effect(path, "b", &failed("a")).remove(0);
        assert_eq!(edited.severity, Severity::Problem);
        assert_eq!(edited.why[1], why);
        // Nobody is told to try again what failed, or was rolled back.
        assert_eq!(edited.command.as_deref(), Some("sudo lbctl plan"));
        let given_up = effect(path, "a", &failed("a")).remove(1);
        assert_eq!(given_up.severity, Severity::Warning);
        assert_eq!(given_up.why, [why]);
    }

    #[test]
    fn what_may_go_back_by_itself_is_told() {
        let trial = TrialStatus {
            by: "ops (uid 1000, pid 7)".to_owned(),
            confirm_until: Some("2026-11-24T08:02:00Z".to_owned()),
            confirm_left_s: Some(60),
            watched_until: None,
            watched_left_s: None,
        };
        let mut running = running("a");
        running.trial = Some(trial);
        let found = effect("/etc/lbd/lbd.toml", "a", &running).remove(1);
        assert_eq!(found.severity, Severity::Warning);
        assert_eq!(found.command.as_deref(), Some("sudo lbctl confirm"));
    }

    #[test]
    fn a_file_that_is_not_ours_to_read_is_no_problem_of_its_own() {
        let denied = unreadable("/x", ErrorKind::PermissionDenied, "permission denied", None);
        assert_eq!(denied.severity, Severity::NotLookedAt);
        let gone = unreadable("/x", ErrorKind::NotFound, "not there", Some(&running("a")));
        assert!(gone.what.contains("no longer there"), "{gone:?}");
    }
}
