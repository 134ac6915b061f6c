//! Broken TOML, told in the words of this program: the parser says what it met, this says what to do.

use toml::de::Error;

use super::report::Report;
use crate::config::problem::Fault;

/// The parser's words for a key given twice. Nothing of the rest is lost or guessed then.
const DUPLICATE: &str = "duplicate key";

pub(super) fn tell(errors: &[Error], report: &Report<'_>) {
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        if error.message() == DUPLICATE {
            report.wrong(span.start, duplicate(span, report));
        } else {
            report.syntax(span.start, broken(error.message()));
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

/// The remedies go by the beginning of the parser's message; whatever it may say one day that is
/// not listed gets the general one.
fn broken(message: &str) -> Fault {
    const REMEDIES: &[(&str, &str)] = &[
        ("string values must be quoted", "put the value in quotes"),
        ("missing value", "write a value after the '='"),
        ("key with no value", "write `key = value`, or `[section]`"),
        ("missing comma", "put a comma between the two"),
        ("extra comma", "remove the comma"),
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
        (
            "cannot extend value",
            "define the section in one place, in one way",
        ),
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
    let general = "a line is `key = value`, `[section]` or `# comment`";
    Fault::new(
        format!("this is not TOML: {message}"),
        known.map_or(general, |(_, remedy)| remedy),
    )
}
