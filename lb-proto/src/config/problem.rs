//! How a problem of a configuration file is shown: the line, what is wrong with it, what to do.
//!
//! Rendering works from [`Problem`]s alone, because they also arrive over the control socket from a
//! daemon whose file the reader may not see. Nothing of them reaches the terminal unfiltered.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::error::Problem;
use crate::harmless::harmless;

/// In characters: longer than anything said here by itself, a few lines of a terminal.
const LONGEST_PHRASE: usize = 400;

/// What is wrong with a text and what to do about it, before anybody asks where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct Fault {
    pub message: String,
    pub remedy: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// Every problem in the way of rustc, an empty line between two, the last line ended.
///
/// With `color`, ANSI styles are the only escape sequences in the result; without, there are none.
pub fn render(problems: &[Problem], color: bool) -> String {
    all(problems, &Level::ERROR, color)
}

/// What is no problem yet, in the same way.
pub fn render_warnings(warnings: &[Problem], color: bool) -> String {
    all(warnings, &Level::WARNING, color)
}

fn all(problems: &[Problem], level: &Level<'static>, color: bool) -> String {
    let renderer = if color {
        Renderer::styled().hyperlink(false)
    } else {
        Renderer::plain()
    };
    let shown: Vec<_> = problems
        .iter()
        .map(|one| show(one, level, &renderer))
        .collect();
    shown.join("\n")
}

fn show(problem: &Problem, level: &Level<'static>, renderer: &Renderer) -> String {
    let source = harmless(&problem.source);
    let marked = marked(&source, problem.column);
    let snippet = Snippet::source(source)
        .path(phrase(&problem.file))
        .line_start(problem.line.max(1))
        .annotation(AnnotationKind::Primary.span(marked));
    let group = level
        .clone()
        .primary_title(phrase(&problem.message))
        .element(snippet)
        .element(Level::HELP.message(phrase(&problem.remedy)));
    let mut text = renderer.render(&[group]);
    text.push('\n');
    text
}

/// What is said about the line, cut where it quotes something endless.
fn phrase(text: &str) -> String {
    let whole = harmless(text).replace('\t', " ");
    match whole.char_indices().nth(LONGEST_PHRASE) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// The bytes of `source` to underline: the word, string or section header that starts at `column`.
fn marked(source: &str, column: usize) -> std::ops::Range<usize> {
    let start = source
        .char_indices()
        .nth(column.saturating_sub(1))
        .map_or(source.len(), |(at, _)| at);
    let rest = &source[start..];
    let length = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest[1..].find(quote).map(|at| at + 2),
        Some('[') if source[..start].trim().is_empty() => rest.rfind(']').map(|at| at + 1),
        Some(c) if in_word(c) => rest.find(|c| !in_word(c)).or(Some(rest.len())),
        Some(c) => Some(c.len_utf8()),
        None => Some(0),
    };
    start..start + length.unwrap_or(1)
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize, column: usize, source: &str) -> Problem {
        Problem {
            file: "lbd.toml".into(),
            line,
            column,
            message: "this is wrong".into(),
            source: source.into(),
            remedy: "do that".into(),
        }
    }

    fn plain(line: usize, column: usize, source: &str) -> String {
        render(&[problem(line, column, source)], false)
    }

    #[test]
    fn a_problem_names_its_place_underlines_it_and_ends_with_the_remedy() {
        let expected = "\
error: this is wrong
  --> lbd.toml:12:1
   |
12 | tiemout = \"2s\"
   | ^^^^^^^
   |
   = help: do that
";
        assert_eq!(plain(12, 1, "tiemout = \"2s\""), expected);
    }

    #[test]
    fn strings_and_headers_are_underlined_whole() {
        assert!(plain(1, 5, "a = \"b c\" # d").contains("\n  |     ^^^^^\n"));
        assert!(plain(1, 1, "[frontend.web]").contains("\n  | ^^^^^^^^^^^^^^\n"));
    }

    #[test]
    fn tabs_and_wide_letters_do_not_shift_the_place() {
        assert!(plain(1, 2, "\twrong = 1").contains("lbd.toml:1:2\n"));
        assert!(plain(1, 2, "\twrong = 1").contains("\n  |     ^^^^^\n"));
        assert!(plain(3, 12, "name = \"äö\" wrong").contains("lbd.toml:3:12\n"));
    }

    #[test]
    fn a_place_outside_the_line_is_shown_at_its_end() {
        for (line, column) in [(0, 0), (1, 0), (1, 999), (usize::MAX, usize::MAX)] {
            assert!(plain(line, column, "short").contains("this is wrong"));
            assert!(plain(line, column, "").contains("do that"));
        }
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let source = format!("{}wrong{}", "x ".repeat(5_000), " y".repeat(5_000));
        let text = plain(1, 10_001, &source);
        assert!(text.contains("wrong") && text.contains(":1:10001"));
        assert!(text.lines().all(|line| line.chars().count() < 200));
    }

    #[test]
    fn no_escape_sequence_of_a_file_reaches_the_terminal() {
        let mut bad = problem(1, 3, "a \u{1b}[31mred\u{9b}2J\u{7f}\r\u{202e}b");
        bad.message = "\u{1b}]0;title\u{7}\nfake".into();
        bad.file = "\u{1b}[2Jlbd.toml".into();
        bad.remedy = "\u{1b}c".into();
        let text = render(std::slice::from_ref(&bad), false);
        assert!(text.lines().all(|line| harmless(line) == line), "{text:?}");
        let styled = render(&[bad], true);
        let styles = styled.matches('\u{1b}').count();
        let wanted = styled.matches("\u{1b}[").count();
        assert_eq!(styles, wanted, "{styled:?}");
        assert!(!styled.contains("\u{1b}[31m") && !styled.contains("\u{1b}[2J"));
    }

    #[test]
    fn two_problems_have_an_empty_line_between_them() {
        let text = render(&[problem(1, 1, "a"), problem(2, 1, "b")], false);
        assert!(text.contains("do that\n\nerror: this is wrong\n"));
        assert_eq!(render(&[], false), "");
    }
}
