//! A run of commands and what each said, compared with the file that holds what they should say.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use lb_tests::{Lbd, Origin, Process, lbctl, programs};

use crate::normal::normal;

/// Commands and their output so far, with everything that differs between two runs put in other
/// words.
pub(crate) struct Transcript {
    text: String,
    /// `lbctl` without arguments.
    lbctl: Arc<dyn Fn() -> Command>,
    config_file: String,
    /// What to say for texts of this run: the longest first, so that no part of one is replaced.
    names: Vec<(String, String)>,
    /// How lines begin that are not the same on every machine.
    strays: Vec<String>,
}

impl Transcript {
    pub(crate) fn of(lbd: &Lbd, origins: &[Origin]) -> Self {
        let socket = lbd.socket();
        let none: [&str; 0] = [];
        let mut transcript = Self::without_daemon(Arc::new(move || {
            let mut command = lbctl::command(&socket, none);
            command.env("TZ", "UTC");
            command
        }));
        transcript.config_file = lbd.config_file().display().to_string();
        transcript.name(&lbd.folder().display().to_string(), "/FOLDER");
        transcript.name(&lbd.addr().to_string(), "WEB");
        let mut id = Command::new("id");
        id.arg("-un");
        let user = Process::run(id).stdout;
        transcript.name(&format!("by {}", user.trim()), "by USER");
        transcript.name(&format!("pid {}", lbd.pid()), "pid PID");
        transcript.name(&format!("pid {}", std::process::id()), "pid OURS");
        transcript.name(&format!("\"pid\":{}", lbd.pid()), "\"pid\":PID");
        for origin in origins {
            let name = origin.name().to_uppercase();
            transcript.name(&origin.addr().to_string(), &name);
        }
        transcript
    }

    pub(crate) fn without_daemon(lbctl: Arc<dyn Fn() -> Command>) -> Self {
        Self {
            text: String::new(),
            lbctl,
            config_file: String::new(),
            names: Vec::new(),
            strays: Vec::new(),
        }
    }

    /// From now on says `as` for a text of this run.
    pub(crate) fn name(&mut self, of_this_run: &str, named: &str) {
        self.names.push((of_this_run.to_owned(), named.to_owned()));
        self.names
            .sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    }

    /// From now on leaves out lines that begin like this.
    pub(crate) fn leave_out(&mut self, stray: &str) {
        self.strays.push(stray.to_owned());
    }

    /// Runs `lbctl` with these arguments; `FILE` is the daemon's configuration.
    pub(crate) fn lbctl(&mut self, arguments: &str) {
        let mut command = (self.lbctl)();
        for argument in arguments.split_whitespace() {
            command.arg(match argument {
                "FILE" => self.config_file.clone(),
                other => self.of_this_run(other),
            });
        }
        let output = Process::run(command);
        let code = output
            .code
            .map_or("by signal".into(), |code| code.to_string());
        let _ = write!(
            self.text,
            "$ lbctl {arguments}\n{}{}[exit {code}]\n\n",
            self.marked("", &output.stdout),
            self.marked("[stderr] ", &output.stderr),
        );
    }

    /// An argument below one of the named folders, as it is in this run.
    fn of_this_run(&self, argument: &str) -> String {
        let folder = self.names.iter().find_map(|(of_this_run, named)| {
            let rest = argument.strip_prefix(named.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{of_this_run}{rest}"))
        });
        folder.unwrap_or_else(|| argument.to_owned())
    }

    fn marked(&self, mark: &str, said: &str) -> String {
        let mut said = said.to_owned();
        for (text, named) in &self.names {
            said = said.replace(text, named);
        }
        said.lines()
            .filter(|line| !self.strays.iter().any(|stray| line.starts_with(stray)))
            .map(|line| format!("{mark}{}", normal(line)).trim_end().to_owned() + "\n")
            .collect()
    }

    /// Compares with `snapshots/NAME.txt`, or writes it where `UPDATE` is set.
    #[track_caller]
    pub(crate) fn matches(self, name: &str) {
        let file: PathBuf = programs::workspace()
            .join("tests/cli/snapshots")
            .join(name)
            .with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &self.text).expect("the repository can be written to");
            return;
        }
        let wanted = std::fs::read_to_string(&file).unwrap_or_default();
        if let Some(difference) = difference(&wanted, &self.text) {
            panic!(
                "{} differs; UPDATE=1 writes what is said now\n{difference}",
                file.display()
            );
        }
    }
}

/// The first line that differs, with those before it of the same command.
fn difference(wanted: &str, said: &str) -> Option<String> {
    if wanted == said {
        return None;
    }
    let same = wanted
        .lines()
        .zip(said.lines())
        .take_while(|(wanted, said)| wanted == said)
        .count();
    let command = said
        .lines()
        .take(same + 1)
        .filter(|line| line.starts_with("$ "))
        .last()
        .unwrap_or_default();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
    Some(format!(
        "in line {}, of {command}\nwanted: {}\n  said: {}\n\nall that was said:\n{said}",
        same + 1,
        line(wanted),
        line(said)
    ))
}
