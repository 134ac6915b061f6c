//! A damaged file is refused with problems, never with a panic: the daemon reads it while it serves.

use lb_proto::config;

const WHOLE: &str = include_str!("cases/valid_contract.toml");

/// Bytes that mean something to TOML, to terminals or to UTF-8.
const ODD: &[char] = &[
    '\0', '\t', '\n', '\r', '\u{1b}', ' ', '"', '#', '\'', ',', '.', '0', '=', '[', '\\', ']', '{',
    '}', '\u{7f}', '\u{9b}', 'é', '\u{202e}', '\u{feff}', '😀',
];

fn survives(text: &str) {
    if let Err(problems) = config::read("damaged.toml", text) {
        assert!(!problems.is_empty());
        let shown = config::render(&problems, false);
        assert!(
            shown.chars().all(|c| c == '\n' || !c.is_control()),
            "{shown:?}"
        );
    }
}

#[test]
fn cut_off_anywhere() {
    for end in 0..WHOLE.len() {
        survives(&WHOLE[..end]);
    }
}

#[test]
fn begun_anywhere() {
    for start in 0..WHOLE.len() {
        survives(&WHOLE[start..]);
    }
}

#[test]
fn any_byte_replaced_by_an_odd_one() {
    for at in 0..WHOLE.len() {
        // One odd letter a place, another at the next: all of them meet every kind of place.
        for step in 0..3 {
            let odd = ODD[(at * 3 + step) % ODD.len()];
            survives(&format!("{}{odd}{}", &WHOLE[..at], &WHOLE[at + 1..]));
        }
    }
}

#[test]
fn any_line_missing_or_twice() {
    let lines: Vec<_> = WHOLE.lines().collect();
    for at in 0..lines.len() {
        let mut missing = lines.clone();
        missing.remove(at);
        survives(&missing.join("\n"));
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        survives(&twice.join("\r\n"));
    }
}
