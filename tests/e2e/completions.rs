//! What a shell is told may come next, asked as the scripts in `completions/` ask: flags and verbs, and
//! the names of the running daemon.

use std::path::Path;
use std::time::Instant;

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{Lbd, Origin, Process, lbctl};

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// What `shell` is told about the last word of a line, which may be empty.
fn offered(shell: &str, socket: &Path, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = lbctl::command(socket, ["--", "lbctl"]);
    command
        .args(&words)
        .env("LBCTL_COMPLETE", shell)
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let said = Process::run(command).exits(0);
    assert_eq!(said.stderr, "", "{shell}: {line}");
    let values = said.stdout.lines().map(|line| {
        // With what it is, which bash does not show.
        let (value, help) = match shell {
            "zsh" => line.split_once(':').unwrap_or((line, "")),
            _ => line.split_once('\t').unwrap_or((line, "")),
        };
        let is_name = value.starts_with("app/");
        assert!(
            shell == "bash" || !is_name || help.contains("sessions"),
            "{shell}: {line}"
        );
        value.to_owned()
    });
    values.collect()
}

#[test]
fn every_verb_that_takes_a_name_is_offered_those_of_the_daemon() {
    let origins = Origin::start_all(["web01", "web02"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let servers = ["app/web01", "app/web02"];
    for shell in SHELLS {
        let names = |line: &str| {
            let mut names = offered(shell, &lbd.socket(), line);
            names.retain(|name| !name.starts_with('-'));
            names
        };
        // Every verb whose usage has a server or a backend, so that none that comes is forgotten.
        for verb in lbctl::verbs() {
            let help = lbctl::help(&verb);
            let usage = help.lines().find(|line| line.starts_with("Usage: "));
            let usage = usage.expect("every command has a usage");
            let line = format!("{} ", verb.join(" "));
            if usage.contains("BACKEND[/SERVER]") {
                assert_eq!(names(&line), ["app", "app/web01", "app/web02"], "{shell}");
            } else if usage.contains("<SERVER>") {
                assert_eq!(names(&line), servers, "{shell}: {line}");
                let half = format!("{line}app/web02");
                assert_eq!(names(&half), ["app/web02"], "{shell}: {half}");
            } else if usage.contains("<BACKEND>") {
                assert_eq!(names(&line), ["app"], "{shell}: {line}");
            } else {
                assert!(!names(&line).contains(&"app".to_owned()), "{shell}: {line}");
            }
            // And flags that take one.
            if help.contains("--server <SERVER>") {
                let flag = format!("{line}app --server ");
                assert_eq!(names(&flag), servers, "{shell}: {flag}");
            }
        }
        assert_eq!(names("drain app/web01 "), servers, "several may be named");
        assert_eq!(names("dra"), ["drain"]);
        assert_eq!(names("cert ins"), ["install"]);
        assert_eq!(names("drain app/web01 --on-timeout m"), ["maint"]);
        let elsewhere = format!("--socket {} drain ", lbd.socket().display());
        let found = offered(shell, Path::new("/nowhere/lbd.sock"), &elsewhere);
        assert!(
            found.contains(&"app/web01".to_owned()),
            "{shell}: {found:?}"
        );
    }
}

#[test]
fn of_another_nodes_names_none_of_this_one_is_offered() {
    let origin = Origin::start("web01");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    for shell in SHELLS {
        for host in ["--host ssh://lb1", "--host=ssh://lb1"] {
            let line = format!("{host} drain ");
            let found = offered(shell, &lbd.socket(), &line);
            assert!(!found.iter().any(|name| name.contains('/')), "{found:?}");
        }
    }
}

#[test]
fn a_daemon_that_is_not_there_or_says_nothing_is_no_trouble() {
    /// Many times what a keystroke may take; a hang is without end.
    const LONG: u64 = 60;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let silent = folder.path().join("silent.sock");
    let _listens = std::os::unix::net::UnixListener::bind(&silent).expect("the folder is ours");
    for socket in [folder.path().join("none.sock"), silent] {
        let began = Instant::now();
        for shell in SHELLS {
            let found = offered(shell, &socket, "drain ");
            assert!(!found.iter().any(|name| name.contains('/')), "{found:?}");
        }
        assert!(began.elapsed().as_secs() < LONG, "{}", socket.display());
    }
}

#[test]
fn a_shell_gets_its_script_whatever_nodes_are_named() {
    for shell in SHELLS {
        let mut command = lbctl::bare();
        command
            .args(["completions", shell])
            .env("LBCTL_HOSTS", "ssh://lb1");
        Process::run(command).exits(0).says("LBCTL_COMPLETE");
    }
    let mut named = lbctl::bare();
    named.args(["completions", "bash", "--host", "ssh://lb1"]);
    Process::run(named).exits(2).says("about the machine");
}
