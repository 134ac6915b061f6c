//! The only file that prints: data to stdout, talk to stderr. The log is [`crate::log`]'s.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

use lb_proto::config;
use lb_proto::error::Problem;

use crate::causes::in_full;

/// Nothing can be done about a stdout that is gone, and nothing should fail for it.
pub(crate) fn stdout(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Every problem of a configuration file.
pub(crate) fn problems(problems: &[Problem]) {
    let color = io::stderr().is_terminal();
    stderr(config::render(problems, color).trim_end());
}

/// What works in a configuration file, but should not stay so.
pub(crate) fn warnings(warnings: &[Problem]) {
    if !warnings.is_empty() {
        let color = io::stderr().is_terminal();
        stderr(config::render_warnings(warnings, color).trim_end());
    }
}

/// An error, its causes, and what to do about it.
pub(crate) fn error(error: &dyn Error, hint: Option<&str>) {
    stderr(&format!("lbd: {}", in_full(error)));
    hint.into_iter().for_each(self::hint);
}

/// What to do about what was told.
pub(crate) fn hint(hint: &str) {
    stderr(&format!("hint: {hint}"));
}

fn stderr(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
