//! Command lines to be pasted, in hints and advice: they lead to the daemon that this one led to.

use crate::hosts::VIA;

/// What they begin with.
pub(crate) fn lbctl() -> String {
    lbctl_there(&typed(), &host())
}

/// One that takes root's rights, for commands about the machine that they run on.
pub(crate) fn as_root(verb: &str) -> String {
    format!("sudo {} {verb}", lbctl())
}

/// This one, with `--resume`.
pub(crate) fn resume() -> String {
    resume_command(&typed(), &host())
}

fn typed() -> Vec<String> {
    let typed = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    typed.collect()
}

/// The words that lead to a node, where those were taken from the command line.
fn host() -> Vec<String> {
    let via = std::env::var(VIA).unwrap_or_default();
    via.split_whitespace().map(str::to_owned).collect()
}

/// The command line as it was typed, with `--resume`, for a shell. `host`: the words that lead to the
/// daemon, where those were taken from it.
fn resume_command(typed: &[String], host: &[String]) -> String {
    let mut words: Vec<String> = ["lbctl".to_owned()]
        .into_iter()
        .chain(host.to_vec())
        .collect();
    let mut rest = typed.iter().skip(1);
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--server" => _ = rest.next(),
            word if word.starts_with("--server=") => {}
            word => words.push(word.to_owned()),
        }
    }
    if !words.iter().any(|word| word == "--resume") {
        words.push("--resume".to_owned());
    }
    for_shell(&words)
}

/// `lbctl` and what leads to the same daemon.
fn lbctl_there(typed: &[String], host: &[String]) -> String {
    let mut words: Vec<String> = ["lbctl".to_owned()]
        .into_iter()
        .chain(host.to_vec())
        .collect();
    let mut rest = typed.iter();
    while let Some(word) = rest.next() {
        if word == "--socket" || word == "--host" {
            words.extend([word, rest.next().unwrap_or(word)].map(String::to_owned));
        } else if word.starts_with("--socket=") || word.starts_with("--host=") {
            words.push(word.clone());
        }
    }
    for_shell(&words)
}

fn for_shell(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    quoted.join(" ")
}

/// A word as a shell takes it (POSIX, 2.2.2).
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_resumes_can_be_pasted() {
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        let typed = |typed: &[&str]| resume_command(&words(typed), &[]);
        assert_eq!(
            typed(&[
                "/usr/bin/lbctl",
                "rolling",
                "app",
                "--exec",
                "echo 'it' > $LB_SERVER"
            ]),
            r"lbctl rolling app --exec 'echo '\''it'\'' > $LB_SERVER' --resume"
        );
        assert_eq!(
            typed(&[
                "lbctl",
                "rolling",
                "app",
                "--server",
                "a",
                "--server=b",
                "--resume"
            ]),
            "lbctl rolling app --resume"
        );
        let host = words(&["--host", "ssh://lb1"]);
        let typed = words(&["lbctl", "rolling", "app", "--socket", "/x y"]);
        assert_eq!(
            resume_command(&typed, &host),
            "lbctl --host ssh://lb1 rolling app --socket '/x y' --resume"
        );
        assert_eq!(lbctl_there(&typed[..3], &host), "lbctl --host ssh://lb1");
        assert_eq!(lbctl_there(&typed, &[]), "lbctl --socket '/x y'");
    }
}
