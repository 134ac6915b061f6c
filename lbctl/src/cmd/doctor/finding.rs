//! What a check found.

use serde::Serialize;

/// How bad it is. In the order in which people want to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// It hurts now, or will as soon as somebody acts.
    Problem,
    /// It works, but should not stay so.
    Warning,
    /// Nothing is known of it: never taken for fine.
    NotLookedAt,
    Fine,
}

/// One thing that was looked at, or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The check that found it, named as its file.
    pub(crate) check: &'static str,
    pub(crate) severity: Severity,
    /// In one sentence, without a full stop.
    pub(crate) what: String,
    /// The file, address, server or process that it is about.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    /// What was seen, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) why: Vec<String>,
    /// What to do about it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
    /// The same to paste.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
}

impl Finding {
    fn new(check: &'static str, severity: Severity, what: impl Into<String>) -> Self {
        Self {
            check,
            severity,
            what: what.into(),
            place: None,
            why: Vec::new(),
            remedy: None,
            command: None,
        }
    }

    pub(super) fn problem(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Problem, what)
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Warning, what)
    }

    pub(super) fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Fine, what)
    }

    /// `why` says what kept us from looking.
    pub(super) fn not_looked_at(
        check: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(check, Severity::NotLookedAt, what).why(why)
    }

    pub(super) fn place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    pub(super) fn why(mut self, line: impl Into<String>) -> Self {
        self.why.push(line.into());
        self
    }

    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(super) fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}
