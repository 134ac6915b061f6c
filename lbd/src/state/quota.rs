//! How many log lines a flapping server gets. Pure: `now` is an argument.

use std::time::{Duration, Instant};

/// The quota is for this long: long enough that a server that flaps at every check does not fill
/// the log, short enough that the log still tells that it goes on.
const WINDOW: Duration = Duration::from_secs(60);

/// Changes of health logged in a [`WINDOW`].
const LINES: u32 = 5;

#[derive(Debug, Default)]
pub(super) struct LogQuota {
    window: Option<Instant>,
    changes: u32,
}

/// What a change gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogLine {
    /// A line, always: people do not flap, and what they wanted is no warning.
    Operator,
    /// A line; so many changes before it had none.
    Whole {
        unlogged: u32,
    },
    /// A line, and the last one of this window.
    Last,
    None,
}

impl LogQuota {
    pub(super) fn take(&mut self, now: Instant) -> LogLine {
        let over = |began: Instant| now.duration_since(began) >= WINDOW;
        if self.window.is_none_or(over) {
            let unlogged = self.changes.saturating_sub(LINES);
            *self = Self {
                window: Some(now),
                changes: 1,
            };
            return LogLine::Whole { unlogged };
        }
        self.changes += 1;
        match self.changes {
            ..LINES => LogLine::Whole { unlogged: 0 },
            LINES => LogLine::Last,
            _ => LogLine::None,
        }
    }
}

impl LogLine {
    /// What the line says about those that are left out.
    pub(super) fn flapping(self) -> String {
        match self {
            Self::Operator | Self::Whole { unlogged: 0 } | Self::None => String::new(),
            Self::Whole { unlogged } => format!("{unlogged} changes before it were not logged"),
            Self::Last => format!(
                "{LINES} changes within {} s, no more are logged in this time",
                WINDOW.as_secs()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flapping_server_gets_a_few_lines_a_minute() {
        let start = Instant::now();
        let mut quota = LogQuota::default();
        let lines: Vec<_> = (0..20)
            .map(|second| quota.take(start + Duration::from_secs(second)))
            .collect();
        assert_eq!(lines[3], LogLine::Whole { unlogged: 0 });
        assert_eq!(lines[4], LogLine::Last);
        assert!(lines[5..].iter().all(|line| *line == LogLine::None));
        assert_eq!(quota.take(start + WINDOW), LogLine::Whole { unlogged: 15 });
    }
}
