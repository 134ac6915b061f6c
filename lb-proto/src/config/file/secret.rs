//! What of a file is never shown: values of keys that look like a password's, or its hash's. Who writes a password where
//! its hash belongs finds neither in a log.
//!
//! Knows no TOML: what is wrong there may be that it is none.

use std::ops::Range;

/// What the name of such a key has in it, as one with a letter too few or too many still does.
const TELLTALES: [&str; 3] = ["pas", "word", "hash"];

/// In the place of all that is not shown, so that not even its length is told.
const MASK: &str = "…";

/// Where they are, in the order of the file.
#[derive(Debug)]
pub(super) struct Secrets(Vec<Range<usize>>);

impl Secrets {
    pub(super) fn of(text: &str) -> Self {
        let mut hidden = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let end = line_end(text, at);
            let found = value(&text[at..end]).map(|offset| at + offset);
            let end = found.map_or(end, |start| {
                let end = value_end(text, start, end);
                hidden.push(start..end);
                end
            });
            at = end + 1;
        }
        Self(hidden)
    }

    /// A line of the text, which begins at `start`, as far as it is shown: up to the first secret.
    pub(super) fn without(&self, start: usize, line: &str) -> String {
        let next = self.0.partition_point(|secret| secret.end <= start);
        let secret = self.0.get(next).map_or(usize::MAX, |secret| secret.start);
        match secret.saturating_sub(start) {
            shown if shown >= line.len() => line.to_owned(),
            shown => format!("{}{MASK}", &line[..shown]),
        }
    }
}

fn line_end(text: &str, from: usize) -> usize {
    text[from..].find('\n').map_or(text.len(), |at| from + at)
}

/// Where the value of the first such key in a line begins.
fn value(line: &str) -> Option<usize> {
    let mut words = words(line);
    words.find_map(|word| {
        let name = line[word.clone()].to_ascii_lowercase();
        TELLTALES
            .iter()
            .find(|telltale| name.contains(**telltale))?;
        let before = line[..word.start].trim_end_matches(['"', '\'']).trim_end();
        let after = line[word.end..]
            .trim_start_matches(['"', '\''])
            .trim_start();
        let value = after.strip_prefix(['=', ':']);
        let is_key = value.is_some() || before.is_empty() || before.ends_with(['{', ',']);
        let value = value.unwrap_or(after).trim_start();
        is_key.then(|| line.len() - value.len())
    })
}

fn words(line: &str) -> impl Iterator<Item = Range<usize>> {
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let pieces = line.split(move |c| !in_word(c));
    let start = line.as_ptr() as usize;
    pieces.map(move |piece| {
        let at = piece.as_ptr() as usize - start;
        at..at + piece.len()
    })
}

/// Where the last line of a value ends whose first line ends at `end`: text in three quotes may have several, and what
/// is missing may stand in the next.
fn value_end(text: &str, start: usize, end: usize) -> usize {
    let rest = &text[start..];
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inside) = rest.strip_prefix(quotes) {
            let closed = inside.find(quotes);
            let last = closed.map_or(text.len(), |at| start + 2 * quotes.len() + at);
            return line_end(text, last);
        }
    }
    let given = text[start..end].trim();
    if !given.is_empty() && !given.starts_with('#') {
        return end;
    }
    let blank = text[end..].len() - text[end..].trim_start().len();
    line_end(text, end + blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines, as far as they are shown.
    fn shown(text: &str) -> String {
        let secrets = Secrets::of(text);
        let mut start = 0;
        let lines = text.lines().map(|line| {
            let shown = secrets.without(start, line);
            start += line.len() + 1;
            shown
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn however_it_is_written_it_is_not_shown() {
        for text in [
            "password_hash = \"hunter2\"",
            "password_hash=hunter2 # ours",
            "\"password_hash\" = 'hunter2'",
            "pasword_hash = \"hunter2\"",
            "password-hash: hunter2",
            "password_hash \"hunter2\"",
            "PASSWORD = hunter2",
            "admin.users = [{ name = \"ops\", password_hash = \"hun\"ter2\", role = \"viewer\" }]",
            "users = [{ name = \"ops\", password_hash \"hunter2\" }]",
            "password_hash = \"\"\"\nhunter2\n\"\"\"",
            "password_hash = '''\n\nhunter2",
            "password_hash =\n\n  \"hunter2\"",
            "password_hash = # the new one\n\"hunter2\"",
            "password_hash = [\"hunter2\"]",
        ] {
            let shown = shown(text);
            assert!(!shown.contains("ter2"), "{text}\n{shown}");
            assert!(shown.contains('…'), "{text}\n{shown}");
        }
    }

    #[test]
    fn all_else_is() {
        for text in [
            "",
            "name = \"ops\"\nrole = \"viewer\"\n\n[admin]",
            "path = \"/password\"",
            "balance = \"hash\"",
        ] {
            assert_eq!(shown(text), text.trim_end());
        }
        assert_eq!(
            shown("[[admin.users]]\nname = \"ä\"\npassword_hash = \"x\"\nrole = 1"),
            "[[admin.users]]\nname = \"ä\"\npassword_hash = …\nrole = 1"
        );
        assert_eq!(
            shown("password_hash = \"\"\"\nx\n\"\"\"\nrole = 1"),
            "password_hash = …\n…\n…\nrole = 1"
        );
    }
}
