//! How far a wait is: bars on a terminal, plain lines where there is none.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lb_proto::name::ServerId;

use super::Ui;
use crate::duration;

/// A log wants to know that something moves, not every step of it.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// One look at something waited for.
#[derive(Debug)]
pub(crate) struct Step {
    /// `3 of 12 sessions left`
    pub(crate) text: String,
    /// How much of how much is done, where that can be told.
    pub(crate) done: Option<(u64, u64)>,
    pub(crate) waited: Duration,
    /// When the wait is given up.
    pub(crate) until: Duration,
}

/// A line for each server waited for.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    ui: &'a Ui,
    bars: MultiProgress,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: String,
    /// Where bars are drawn.
    bar: Option<ProgressBar>,
    pace: Pace,
}

impl<'a> Progress<'a> {
    pub(crate) fn new<'b>(ui: &'a Ui, servers: impl Iterator<Item = &'b ServerId>) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let names: Vec<String> = servers.map(ServerId::to_string).collect();
        let widest = names.iter().map(String::len).max().unwrap_or(0);
        let lines = names
            .into_iter()
            .map(|name| Line {
                bar: ui
                    .draws_bars()
                    .then(|| bars.add(bar(format!("{name:widest$}")))),
                name,
                pace: Pace::default(),
            })
            .collect();
        Self { ui, bars, lines }
    }

    /// Shows a step of the server at place `at`.
    pub(crate) fn show(&mut self, at: usize, step: &Step) {
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        let waited = Duration::from_secs(step.waited.as_secs());
        let message = format!(
            "{}, {}, until {}",
            step.text,
            duration::words(waited),
            duration::words(step.until)
        );
        match &line.bar {
            Some(bar) => {
                let (done, of) = step.done.unwrap_or((0, 0));
                bar.set_style(style(match step.done {
                    Some(_) => Look::Bar,
                    None => Look::Spinner,
                }));
                bar.set_length(of);
                bar.set_position(done);
                bar.set_message(message);
                bar.tick();
            }
            None if line.pace.allows(&step.text, step.waited) => {
                self.ui.say(&format!("{}: {message}", line.name));
            }
            None => {}
        }
    }

    /// Shows where the server at place `at` is, where bars are drawn.
    pub(crate) fn note(&self, at: usize, text: &str) {
        if let Some(bar) = self.lines.get(at).and_then(|line| line.bar.as_ref()) {
            bar.set_style(style(Look::Text));
            bar.set_message(text.to_owned());
            bar.tick();
        }
    }

    /// Takes the bars away and leaves what they said last.
    pub(crate) fn leave(self) {
        let bars = self.lines.iter().filter_map(|line| line.bar.as_ref());
        let said: Vec<String> = bars
            .map(|bar| format!("{}  {}", bar.prefix(), bar.message()))
            .collect();
        let ui = self.ui;
        drop(self);
        for line in said {
            ui.say(&line);
        }
    }

    /// Lets something be printed above the bars.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bars.suspend(print)
    }

    /// The wait for the server at place `at` is over, and `line`, if any, tells how it ended.
    pub(crate) fn end(&mut self, at: usize, line: Option<&str>) {
        if let Some(bar) = self.lines.get(at).and_then(|line| line.bar.as_ref()) {
            bar.finish_and_clear();
        }
        if let Some(line) = line {
            self.aside(|| self.ui.say(line));
        }
    }
}

/// Bars that are left behind (a lost daemon, Ctrl-C) would stand above the error and lie.
impl Drop for Progress<'_> {
    fn drop(&mut self) {
        // A terminal that takes no more output has nothing to clear either.
        let _ = self.bars.clear();
    }
}

fn bar(name: String) -> ProgressBar {
    ProgressBar::hidden().with_prefix(name)
}

#[derive(Debug, Clone, Copy)]
enum Look {
    Bar,
    Spinner,
    Text,
}

fn style(look: Look) -> ProgressStyle {
    let template = match look {
        Look::Bar => "{prefix}  [{bar:20}] {msg}",
        Look::Spinner => "{prefix}  {spinner} {msg}",
        Look::Text => "{prefix}  {msg}",
    };
    // The templates are constants; one that did not parse would only look plain.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("#-")
        .tick_chars(r"-\|/ ")
}

/// Lets a text through the first time, and then when it is another and the last is old enough.
#[derive(Debug, Default)]
struct Pace {
    last: Option<(String, Duration)>,
}

impl Pace {
    fn allows(&mut self, text: &str, now: Duration) -> bool {
        if let Some((last, at)) = &self.last
            && (last == text || now < *at + BETWEEN_LINES)
        {
            return false;
        }
        self.last = Some((text.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_hears_of_changes_and_at_most_once_a_second() {
        let mut pace = Pace::default();
        let mut heard = |text, millis| pace.allows(text, Duration::from_millis(millis));
        assert!(heard("3 left", 0));
        assert!(!heard("3 left", 1_500));
        assert!(heard("2 left", 1_600));
        assert!(!heard("1 left", 2_000));
        assert!(heard("1 left", 2_600));
    }
}
