//! From the text of a file to a [`Config`]: the sections, and the one place where they meet.
//!
//! The walk goes on after each problem with a value that would have done, so that one run tells
//! everything that is wrong. No configuration made from such a value ever leaves this file.

mod admin;
mod backend;
mod frontend;
mod global;
mod header_rules;
mod health;
mod mode;
mod outlier;
mod rate_limit;
pub(super) mod report;
mod route;
mod secret;
mod server;
mod server_tls;
mod sticky;
mod syntax;
mod table;
mod timeouts;
mod tls;
mod traces;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use self::report::Report;
use self::table::{Shape, Table};
use self::timeouts::Timeouts;
use super::certificates::{self, Certificates};
use super::check::{self, Facts};
use super::problem::Fault;
use super::{Backend, Config, Frontend};
use crate::error::Problem;
use crate::regular::{self, Links};

const ROOT: Shape = Shape {
    what: "the file",
    example: "a file of sections",
    keys: &[
        "global", "admin", "traces", "defaults", "frontend", "backend",
    ],
    later: &[],
};

/// Of a file that is read, in bytes: hundreds of thousands of servers need less.
const LARGEST: u64 = 16 << 20;

/// Why a file gave no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the configuration has {}", count(.0.len(), "problem"))]
    Invalid(Vec<Problem>),
}

/// A configuration from disk, with what it names there.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// So that a caller can keep or hash what it loaded.
    pub text: String,
    pub certificates: Certificates,
    /// What works, but should not stay so.
    pub warnings: Vec<Problem>,
}

/// Reads a file from disk, and the certificates that it names.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let bytes = bytes(path).map_err(|source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let file = path.to_string_lossy();
    let text = String::from_utf8(bytes)
        .map_err(|error| LoadError::Invalid(not_text(&file, error.as_bytes())))?;
    judge(&file, text).map_err(LoadError::Invalid)
}

/// What is in a file of configuration, valid or not.
///
/// # Errors
/// Where it cannot be read, is no regular file, or is larger than 16 MiB.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    regular::read(path, LARGEST, Links::Followed)
}

/// A configuration from its text, and the certificates that it names; `file` is the name that problems
/// carry.
///
/// # Errors
/// Every problem of the text, or else of the files.
pub fn judge(file: &str, text: String) -> Result<Loaded, Vec<Problem>> {
    let config = read(file, &text)?;
    let bare = without_mark(&text);
    let (certificates, mut warnings) = certificates::read(&config, file, bare, now())?;
    warnings.extend(check::unwise(&config, file, bare));
    warnings.sort_by_key(|warning| (warning.line, warning.column));
    Ok(Loaded {
        config,
        text,
        certificates,
        warnings,
    })
}

/// The SHA-256 of a file's text, hexadecimal: tells whether it is the one that was loaded.
pub fn sha256(text: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// Reads a configuration; `file` is the name that problems carry.
///
/// # Errors
/// Every problem of the text, in the order of their places.
pub fn read(file: &str, text: &str) -> Result<Config, Vec<Problem>> {
    let text = without_mark(text);
    let report = Report::new(file, text);
    let (mut document, mut errors) = DeTable::parse_recoverable(text);
    let mended = syntax::without_lone_keys(&errors, text);
    if let Some(mended) = &mended {
        let (rest, more) = DeTable::parse_recoverable(mended);
        document = rest;
        errors.extend(more);
    }
    syntax::tell(&errors, &report);

    let config = sections(Table::root(document.get_ref(), &ROOT, &report));
    match report.finish() {
        problems if problems.is_empty() => Ok(config),
        problems => Err(problems),
    }
}

/// Editors on Windows put a byte order mark first; it is no part of the first line.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The `state_dir` that a text names, however little of the rest is a configuration. `None` where it
/// names none.
pub fn state_dir(text: &str) -> Option<PathBuf> {
    let text = without_mark(text);
    let (document, _) = DeTable::parse_recoverable(text);
    named_in(document.get_ref()).or_else(|| {
        // Something above it is left open, and takes the section with it.
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| line.split('#').next().map(str::trim) == Some("[global]"))?;
        let mut section = lines.take_while(|line| !line.starts_with('['));
        let line = section.find(|line| line.starts_with("state_dir"))?;
        let (document, _) = DeTable::parse_recoverable(line);
        Some(
            document
                .get_ref()
                .get("state_dir")?
                .get_ref()
                .as_str()?
                .into(),
        )
    })
}

fn named_in(document: &DeTable<'_>) -> Option<PathBuf> {
    let global = document.get("global")?.get_ref().as_table()?;
    Some(global.get("state_dir")?.get_ref().as_str()?.into())
}

fn sections(root: Table<'_>) -> Config {
    let mut facts = Facts::default();
    let defaults = timeouts::defaults(root.get("defaults"));
    let config = Config {
        global: global::read(root.get("global")),
        admin: root
            .get("admin")
            .and_then(|value| admin::read(value, &mut facts)),
        traces: root.get("traces").and_then(traces::read),
        frontends: frontends(root, defaults, &mut facts),
        backends: backends(root, defaults, &mut facts),
    };
    check::run(&facts, root.report());
    config
}

fn frontends<'a>(root: Table<'a>, defaults: Timeouts, facts: &mut Facts<'a>) -> Vec<Frontend> {
    let found = root.get("frontend").map(|value| value.sections("web"));
    let found = found.unwrap_or_else(|| {
        let remedy = "add a section such as [frontend.web] with `bind` and `default_backend`";
        root.absent(Fault::new("there is no frontend", remedy));
        Vec::new()
    });
    let read = |value| frontend::read(value, defaults.client, facts);
    found.into_iter().filter_map(read).collect()
}

fn backends<'a>(root: Table<'a>, defaults: Timeouts, facts: &mut Facts<'a>) -> Vec<Backend> {
    let given = root.get("backend");
    let found = given.map_or_else(Vec::new, |value| value.sections("app"));
    let read = |value| backend::read(value, defaults.server, facts);
    found.into_iter().filter_map(read).collect()
}

/// "1 frontend", "3 servers".
pub(crate) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

fn not_text(file: &str, bytes: &[u8]) -> Vec<Problem> {
    let good = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let text = String::from_utf8_lossy(bytes);
    let report = Report::new(file, &text);
    let fault = Fault::new(
        "the file is not UTF-8 text",
        "save it as UTF-8; lbd reads no other encoding",
    );
    report.wrong(good.len(), fault);
    report.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_text_still_names_its_state_dir() {
        let named = |text: &str| state_dir(text).map(|dir| dir.display().to_string());
        for text in [
            "[global]\nstate_dir = \"/srv/lb\"\nthreads = \n",
            "x = [\n[global] # the process\nthreads = 2\nstate_dir = '/srv/lb' # big\n",
            "global.state_dir = \"/srv/lb\"\nnothing",
        ] {
            assert_eq!(named(text).as_deref(), Some("/srv/lb"), "{text}");
        }
        for text in [
            "",
            "x = [",
            "[global]\n[other]\nstate_dir = \"/x\"",
            "[global]\nstate_dir = 7",
        ] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
