//! `lbctl man`: a page for each verb, which tells all that `--help` does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lb_tests::process::Output;
use lb_tests::{Process, lbctl};

/// Writes the pages to `folder`, with something in the environment that is no part of a page.
fn write(folder: &Path, flags: &[&str]) -> Output {
    let mut command = lbctl::bare();
    command.arg("man").arg(folder).args(flags);
    command.env("LBCTL_SOCKET", "/of/this/run.sock");
    Process::run(command)
}

/// What a reader sees of a page, in one line.
fn shown(page: &str) -> String {
    let lines = page.lines().map(|line| {
        let head = line.strip_prefix(".SH ");
        head.map_or(line, |head| head.trim_matches('"'))
    });
    let text: Vec<&str> = lines.filter(|line| !line.starts_with('.')).collect();
    let signs = [
        ("\\fB", ""),
        ("\\fI", ""),
        ("\\fR", ""),
        ("\\&", ""),
        ("\\-", "-"),
        ("\\*(Aq", "'"),
        ("\\\\", "\\"),
    ];
    let text = signs.iter().fold(text.join(" "), |text, (sign, meant)| {
        text.replace(sign, meant)
    });
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What a line of `--help` tells, without how it is laid out there.
fn told(line: &str) -> Vec<String> {
    const HEADINGS: [&str; 6] = [
        "Commands:",
        "Arguments:",
        "Options:",
        "Global options:",
        "Examples:",
        "Exit codes:",
    ];
    if HEADINGS.contains(&line) {
        return Vec::new();
    }
    let apart = line.replace("Usage: ", "").replace(" [", "  [");
    let pieces = apart
        .split("  ")
        .map(str::trim)
        .filter(|piece| !piece.is_empty());
    let words = pieces.flat_map(|piece| {
        let marked = |mark: &str| piece.strip_prefix(mark)?.strip_suffix(']');
        match (
            marked("[possible values: "),
            marked("[env: "),
            marked("[alias: "),
        ) {
            (Some(values), ..) => values.split(", ").map(str::to_owned).collect(),
            (_, Some(name), _) => name.split('=').take(1).map(str::to_owned).collect(),
            // It is in the page of the verb.
            (.., Some(_)) => Vec::new(),
            _ => vec![piece.trim_end_matches("...").to_owned()],
        }
    });
    words.collect()
}

#[test]
fn there_is_a_page_for_every_verb_and_no_help_is_lost() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let folder = folder.path().join("share/man1");
    let said = write(&folder, &[]).exits(0);
    assert_eq!(said.stdout, "");
    assert!(said.stderr.contains("lbctl.1"), "{said:#?}");
    let verbs = lbctl::verbs();
    let paths: BTreeSet<&[String]> = verbs
        .iter()
        .flat_map(|verb| (0..=verb.len()).map(|depth| &verb[..depth]))
        .collect();
    let written = fs::read_dir(&folder).expect("it was made").count();
    assert_eq!(written, paths.len());
    for path in paths {
        let name = [&["lbctl".to_owned()], path].concat().join("-");
        let page = fs::read_to_string(folder.join(format!("{name}.1")));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        let shown = shown(&page);
        let help = lbctl::help(path);
        for piece in help.lines().flat_map(told) {
            assert!(shown.contains(&piece), "{name} lacks {piece:?}:\n{shown}");
        }
        assert!(
            shown.contains("EXIT STATUS 0 done 1 failed"),
            "{name}: {shown}"
        );
        assert!(!page.contains("/of/this/run.sock"), "{name}");
    }
    let alias = fs::read_to_string(folder.join("lbctl-rolling-maintenance.1"));
    assert!(shown(&alias.expect("it is there")).contains("ALIASES rolling "));
}

#[test]
fn pages_that_are_there_are_replaced_and_json_names_them() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let stale = folder.path().join("lbctl-drain.1");
    fs::write(&stale, "stale").expect("the folder can be written to");
    let said = write(folder.path(), &["--json", "--quiet"]).exits(0);
    assert_eq!(said.stderr, "");
    let document = said.json();
    assert_eq!(document["pages"][0], "lbctl.1");
    assert_eq!(document["folder"], folder.path().display().to_string());
    let fresh = fs::read(&stale).expect("it is there");
    assert!(fresh.starts_with(b".ie"), "the page was not replaced");
    write(folder.path(), &[]).exits(0);
    assert_eq!(fs::read(&stale).expect("it is there"), fresh);
}

#[test]
fn a_folder_that_cannot_be_made_is_said() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("the folder can be written to");
    write(&file.join("man1"), &[])
        .exits(1)
        .says(&format!("cannot make {}", file.join("man1").display()))
        .says("hint:");
}
