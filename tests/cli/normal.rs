//! Puts other words for what differs from run to run: times, durations, hashes, column widths.

/// One line, the same in every run.
pub(crate) fn normal(line: &str) -> String {
    // A line quoted from a file, or what points into it: its columns are what matters.
    if line
        .trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        .starts_with('|')
    {
        return line.to_owned();
    }
    let line = shaped(line, "####-##-##T##:##:##.###Z", "TIME");
    let line = shaped(&line, "####-##-##T##:##:##Z", "TIME");
    let line = shaped(&line, "####-##-## ##:##:## UTC", "TIME");
    let line = shaped(&line, "##:##:##", "TIME");
    let line = who(&line);
    let line = hashes(&line);
    let line = durations(&line);
    narrow(&line)
}

/// Replaces whatever has this shape, `#` for a digit.
fn shaped(line: &str, shape: &str, word: &str) -> String {
    let fits = |text: &str| {
        text.len() >= shape.len()
            && text
                .bytes()
                .zip(shape.bytes())
                .all(|(is, wanted)| match wanted {
                    b'#' => is.is_ascii_digit(),
                    other => is == other,
                })
    };
    let mut out = String::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        if fits(rest) {
            out += word;
            rest = &rest[shape.len()..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// `by root (uid 0, pid 4711)`
fn who(line: &str) -> String {
    let found = line.split_once("by ").and_then(|(before, rest)| {
        let (user, rest) = rest.split_once(" (uid ")?;
        let (_, after) = rest.split_once(')')?;
        (!user.contains(' ')).then(|| format!("{before}by USER (uid UID, pid PID){after}"))
    });
    found.unwrap_or_else(|| line.to_owned())
}

/// Words of 64 hexadecimal digits.
fn hashes(line: &str) -> String {
    by_words(line, |word| {
        (word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit())).then(|| "HASH".into())
    })
}

/// Numbers with a unit (`1.5s`, `20ms`: a slow machine takes seconds where another takes
/// milliseconds), and the values of JSON keys that end in one.
fn durations(line: &str) -> String {
    let mut after_key = false;
    by_words(line, |word| {
        let number = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let unit = &word[number.len()..];
        let counts = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let replaced = match unit {
            "" if counts && after_key => Some("N".to_owned()),
            "us" | "µs" | "ms" | "s" if counts => Some("Ns".to_owned()),
            _ => None,
        };
        after_key = word.ends_with("_s") || word.ends_with("_ms");
        replaced
    })
}

/// Passes each word, of letters, digits, `_` and `.`, through `replace`.
fn by_words(line: &str, mut replace: impl FnMut(&str) -> Option<String>) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if end > 0 {
            let (word, after) = rest.split_at(end);
            out += &replace(word).unwrap_or_else(|| word.to_owned());
            rest = after;
        } else {
            let next = rest.find(is_word).unwrap_or(rest.len());
            out += &rest[..next];
            rest = &rest[next..];
        }
    }
    out
}

/// Columns of a table are as wide as what is in them: between two words, any row of spaces is two.
fn narrow(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let (indent, text) = line.split_at(indent);
    let mut out = indent.to_owned();
    let mut spaces = 0;
    for c in text.chars() {
        if c == ' ' {
            spaces += 1;
            continue;
        }
        out.extend(std::iter::repeat_n(' ', spaces.min(2)));
        spaces = 0;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_said_alike() {
        for (line, wanted) in [
            ("up    3s   0.6ms        0", "up  Ns  Ns  0"),
            ("loaded 2026-11-23 21:38:36 UTC", "loaded TIME"),
            (
                r#"{"at":"2026-11-23T21:38:39.967Z","latency_ms":0.494,"uptime_s":3,"n":3}"#,
                r#"{"at":"TIME","latency_ms":N,"uptime_s":N,"n":3}"#,
            ),
            (
                "  healthy after 0.7s, 3 servers",
                "  healthy after Ns, 3 servers",
            ),
            ("12 | rise  =  50ms", "12 | rise  =  50ms"),
            (&format!("sha {}", "0f".repeat(32)), "sha HASH"),
        ] {
            assert_eq!(normal(line), wanted);
        }
    }
}
