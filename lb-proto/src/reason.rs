//! Why somebody does something, in their own words: one line that is safe to show anywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest reason, in characters: a sentence. It stands in log lines and in columns.
pub const MAX_REASON: usize = 200;

/// Why a text is no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    #[error("a reason cannot be empty; leave it out instead")]
    Empty,
    #[error("a reason has at most {MAX_REASON} characters, this one has {0}")]
    TooLong(usize),
    #[error("a reason is one line of plain text, without {0:?}")]
    BadChar(char),
}

/// Not empty, one line, without anything that a terminal obeys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = ReasonError;
    fn from_str(text: &str) -> Result<Self, ReasonError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ReasonError::Empty);
        }
        if let Some(bad) = text.chars().find(|c| steers(*c)) {
            return Err(ReasonError::BadChar(bad));
        }
        match text.chars().count() {
            ..=MAX_REASON => Ok(Self(text.to_owned())),
            count => Err(ReasonError::TooLong(count)),
        }
    }
}

/// Whether a character moves the cursor, ends the line, or turns the direction of what follows.
pub(crate) fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl TryFrom<String> for Reason {
    type Error = ReasonError;
    fn try_from(text: String) -> Result<Self, ReasonError> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_line_that_no_terminal_obeys() {
        let read = |text: &str| text.parse::<Reason>().map(String::from);
        assert_eq!(read(" kernel update \n"), Ok("kernel update".to_owned()));
        assert_eq!(read("größer, 改善"), Ok("größer, 改善".to_owned()));
        assert_eq!(read(" "), Err(ReasonError::Empty));
        for bad in ['\n', '\u{1b}', '\u{9b}', '\u{202e}', '\u{2028}'] {
            assert_eq!(read(&format!("a{bad}b")), Err(ReasonError::BadChar(bad)));
        }
        assert_eq!(read(&"ä".repeat(201)), Err(ReasonError::TooLong(201)));
        assert!(read(&"ä".repeat(200)).is_ok());
    }
}
