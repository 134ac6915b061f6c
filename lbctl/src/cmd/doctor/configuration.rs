//! Changes that do not take effect: the file is invalid, or was edited and never loaded, or the last
//! reload failed.

use std::io::ErrorKind;

use lb_proto::config;
use lb_proto::error::Problem;
use lb_proto::status::{ConfigStatus, LastReload};

use super::finding::Finding;
use super::scene::{File, Scene};
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

/// Whether what the file says is what runs.
fn effect(path: &str, text: &str, running: &ConfigStatus) -> Option<Finding> {
    let since = words::time(&running.loaded_at);
    let generation = running.generation;
    if config::sha256(text) == running.sha256 {
        let what = format!("lbd runs what {path} says (generation {generation}, since {since})");
        return Some(Finding::fine(CHECK, what));
    }
    let what = format!(
        "changes of {path} have not taken effect: it was edited after lbd loaded it, or rolled back"
    );
    let mut finding = Finding::problem(CHECK, what)
        .place(path)
        .why(format!("lbd runs generation {generation}, loaded {since}"));
    if let Some(LastReload {
        at,
        ok: false,
        error,
    }) = &running.last_reload
    {
        let (at, error) = (words::time(at), error.as_deref().unwrap_or_default());
        finding = finding.why(format!("the last reload, {at}, failed: {error}"));
        return Some(
            finding
                .remedy("see what differs, and mend the file before lbd loads it")
                .command("sudo lbctl plan"),
        );
    }
    Some(
        finding
            .remedy("have lbd load it, after `lbctl plan` has shown what differs")
            .command("sudo lbctl reload"),
    )
}

#[cfg(test)]
mod tests {
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
        let same = effect(path, "a", &running("a")).unwrap();
        assert_eq!(same.severity, Severity::Fine);
        let edited = effect(path, "b", &running("a")).unwrap();
        assert_eq!(edited.severity, Severity::Problem);
        assert_eq!(edited.command.as_deref(), Some("sudo lbctl reload"));
        assert_eq!(
            edited.why,
            ["lbd runs generation 3, loaded 2026-11-23 20:31:11 UTC"]
        );
    }

    #[test]
    fn after_a_reload_that_failed_nobody_is_told_to_try_it_again() {
        let mut running = running("a");
        running.last_reload = Some(LastReload {
            at: "2026-11-23T20:35:11Z".to_owned(),
            ok: false,
            error: Some("generation 4 rolled back: not confirmed within 2m".to_owned()),
        });
        let told = effect("/etc/lbd/lbd.toml", "b", &running).unwrap();
        assert_eq!(told.command.as_deref(), Some("sudo lbctl plan"));
        assert!(told.why[1].contains("not confirmed within 2m"), "{told:?}");
    }

    #[test]
    fn a_file_that_is_not_ours_to_read_is_no_problem_of_its_own() {
        let denied = unreadable("/x", ErrorKind::PermissionDenied, "permission denied", None);
        assert_eq!(denied.severity, Severity::NotLookedAt);
        let gone = unreadable("/x", ErrorKind::NotFound, "not there", Some(&running("a")));
        assert!(gone.what.contains("no longer there"), "{gone:?}");
    }
}
