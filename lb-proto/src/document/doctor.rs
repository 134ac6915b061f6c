//! Of `lbctl doctor`: what its checks found.

use serde::Serialize;

/// The schema number of [`Report`].
pub const SCHEMA: u32 = 1;

/// What is wrong on a machine, and what is not.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    pub schema: u32,
    /// Whether no problem was found. What was not looked at may still be one.
    pub healthy: bool,
    /// Whether a daemon answered.
    pub daemon: bool,
    /// The file that was looked at.
    pub config: String,
    /// The worst first.
    pub findings: Vec<Finding>,
}

/// How bad it is. In the order in which people want to hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Severity {
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// The check that found it, named as its file.
    pub check: &'static str,
    pub severity: Severity,
    /// In one sentence, without a full stop.
    pub what: String,
    /// The file, address, server or process that it is about.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What was seen, a line each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// What to do about it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The same to paste.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
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

    pub fn problem(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Problem, what)
    }

    pub fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Warning, what)
    }

    pub fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Severity::Fine, what)
    }

    /// `why` says what kept us from looking.
    pub fn not_looked_at(
        check: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(check, Severity::NotLookedAt, what).why(why)
    }

    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    #[must_use]
    pub fn why(mut self, line: impl Into<String>) -> Self {
        self.why.push(line.into());
        self
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}
