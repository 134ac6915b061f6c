//! Every command with `--json`, as it ends well and as it fails, against the schemas that are checked
//! in under `lb-proto/schemas`. `UPDATE=1 cargo test -p lb-tests --test cli` writes those anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use lb_proto::schema::{self, ERROR, HOST};
use lb_tests::{Process, lbctl, programs};
use serde_json::Value;

use crate::walk::{Code, walk};

fn folder() -> PathBuf {
    programs::workspace().join("lb-proto/schemas")
}

#[test]
fn the_checked_in_ones_are_fresh() {
    let mut files = BTreeSet::new();
    for (name, schema) in schema::all() {
        let file = folder().join(name).with_extension("json");
        let now = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &now).expect("the repository can be written to");
        }
        let checked_in = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            now,
            checked_in,
            "{} is stale; UPDATE=1 writes it",
            file.display()
        );
        files.insert(file);
    }
    let there = fs::read_dir(folder())
        .expect("the schemas are there")
        .flatten();
    assert_eq!(
        there.map(|entry| entry.path()).collect::<BTreeSet<_>>(),
        files
    );
}

#[test]
fn there_is_one_for_every_verb_and_no_other() {
    let verbs = lbctl::verbs().into_iter().map(|verb| verb.join("-"));
    let names = schema::all().into_iter().map(|(name, _)| name.to_owned());
    assert_eq!(
        names
            .filter(|name| ![ERROR, HOST].contains(&name.as_str()))
            .collect::<BTreeSet<_>>(),
        verbs.collect(),
        "lb_proto::schema::all() is to have what each command prints with --json"
    );
}

/// Commands, and what of their documents was seen to be as its schema says.
struct Judge {
    schemas: BTreeMap<String, Validator>,
    /// The commands that have printed their document, and those that have printed an error.
    seen: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl Judge {
    fn new() -> Self {
        let schemas = schema::all().into_iter().map(|(name, schema)| {
            let validator = jsonschema::validator_for(schema.as_value());
            let validator = validator.unwrap_or_else(|e| panic!("{name}: {e}"));
            (name.to_owned(), validator)
        });
        Self {
            schemas: schemas.collect(),
            seen: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Runs a command, and judges every line that it prints.
    #[track_caller]
    fn lbctl(&mut self, socket: &Path, line: &str, code: Code) {
        let words = line.split_whitespace().chain(["--json"]);
        let said = Process::run(lbctl::command(socket, words));
        let last = said.stdout.lines().last();
        let last = last.unwrap_or_else(|| panic!("lbctl {line} prints nothing: {said:#?}"));
        for document in said.stdout.lines() {
            self.judge(line, document);
        }
        if let Some(code) = code {
            assert_eq!(said.code, Some(code), "lbctl {line}: {said:#?}");
            assert_eq!(is_error(last), code != 0, "lbctl {line}: {said:#?}");
        }
    }

    #[track_caller]
    fn judge(&mut self, line: &str, document: &str) {
        let verb = self.verb(line);
        let (schema, ended) = match is_error(document) {
            true => (ERROR, &mut self.failed),
            false => (verb.as_str(), &mut self.seen),
        };
        let value: Value = serde_json::from_str(document)
            .unwrap_or_else(|e| panic!("lbctl {line} prints no JSON: {e}\n{document}"));
        let wrong: Vec<String> = self.schemas[schema]
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "lbctl {line}: {wrong:#?}\n{document}");
        ended.insert(verb);
    }

    /// Which of the verbs a line is.
    fn verb(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        let two = words.join("-");
        match self.schemas.contains_key(&two) {
            true => two,
            false => words[0].to_owned(),
        }
    }
}

fn is_error(document: &str) -> bool {
    let value: Value = serde_json::from_str(document).unwrap_or_default();
    value["error"].is_object()
}

#[test]
fn what_every_command_prints_is_as_its_schema_says() {
    let mut judge = Judge::new();
    walk(&mut |socket, line, code| judge.lbctl(socket, line, code));
    // The one that reads.
    let mut command = lbctl::bare();
    command.args(["hash-password", "--json"]);
    let hash = Process::fed(b"secret\n", command).exits(0).stdout;
    judge.judge("hash-password", hash.trim());
    let all: BTreeSet<String> = lbctl::verbs().iter().map(|verb| verb.join("-")).collect();
    assert_eq!(judge.seen, all, "each ends well");
    assert_eq!(judge.failed, all, "each fails");
}
