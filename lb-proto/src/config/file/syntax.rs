//! Broken TOML, told in the words of this program: the parser says what it met, this says what to do.

use toml::de::Error;

use super::report::Report;
use crate::config::problem::Fault;

/// The parser's words for a key given twice. Nothing of the rest is lost or guessed then.
const DUPLICATE: &str = "duplicate key";

/// The beginning of its words for a section that is a value elsewhere.
const CONFLICT: &str = "cannot extend value";

/// Its words for text without quotes, and for nothing at all.
const UNQUOTED: &str = "string values must be quoted";
const NO_VALUE: &str = "missing value";

/// Its words for a line that is a key alone. It gives up on the rest of the file then.
const KEY_ALONE: &str = "key with no value";

/// The text with every line that is a key alone blanked out, if there is one, so that what follows
/// can be read after all. Every place stays where it is.
pub(super) fn without_lone_keys(errors: &[Error], text: &str) -> Option<String> {
    let lone = errors
        .iter()
        .filter(|error| error.message().starts_with(KEY_ALONE));
    let mut mended = None;
    for error in lone {
        let end = error.span()?.start;
        let start = text
            .get(..end)?
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let blank = " ".repeat(end - start);
        mended
            .get_or_insert_with(|| text.to_owned())
            .replace_range(start..end, &blank);
    }
    mended
}

pub(super) fn tell(errors: &[Error], report: &Report<'_>) {
    let mut errors: Vec<_> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        if error.message() == DUPLICATE {
            report.wrong(span.start, duplicate(span, report));
        } else if !error.message().starts_with(CONFLICT)
            && is_header(report.line(report.line_of(span.start)))
        {
            // A whole header cannot be wrong by itself: the parser takes it for a value.
            let fault = Fault::new(
                "a list or table above this header is not closed",
                "close it with ']' or '}' before this line",
            );
            report.syntax(span.start, fault);
            report.lost_after(span.start);
            return;
        } else {
            let message = match error.message() {
                // What is not there has no quotes.
                message if message.starts_with(UNQUOTED) && span.is_empty() => NO_VALUE,
                message => message,
            };
            report.syntax(span.start, broken(message));
        }
    }
}

fn duplicate(span: std::ops::Range<usize>, report: &Report<'_>) -> Fault {
    let key = report.text().get(span.clone()).unwrap_or_default();
    let number = report.line_of(span.start);
    let header = report.line(number).trim();
    if !header.starts_with('[') {
        return Fault::new(
            format!("`{key}` is given twice"),
            "keep one of the two and remove the other",
        );
    }
    let header = header.split_once('#').map_or(header, |(header, _)| header);
    let header = header.trim_end();
    let first = (1..number).find(|line| report.line(*line).trim_start().starts_with(header));
    Fault::new(
        format!("{header} is defined twice"),
        match first {
            Some(first) => format!("the first is on line {first}; rename or remove one of the two"),
            None => "rename or remove one of the two".to_owned(),
        },
    )
}

/// A line such as `[backend.app]` or `[[backend.app.servers]]`.
fn is_header(line: &str) -> bool {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let line = line.trim();
    let inside = line.trim_start_matches('[').trim_end_matches(']');
    let bracketed = line.starts_with('[') && line.ends_with(']');
    bracketed && inside.contains('.') && inside.chars().all(in_name)
}

/// The remedies go by the beginning of the parser's message; whatever it may say one day that is
/// not listed gets the general one.
fn broken(message: &str) -> Fault {
    const REMEDIES: &[(&str, &str)] = &[
        (UNQUOTED, "put the value in quotes"),
        (NO_VALUE, "write a value after the '='"),
        (KEY_ALONE, "write `key = value`, or `[section]`"),
        ("missing comma", "put a comma between the two"),
        ("extra comma", "remove the comma"),
        ("extra `=`", "remove one '='"),
        (
            "invalid inline table element",
            "put a comma between two entries, and '}' after the last",
        ),
        ("unclosed array table", "close the header with ']]'"),
        ("unclosed table", "close the header with ']'"),
        ("unclosed array", "close the list with ']'"),
        ("unclosed inline table", "close the table with '}'"),
        (
            "invalid basic string",
            "close the string with '\"' on the same line; write a backslash as '\\\\'",
        ),
        (
            "invalid literal string",
            "close the string with a single quote on the same line",
        ),
        ("invalid multi-line", "close the string with three quotes"),
        (
            "missing escaped value",
            "write a backslash as '\\\\', or put the text in single quotes",
        ),
        (CONFLICT, "define the section in one place, in one way"),
        (
            "cannot recurse further",
            "nothing in this file needs brackets nested so deep",
        ),
        (
            "invalid unquoted key",
            "a key is made of letters, digits, '-' and '_'; put any other in quotes",
        ),
        (
            "invalid comment character",
            "remove the control character from the comment",
        ),
    ];
    let known = REMEDIES
        .iter()
        .find(|(start, _)| message.starts_with(start));
    match known {
        // The remedy says what the parser expected, and says it better.
        Some((_, remedy)) => {
            let what = message.split(", expected").next().unwrap_or(message);
            Fault::new(format!("this is not TOML: {what}"), *remedy)
        }
        None => Fault::new(
            format!("this is not TOML: {message}"),
            "a line is `key = value`, `[section]` or `# comment`",
        ),
    }
}
