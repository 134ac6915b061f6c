//! Every command with `--json`, as it ends well and as it fails, against the schemas that are checked
//! in under `lb-proto/schemas`. `UPDATE=1 cargo test -p lb-tests --test cli` writes those anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use lb_proto::schema::{self, ERROR};
use lb_proto::state::State;
use lb_tests::daemon::{QUICK_CHECK, app};
use lb_tests::origin::Health;
use lb_tests::{Authority, Lbd, Process, lbctl, programs};
use serde_json::Value;

use crate::{in_flight, two_servers};

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
        names.filter(|name| name != ERROR).collect::<BTreeSet<_>>(),
        verbs.collect(),
        "lb_proto::schema::all() is to have what each command prints with --json"
    );
}

/// Commands, and what of their documents was seen to be as its schema says.
struct Judge {
    socket: PathBuf,
    schemas: BTreeMap<String, Validator>,
    /// The commands that have printed their document, and those that have printed an error.
    seen: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl Judge {
    fn new(socket: PathBuf) -> Self {
        let read = |name: &str| {
            let file = folder().join(name).with_extension("json");
            let text = fs::read_to_string(&file).expect("every schema is checked in");
            let schema = serde_json::from_str(&text).expect("a schema is JSON");
            jsonschema::validator_for(&schema).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let names = schema::all().into_iter().map(|(name, _)| name.to_owned());
        Self {
            socket,
            schemas: names.map(|name| (name.clone(), read(&name))).collect(),
            seen: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// Runs a command, and judges every line that it prints.
    #[track_caller]
    fn lbctl(&mut self, line: &str) {
        let words = line.split_whitespace().chain(["--json"]);
        let said = Process::run(lbctl::command(&self.socket, words));
        assert!(
            !said.stdout.is_empty(),
            "lbctl {line} prints nothing: {said:#?}"
        );
        for document in said.stdout.lines() {
            self.judge(line, document);
        }
        let failed = said.stdout.lines().last().is_some_and(is_error);
        let doctor_found_something = line.starts_with("doctor") && said.code == Some(1);
        assert!(
            failed == (said.code != Some(0)) || doctor_found_something,
            "lbctl {line}: {said:#?}"
        );
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
    let (origins, mut lbd) = two_servers();
    let mut judge = Judge::new(lbd.socket());
    let scratch = tempfile::tempdir().expect("a folder can be made");

    for verb in lbctl::verbs() {
        judge.lbctl(&format!("{} --no-such-flag", verb.join(" ")));
    }
    about_servers(&mut judge, &lbd);
    {
        let _held = in_flight(&lbd, &origins);
        judge.lbctl("drain app/web01 --timeout 100ms");
        judge.lbctl("status");
        judge.lbctl("maint app/web01 --kill");
    }
    origins[0].set_health(Health::Status(500));
    judge.lbctl("ready app/web01 --wait --timeout 100ms");
    lbd.wait_for_state("app/web01", State::Down);
    judge.lbctl("explain app/web01");
    origins[0].set_health(Health::Status(200));
    judge.lbctl("ready app/web01 --wait");
    about_maintenance(&mut judge);
    let good = app(QUICK_CHECK, &origins);
    about_configuration(&mut judge, &mut lbd, &good);
    about_this_machine(&mut judge, scratch.path());

    let all: BTreeSet<String> = lbctl::verbs().iter().map(|verb| verb.join("-")).collect();
    assert_eq!(judge.seen, all, "each ends well");
    assert_eq!(judge.failed, all, "each fails");
}

fn about_servers(judge: &mut Judge, lbd: &Lbd) {
    judge.lbctl("status");
    judge.lbctl("status app/web01");
    judge.lbctl("status app/web1");
    judge.lbctl("drain app/web01 app/web02 --no-wait --reason disk");
    judge.lbctl("status app --state drain");
    judge.lbctl("drain app/web1");
    judge.lbctl("ready app/web01 app/web02");
    lbd.wait_for_state("app/web02", State::Up);
    judge.lbctl("maint app/web02");
    judge.lbctl("ready app/web02 --wait");
    judge.lbctl("weight app/web01 3");
    judge.lbctl("weight app/web01 configured");
    judge.lbctl("explain app/web02");
    judge.lbctl("explain app/web3");
    judge.lbctl("status --socket /nowhere/lbd.sock");
}

fn about_maintenance(judge: &mut Judge) {
    judge.lbctl("rolling-maintenance app --dry-run");
    judge.lbctl("rolling-maintenance app --exec id");
    judge.lbctl("rolling-maintenance app --exec false");
    judge.lbctl("status");
    judge.lbctl("rolling-maintenance app --exec true --resume");
    judge.lbctl("events --no-follow");
    judge.lbctl("events --no-follow --audit");
}

fn about_configuration(judge: &mut Judge, lbd: &mut Lbd, good: &str) {
    judge.lbctl("confirm");
    judge.lbctl("rollback");
    lbd.rewrite(good.replace("health = ", "retries = 1\nhealth = "));
    let file = lbd.config_file();
    let file = file.display();
    judge.lbctl(&format!("validate {file}"));
    judge.lbctl("plan");
    judge.lbctl("reload --confirm-within 1h --rollback-if-down");
    judge.lbctl("status");
    judge.lbctl("confirm");
    judge.lbctl("rollback");
    lbd.rewrite(good.replace("rise = 2", "rise = 0"));
    judge.lbctl(&format!("validate {file}"));
    judge.lbctl("reload");
    judge.lbctl("plan");
}

fn about_this_machine(judge: &mut Judge, scratch: &Path) {
    let lineage = scratch.join("live/example.com");
    Authority::new()
        .issue(&["example.com"])
        .write_lineage(&lineage);
    let certs = scratch.join("certs");
    fs::create_dir(&certs).expect("a folder can be made");
    fs::write(certs.join("broken.pem"), "").expect("the folder can be written to");
    let (lineage, certs) = (lineage.display(), certs.display());
    judge.lbctl(&format!(
        "cert assemble --lineage {lineage} --out {certs}/a.pem"
    ));
    judge.lbctl(&format!(
        "cert assemble --lineage {lineage} --out {certs}/none/a.pem"
    ));
    judge.lbctl(&format!("cert install --lineage {lineage} --certs {certs}"));
    judge.lbctl(&format!("cert list --certs {certs}"));
    judge.lbctl("cert list --certs /nowhere");
    judge.lbctl("doctor");
    judge.lbctl("completions bash");
    judge.lbctl(&format!("man {}", scratch.join("man").display()));
    judge.lbctl("man /dev/null");
}
