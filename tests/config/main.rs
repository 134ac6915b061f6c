//! Every rule of the configuration, by example: `cases/NAME.toml` and, in `NAME.txt`, exactly what
//! is said about it. `UPDATE=1 cargo test -p lb-tests --test config` writes the texts anew.

mod damage;
mod speed;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use lb_proto::config;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cases");
    let entries = fs::read_dir(folder).expect("the folder of cases");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("an entry of the folder of cases").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "toml"))
        .collect();
    found.sort();
    found
}

/// What `lbctl validate` would say: the problems, or what a valid file holds.
fn said(name: &str, text: &str) -> String {
    match config::read(name, text) {
        Ok(config) => format!("{}\n", config::summary(&config)),
        Err(problems) => config::render(&problems, false),
    }
}

#[test]
fn every_case_is_told_as_recorded() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    for case in cases() {
        let text = fs::read_to_string(&case).expect("a case");
        let name = case
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        let said = said(name, &text);
        let recorded = case.with_extension("txt");
        if update {
            fs::write(&recorded, said).expect("the text can be written");
        } else if fs::read_to_string(&recorded).ok().as_ref() != Some(&said) {
            differing.push(format!("==== {name}\n{said}"));
        }
    }
    assert!(
        differing.is_empty(),
        "not as recorded; UPDATE=1 records it\n{}",
        differing.join("\n")
    );
}

#[test]
fn only_cases_named_valid_are_valid() {
    for case in cases() {
        let text = fs::read_to_string(&case).expect("a case");
        let named_valid = case
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("valid_"));
        let read = config::read("case", &text);
        assert_eq!(read.is_ok(), named_valid, "{}", case.display());
    }
}

#[test]
fn problems_are_sorted_and_each_is_whole() {
    for case in cases() {
        let text = fs::read_to_string(&case).expect("a case");
        let problems = config::read("case.toml", &text).err().unwrap_or_default();
        assert!(
            problems.is_sorted_by_key(|p| (p.line, p.column)),
            "{}",
            case.display()
        );
        for problem in problems {
            let line = text.lines().nth(problem.line - 1).unwrap_or_default();
            // A secret is not shown, nor what follows it.
            let shown = problem.source.trim_end_matches('…');
            assert!(line.starts_with(shown), "{}", case.display());
            let cut = problem.source != shown;
            assert!(cut || shown == line, "{}", case.display());
            assert!(
                problem.column <= line.chars().count() + 1,
                "{}",
                case.display()
            );
            assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
            assert_eq!(problem.file, "case.toml");
        }
    }
}
