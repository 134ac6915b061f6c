//! Where problems are gathered while a file is read, and how an offset becomes a line and a column.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;

use super::secret::Secrets;
use crate::config::problem::Fault;
use crate::error::Problem;

/// The file and what was found in it so far. Every reader holds a shared reference, so that a value
/// can complain where it stands without a list being handed through each function.
pub(in crate::config) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    /// Where each line begins, so that a place costs a binary search and not a walk.
    lines: Vec<usize>,
    /// What is not shown of it, once something is.
    secrets: OnceCell<Secrets>,
    found: RefCell<Vec<Found>>,
    /// From here on the text was taken for something that it is not.
    lost: Cell<usize>,
}

struct Found {
    at: usize,
    kind: Kind,
    problem: Problem,
}

/// How far a problem is believed when the text is no TOML everywhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The text is no TOML here. What stands on this line was lost or guessed.
    Syntax,
    /// A key or value that is wrong by itself.
    Value,
    /// Something that is nowhere to be found; it may stand where the syntax is broken.
    Absence,
}

impl<'a> Report<'a> {
    pub(in crate::config) fn new(file: &'a str, text: &'a str) -> Self {
        let after_each_newline = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            file,
            text,
            lines: std::iter::once(0).chain(after_each_newline).collect(),
            secrets: OnceCell::new(),
            found: RefCell::default(),
            lost: Cell::new(usize::MAX),
        }
    }

    pub(in crate::config) fn text(&self) -> &'a str {
        self.text
    }

    pub(in crate::config) fn syntax(&self, at: usize, fault: Fault) {
        self.add(at, Kind::Syntax, fault);
    }

    pub(in crate::config) fn wrong(&self, at: usize, fault: Fault) {
        self.add(at, Kind::Value, fault);
    }

    pub(in crate::config) fn absent(&self, at: usize, fault: Fault) {
        self.add(at, Kind::Absence, fault);
    }

    /// Nothing after this place is worth telling.
    pub(in crate::config) fn lost_after(&self, at: usize) {
        self.lost.set(at);
    }

    /// Counted from 1.
    pub(in crate::config) fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// `number` counts from 1; without its line end.
    pub(in crate::config) fn line(&self, number: usize) -> &'a str {
        let start = self.lines.get(number.wrapping_sub(1)).copied();
        let end = self.lines.get(number).map(|next| next - 1);
        let line = start.and_then(|start| self.text.get(start..end.unwrap_or(self.text.len())));
        let line = line.unwrap_or_default();
        line.strip_suffix('\r').unwrap_or(line)
    }

    fn add(&self, at: usize, kind: Kind, fault: Fault) {
        let at = self.boundary(at);
        let line = self.line_of(at);
        let start = self.lines[line - 1];
        let column = self.text[start..at].chars().count() + 1;
        let secrets = self.secrets.get_or_init(|| Secrets::of(self.text));
        let source = secrets.without(start, self.line(line));
        let problem = Problem {
            file: self.file.to_owned(),
            line,
            // Within what is shown: how long a secret is, is one, too.
            column: column.min(source.chars().count() + 1),
            message: fault.message,
            source,
            remedy: fault.remedy,
        };
        self.found.borrow_mut().push(Found { at, kind, problem });
    }

    /// The place itself, or the beginning of the character it falls into.
    fn boundary(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        (0..=at)
            .rev()
            .find(|at| self.text.is_char_boundary(*at))
            .unwrap_or(0)
    }

    /// Every problem worth showing, in the order of the file.
    ///
    /// Broken syntax brings false problems with it: more broken syntax on the same line, odd values,
    /// and things missed that stand in the broken part. Those are left out; they come back on the
    /// next run if they are real.
    pub(in crate::config) fn finish(self) -> Vec<Problem> {
        let mut found = self.found.into_inner();
        found.retain(|one| one.at <= self.lost.get());
        found.sort_by_key(|one| (one.at, one.kind != Kind::Syntax));
        let broken: BTreeSet<usize> = found
            .iter()
            .filter(|one| one.kind == Kind::Syntax)
            .map(|one| one.problem.line)
            .collect();
        let mut told = BTreeSet::new();
        found.retain(|one| match one.kind {
            Kind::Syntax => told.insert(one.problem.line),
            Kind::Value => !broken.contains(&one.problem.line),
            Kind::Absence => broken.is_empty(),
        });
        found.into_iter().map(|one| one.problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(message: &str) -> Fault {
        Fault::new(message, "do that")
    }

    fn places(report: Report<'_>) -> Vec<(usize, usize, String)> {
        let place = |p: Problem| (p.line, p.column, p.source);
        report.finish().into_iter().map(place).collect()
    }

    #[test]
    fn places_are_lines_and_characters_counted_from_one() {
        let report = Report::new("f", "ab\r\näöx\n\n");
        for at in [0, 8, 4, 5, 10, 999] {
            report.wrong(at, fault("x"));
        }
        let line = |line, column, source: &str| (line, column, source.to_owned());
        let expected = vec![
            line(1, 1, "ab"),
            line(2, 1, "äöx"),
            line(2, 1, "äöx"),
            line(2, 3, "äöx"),
            line(3, 1, ""),
            line(4, 1, ""),
        ];
        assert_eq!(places(report), expected);
    }

    #[test]
    fn broken_syntax_silences_what_follows_from_it() {
        let report = Report::new("f", "a\nb\nc");
        report.absent(0, fault("missing"));
        report.wrong(2, fault("odd"));
        report.syntax(2, fault("first"));
        report.syntax(3, fault("second"));
        report.wrong(4, fault("real"));
        let said: Vec<_> = report.finish().into_iter().map(|p| p.message).collect();
        assert_eq!(said, ["first", "real"]);
    }
}
