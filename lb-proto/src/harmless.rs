//! Text of others on a terminal.

/// The text with every character that could move the cursor, recolour the terminal or reorder the
/// line replaced by a visible one. One for one, so that columns stay what they are.
pub fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => '\t',
            '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            '\u{7f}' => '\u{2421}',
            c if c.is_control() || reorders(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Characters that show nothing but change how their neighbours are shown (CVE-2021-42574).
fn reorders(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_seen_and_steers_nothing() {
        assert_eq!(
            harmless("a\n\u{1b}[2J\u{9b}b"),
            "a\u{240a}\u{241b}[2J\u{fffd}b"
        );
        assert_eq!(harmless("\u{202e}\u{feff}größe"), "\u{fffd}\u{fffd}größe");
    }
}
