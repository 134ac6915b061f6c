//! README.md against the programs: what it says of the configuration and the commands is so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use lb_proto::config;
use lb_tests::programs;

/// A table of the reference: its heading, and a whole file with `KEY` where its keys stand.
const TABLES: [(&str, &str); 19] = [
    ("`[global]`", "[global]\nKEY\n"),
    ("`log`", "[global]\nlog = { KEY }\n"),
    ("`access_log`", "[global]\naccess_log = { KEY }\n"),
    ("`[admin]`", "[admin]\nKEY\n"),
    ("`bind` of `[admin]`", "[admin]\nbind = { KEY }\n"),
    ("Users", "[admin]\n[[admin.users]]\nKEY\n"),
    ("`[traces]`", "[traces]\nKEY\n"),
    ("timeouts", "[defaults.timeouts]\nKEY\n"),
    ("`[frontend.NAME]`", "[frontend.x]\nbind = []\nKEY\n"),
    (
        "`[[frontend.NAME.routes]]`",
        "[frontend.x]\nbind = []\n[[frontend.x.routes]]\nKEY\n",
    ),
    ("`[backend.NAME]`", "[backend.x]\nKEY\n"),
    ("`health`", "[backend.x]\nhealth = { KEY }\n"),
    ("`servers`", "[backend.x]\nservers = [{ KEY }]\n"),
    ("`bind`", "[frontend.x]\nbind = [{ KEY }]\n"),
    ("`sticky`", "[backend.x]\nsticky = { KEY }\n"),
    (
        "`request_headers` and `response_headers`",
        "[backend.x]\nresponse_headers = { KEY }\n",
    ),
    ("`queue`", "[backend.x]\nqueue = { KEY }\n"),
    (
        "TLS of a bind",
        "[frontend.x]\nbind = [{ tls = { KEY } }]\n",
    ),
    ("TLS to servers", "[backend.x]\ntls = { KEY }\n"),
];

/// The rows of "Not yet" by the table that their keys stand in.
const NOT_YET: [(&str, &str); 2] = [
    ("`bind` of `[admin]`", "[admin]\nbind = { KEY }\n"),
    ("`tls` of that", "[admin]\nbind = { tls = { KEY } }\n"),
];

fn readme() -> String {
    let path = programs::workspace().join("README.md");
    std::fs::read_to_string(path).expect("there is a README.md")
}

/// A fenced block: what stands after the fence, and the text.
fn blocks(readme: &str) -> Vec<(&str, &str)> {
    let fences: Vec<&str> = readme.split("```").collect();
    assert!(fences.len() % 2 == 1, "a fence is not closed");
    let inside = fences.iter().skip(1).step_by(2);
    inside.filter_map(|block| block.split_once('\n')).collect()
}

/// The lines below a heading, up to the next one.
fn section<'a>(readme: &'a str, heading: &str) -> &'a str {
    let is_heading = |line: &str| line.starts_with('#');
    let start = readme
        .split_inclusive('\n')
        .scan(0, |at, line| {
            *at += line.len();
            Some((*at, line))
        })
        .find(|(_, line)| is_heading(line) && line.trim_start_matches('#').trim() == heading)
        .unwrap_or_else(|| panic!("README.md has no section {heading:?}"))
        .0;
    let rest = &readme[start..];
    rest.find("\n#").map_or(rest, |end| &rest[..end])
}

/// The cells of each row of a section's tables, heads and rules left out.
fn rows(section: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = section.lines().filter(|line| line.starts_with("| "));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// What stands in backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn messages(text: &str) -> Vec<(String, String)> {
    let problems = config::read("lbd.toml", text).err().unwrap_or_default();
    let told = problems.into_iter().map(|p| (p.message, p.remedy));
    told.collect()
}

/// The keys that the reader accepts, as it lists them to whoever mistypes one.
fn accepted(template: &str) -> BTreeSet<String> {
    let told = messages(&template.replace("KEY", "zzzzzz = 1"));
    let (_, remedy) = told
        .iter()
        .find(|(message, _)| message.contains("`zzzzzz`"))
        .unwrap_or_else(|| panic!("no complaint about an unknown key in {template:?}: {told:?}"));
    let (_, keys) = remedy
        .rsplit_once(" are ")
        .or_else(|| remedy.rsplit_once(" is "))
        .expect("the remedy lists the keys");
    keys.split(", ").map(str::to_owned).collect()
}

#[test]
fn whole_configurations_are_valid() {
    let readme = readme();
    let mut seen = 0;
    for (info, text) in blocks(&readme) {
        let here_document = text
            .split_once("<<'END'\n")
            .and_then(|(_, rest)| rest.split_once("\nEND\n"));
        let whole = match here_document {
            Some((text, _)) => text,
            None if info == "toml whole" => text,
            None => continue,
        };
        seen += 1;
        let problems = config::read("README.md", whole).err().unwrap_or_default();
        assert!(problems.is_empty(), "{}", config::render(&problems, false));
    }
    assert!(seen >= 3, "only {seen} whole configurations were found");
}

#[test]
fn the_reference_names_every_key_and_no_other() {
    let readme = readme();
    for (heading, template) in TABLES {
        let told: BTreeSet<String> = rows(section(&readme, heading))
            .filter(|cells| cells[0].starts_with('`'))
            .map(|cells| cells[0].trim_matches('`').to_owned())
            .collect();
        assert_eq!(told, accepted(template), "the table of {heading}");
    }
    for key in [
        "defaults", "frontend", "backend", "global", "admin", "traces",
    ] {
        assert!(accepted("KEY\n").contains(key) && readme.contains(&format!("`[{key}")));
    }
}

#[test]
fn what_is_not_supported_yet_is_refused_so() {
    let readme = readme();
    let templates = BTreeMap::from(NOT_YET);
    let mut seen = 0;
    for cells in rows(section(&readme, "Not yet")).filter(|cells| cells[0] != "where") {
        let template = templates
            .get(cells[0])
            .unwrap_or_else(|| panic!("no template for {:?}", cells[0]));
        for key in quoted(cells[1]) {
            let name = key.strip_prefix('[').and_then(|key| key.strip_suffix(']'));
            let setting = match name.unwrap_or(key) {
                value if value.contains('=') => value.to_owned(),
                name => format!("{name} = 1"),
            };
            let told = messages(&template.replace("KEY", &setting));
            let refused = told.iter().any(|(m, _)| m.contains("not supported yet"));
            assert!(refused, "{setting} in {}: {told:?}", cells[0]);
            seen += 1;
        }
    }
    assert!(seen >= 1, "only {seen} keys were found");
}

fn help(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .arg("--help")
        .env("COLUMNS", "100")
        .output()
        .expect("the program runs");
    assert!(
        output.status.success(),
        "{} {args:?}: {output:?}",
        program.display()
    );
    String::from_utf8(output.stdout).expect("help is text")
}

/// The words after each `lbd` and `lbctl` that is written as code, up to the end of its command.
fn invocations(readme: &str) -> Vec<Vec<&str>> {
    let code = blocks(readme)
        .into_iter()
        .filter(|(info, _)| info.starts_with("sh"))
        .flat_map(|(_, text)| text.lines());
    let prose = readme.split("```").step_by(2).flat_map(quoted);
    let commands = code
        .chain(prose)
        .flat_map(|line| line.split(['|', ';', '&']));
    let words = commands.map(|command| command.split_whitespace().collect::<Vec<_>>());
    let ours = words.filter_map(|words| {
        let words = words.strip_prefix(&["sudo"]).unwrap_or(&words);
        matches!(words.first(), Some(&("lbd" | "lbctl"))).then(|| words.to_vec())
    });
    ours.collect()
}

#[test]
fn every_command_and_flag_exists() {
    let readme = readme();
    let mut verbs = BTreeSet::new();
    for words in invocations(&readme) {
        let program = match words[0] {
            "lbd" => programs::lbd(),
            _ => programs::lbctl(),
        };
        let verb = words.get(1).filter(|word| !word.starts_with('-'));
        // Verbs of verbs: `cert assemble`.
        let depth = if verb == Some(&"cert") { 2 } else { 1 };
        let verbs_of = words.iter().skip(1).take(depth);
        let path: Vec<&str> = verbs_of
            .take_while(|word| !word.starts_with('-'))
            .copied()
            .collect();
        let text = help(program, &path);
        let known: BTreeSet<&str> = text
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .collect();
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            let name = flag.split('=').next().unwrap_or(flag);
            assert!(
                known.contains(name) || name == "--help",
                "{words:?}: no {name}"
            );
        }
        if words[0] == "lbctl" {
            verbs.extend(verb);
        }
    }
    let text = help(programs::lbctl(), &[]);
    let (_, list) = text.split_once("Commands:\n").expect("help lists commands");
    let listed = list
        .lines()
        .take_while(|line| !line.is_empty())
        // What stands deeper is the rest of a line before it.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    assert_eq!(verbs, listed.collect(), "the verbs of README.md and lbctl");
}

#[test]
fn the_exit_codes_are_those_of_lbctl() {
    let readme = readme();
    let text = help(programs::lbctl(), &[]);
    let (_, list) = text.split_once("Exit codes:\n").expect("help lists them");
    let listed: BTreeSet<&str> = list
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let told: BTreeSet<&str> = rows(section(&readme, "Exit codes"))
        .map(|cells| cells[0])
        .filter(|code| *code != "exit")
        .collect();
    assert_eq!(told, listed);
}

#[test]
fn every_file_it_links_to_exists() {
    let readme = readme();
    let targets = readme
        .split("](")
        .skip(1)
        .filter_map(|t| t.split(')').next());
    for target in targets.filter(|t| !t.starts_with("http") && !t.starts_with('#')) {
        assert!(programs::workspace().join(target).exists(), "{target}");
    }
}
