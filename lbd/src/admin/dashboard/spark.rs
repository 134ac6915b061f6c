//! Five minutes of a level, as the outline of an SVG path. Pure.

use std::fmt::Write as _;

use crate::admin::history::LEVELS;

/// The size of the drawing, of which the newest level is at the right end.
pub(super) const WIDTH: usize = (LEVELS - 1) * STEP;
pub(super) const HEIGHT: u32 = 24;

const STEP: usize = 2;

/// What stands for the most, so that one session does not look like a full house.
const LEAST_TOP: u32 = 4;

/// The filled area below the levels, oldest first. Empty: there is none.
pub(super) fn path(levels: &[u32]) -> String {
    let Some(first) = levels.first() else {
        return String::new();
    };
    let top = levels.iter().copied().max().unwrap_or(0).max(LEAST_TOP);
    // The outline keeps a pixel above the ground, so that zero is seen to be known.
    let y = |level: u32| {
        let height = u64::from(level) * u64::from(HEIGHT - 2) / u64::from(top);
        u64::from(HEIGHT) - 1 - height
    };
    let start = WIDTH - (levels.len() - 1).min(LEVELS - 1) * STEP;
    let mut path = format!("M{start} {HEIGHT}V{}", y(*first));
    for (at, level) in levels.iter().enumerate().skip(1) {
        let (before, after) = (levels[at - 1], levels.get(at + 1));
        // What goes straight on needs no point.
        if before == *level && after == Some(level) {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = write!(path, "L{} {}", start + at * STEP, y(*level));
    }
    let _ = write!(path, "V{HEIGHT}Z");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_at_the_right_end_and_the_most_at_the_top() {
        assert_eq!(path(&[]), "");
        assert_eq!(path(&[0]), "M118 24V23V24Z");
        assert_eq!(path(&[0, 8, 4]), "M114 24V23L116 1L118 12V24Z");
        assert_eq!(path(&[2; LEVELS]), "M0 24V12L118 12V24Z");
    }
}
