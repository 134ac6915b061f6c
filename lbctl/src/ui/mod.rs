//! The printer: the only place that writes to stdout or stderr.
//!
//! Stdout is data, stderr is talk. Every width, colour and terminal question is answered here, so
//! that what is printed elsewhere is made by pure functions.
#![allow(
    clippy::print_stderr,
    reason = "this is the one module that talks to people"
)]

pub(crate) mod changes;
pub(crate) mod daemon;
pub(crate) mod events;
pub(crate) mod expiry;
pub(crate) mod grid;
pub(crate) mod progress;
pub(crate) mod report;
#[cfg(test)]
pub(crate) mod sample;
mod secret;
pub(crate) mod words;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use lb_proto::config;
use lb_proto::document::{Failure, Unfinished};
use lb_proto::error::{ErrorReply, Problem};
use lb_proto::exit::Exit;
use lb_proto::name::BackendName;
use serde::Serialize;

use crate::args::{Globals, When};
use crate::error::Error;
use crate::interrupt::Interrupt;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// How a report may look: decided once, here, and handed to pure code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canvas {
    /// Columns to keep to; `None` where nobody looks at it through a window.
    pub(crate) width: Option<usize>,
    pub(crate) color: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
    color_out: bool,
    color_err: bool,
    dumb: bool,
}

impl Ui {
    pub(crate) fn new(globals: &Globals) -> Self {
        Self {
            json: globals.json,
            quiet: globals.quiet,
            color_out: colored(globals.color, io::stdout().is_terminal()),
            color_err: colored(globals.color, io::stderr().is_terminal()),
            dumb: dumb(),
        }
    }

    /// For a command line that did not parse, but said `--json`.
    pub(crate) fn json_only() -> Self {
        Self {
            json: true,
            quiet: true,
            color_out: false,
            color_err: false,
            dumb: dumb(),
        }
    }

    /// Prints help to stdout, or what is wrong with a command line to stderr, coloured as everything else
    /// is.
    pub(crate) fn usage(help: bool, color: When, plain: &str, ansi: &str) {
        let terminal = match help {
            true => io::stdout().is_terminal(),
            false => io::stderr().is_terminal(),
        };
        let text = match colored(color, terminal) {
            true => ansi,
            false => plain,
        };
        // Nothing can be told to anybody when the terminal is gone.
        let _ = match help {
            true => io::stdout().lock().write_all(text.as_bytes()),
            false => io::stderr().lock().write_all(text.as_bytes()),
        };
    }

    pub(crate) fn wants_json(&self) -> bool {
        self.json
    }

    /// Prints data, which brings its own line ends.
    ///
    /// # Errors
    /// [`Error::Output`], which may only mean that the reader left.
    pub(crate) fn data(&self, text: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(Error::Output)
    }

    /// Prints one JSON document on one line.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn json(&self, document: &impl Serialize) -> Result<(), Error> {
        let mut line =
            serde_json::to_string(document).map_err(|e| Error::Output(io::Error::from(e)))?;
        line.push('\n');
        self.data(&line)
    }

    /// Prints what `document` makes, if the command line says `--json`.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn json_if_asked<T: Serialize>(
        &self,
        document: impl FnOnce() -> T,
    ) -> Result<(), Error> {
        if self.json {
            return self.json(&document());
        }
        Ok(())
    }

    /// Tells what was done.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.talk(&format!("{text}\n"));
        }
    }

    /// Prints on stderr what is to be seen even where it is quiet.
    pub(crate) fn pass_on(&self, text: &str) {
        self.talk(text);
    }

    /// What works in a configuration file, but should not stay so.
    pub(crate) fn warn_of_file(&self, warnings: &[Problem]) {
        if !self.quiet && !warnings.is_empty() {
            self.talk(&config::render_warnings(warnings, self.color_err));
        }
    }

    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.insist(text);
        }
    }

    /// Warns, also where it is quiet, of what would be lost.
    pub(crate) fn insist(&self, text: &str) {
        self.talk(&format!("{} {text}\n", self.label("warning:", WARNING)));
    }

    /// Warns, before it happens, that a backend is about to lose its last server.
    pub(crate) fn warn_left_alone(&self, backends: &[BackendName]) {
        for backend in backends {
            self.warn(&format!(
                "no other server of {backend} is up: new requests get 503"
            ));
        }
    }

    /// Tells how the command failed, in the form asked for, and gives the exit code that says so.
    pub(crate) fn fail(&self, error: &Error) -> Exit {
        if error.reader_left() {
            return error.exit();
        }
        let (reply, servers) = match error {
            Error::Reply(reply) => (reply, None),
            Error::Wait { error, servers } => (error, Some(&**servers)),
            Error::Told => return error.exit(),
            Error::Output(_) => {
                self.talk(&format!("{} {error}\n", self.label("error:", ERROR)));
                return error.exit();
            }
        };
        // A stdout that takes no error document changes nothing about the exit code. A reader who left
        // wanted to know no more; one whose disk is full still has to hear how to go on.
        let told = match self.json {
            true => self.json(&failure(reply, servers)),
            false => {
                self.talk(&self.failure(reply));
                Ok(())
            }
        };
        if told.is_err_and(|unheard| !unheard.reader_left()) {
            self.talk(&self.failure(reply));
        }
        error.exit()
    }

    /// A hint that is a question belongs to its sentence; any other stands on a line of its own.
    fn failure(&self, reply: &ErrorReply) -> String {
        let mut text = String::new();
        if !reply.problems.is_empty() {
            text = config::render(&reply.problems, self.color_err);
            text = format!("{}\n\n", text.trim_end());
        }
        let _ = write!(text, "{} {}", self.label("error:", ERROR), reply.message);
        match &reply.hint {
            Some(question) if question.ends_with('?') => {
                let _ = writeln!(text, "; {question}");
            }
            Some(hint) => {
                let _ = writeln!(text, "\n {} {hint}", self.label("hint:", HINT));
            }
            None => text.push('\n'),
        }
        text
    }

    /// Whether bars may be drawn: on a terminal that can, for somebody who wants to see them.
    /// Asks on the terminal for a line that is not shown, its line end included; `None`: Ctrl-C came instead.
    ///
    /// # Errors
    /// Where the terminal cannot be told to be silent, or is gone.
    pub(crate) fn secret(
        &self,
        prompt: &str,
        interrupt: &Interrupt,
    ) -> io::Result<Option<Vec<u8>>> {
        secret::typed(prompt, interrupt)
    }

    pub(crate) fn draws_bars(&self) -> bool {
        !self.quiet && !self.dumb && io::stderr().is_terminal()
    }

    /// Whether a report may be redrawn in place.
    pub(crate) fn redraws(&self) -> bool {
        !self.json && !self.dumb && io::stdout().is_terminal()
    }

    pub(crate) fn canvas(&self) -> Canvas {
        Canvas {
            width: window().map(|(columns, _)| columns),
            color: self.color_out,
        }
    }

    /// Scrolls what is on the screen out of the way of [`Self::redraw`], so that it can be read
    /// again afterwards.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn make_room(&self) -> Result<(), Error> {
        let rows = window().map_or(0, |(_, rows)| rows);
        self.data(&"\n".repeat(rows))
    }

    /// Paints a report over the last one, cut to the window, without the flicker of clearing it.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn redraw(&self, report: &str) -> Result<(), Error> {
        const HOME: &str = "\x1b[H";
        const CLEAR_TO_LINE_END: &str = "\x1b[K";
        const CLEAR_BELOW: &str = "\x1b[J";

        let rows = window().map_or(2, |(_, rows)| rows.max(2));
        let lines: Vec<&str> = report.lines().collect();
        let shown = if lines.len() < rows {
            lines.len()
        } else {
            rows - 2
        };
        let mut picture = HOME.to_owned();
        for line in &lines[..shown] {
            let _ = writeln!(picture, "{line}{CLEAR_TO_LINE_END}");
        }
        if shown < lines.len() {
            let hidden = lines.len() - shown;
            let _ = writeln!(
                picture,
                "… {hidden} more lines: enlarge the window, or name a backend{CLEAR_TO_LINE_END}"
            );
        }
        picture.push_str(CLEAR_BELOW);
        self.data(&picture)
    }

    fn label(&self, word: &str, style: Style) -> String {
        match self.color_err {
            true => format!("{style}{word}{style:#}"),
            false => word.to_owned(),
        }
    }

    /// Nobody can be told when stderr is gone, so a failed write is let be.
    fn talk(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

fn failure(error: &ErrorReply, servers: Option<&Unfinished>) -> Failure {
    Failure {
        error: error.clone(),
        servers: servers.cloned(),
    }
}

/// NO_COLOR and dumb terminals count only where the operator left the choice to us.
fn colored(when: When, terminal: bool) -> bool {
    let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => terminal && !unwanted() && !dumb(),
    }
}

/// A terminal without a cursor to move, as in an editor's shell.
fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Columns and rows of the terminal on stdout; COLUMNS where `watch(1)` and the like set it.
fn window() -> Option<(usize, usize)> {
    if let Ok(size) = rustix::termios::tcgetwinsize(io::stdout())
        && size.ws_col > 0
    {
        return Some((size.ws_col.into(), size.ws_row.into()));
    }
    let columns = std::env::var("COLUMNS").ok()?.parse().ok()?;
    Some((columns, 0))
}
