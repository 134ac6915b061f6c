//! A daemon with an access log, and what its lines say of how requests ended.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use lb_tests::access_log::{Line, lines, wait_for_lines};
use lb_tests::{Lbd, Setup, Wire};
use serde_json::Value;

/// What a line says of how a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: i64,
    pub(crate) flags: String,
    /// Which of TR, Tw, Tc, Tr and Ta came to an end: `0`, and `-` for -1.
    pub(crate) timers: String,
    pub(crate) server: String,
    pub(crate) retries: String,
}

/// A daemon with an access log in either format.
pub(crate) struct Logging {
    pub(crate) lbd: Lbd,
    path: PathBuf,
    json: bool,
    read: usize,
}

impl Logging {
    pub(crate) fn start(format: &str, config: &str) -> Self {
        Self::start_with("", format, config)
    }

    /// `global`: more lines of that section.
    pub(crate) fn start_with(global: &str, format: &str, config: &str) -> Self {
        let setup = Setup::new(config);
        let path = setup.folder().join("access.log");
        let global = format!("{global}access_log = {{ path = {path:?}, format = \"{format}\" }}");
        Self {
            lbd: setup.global(&global).start(),
            path,
            json: format == "json",
            read: 0,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.lbd.addr()
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire::connect(self.addr())
    }

    /// The next line; there is one, and not two.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Ended {
        let lines = wait_for_lines(&self.path, self.read + 1);
        let line = &lines[self.read];
        self.read += 1;
        self.parse(line)
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        lines(&self.path)
    }

    /// Panics unless the next line says this, in the manner of
    /// `503 SC-- 0---0 app/<NOSRV> 0`.
    #[track_caller]
    pub(crate) fn says(&mut self, wanted: &str) {
        assert_eq!(self.next().to_string(), wanted);
    }

    /// Panics unless so many lines follow, and each says this.
    #[track_caller]
    pub(crate) fn says_times(&mut self, times: usize, wanted: &str) {
        let lines = wait_for_lines(&self.path, self.read + times);
        for line in &lines[self.read..] {
            assert_eq!(self.parse(line).to_string(), wanted);
        }
        self.read += times;
    }

    fn parse(&self, line: &str) -> Ended {
        match self.json {
            true => from_json(line),
            false => from_text(line),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            flags,
            timers,
            server,
            retries,
        } = self;
        write!(f, "{status} {flags} {timers} {server} {retries}")
    }
}

fn from_text(line: &str) -> Ended {
    let line = Line::parse(line);
    let retries = line.counts.rsplit('/').next().expect("a count");
    Ended {
        status: line.status,
        timers: line.shape(),
        retries: retries.to_owned(),
        flags: line.flags,
        server: line.server,
    }
}

fn from_json(line: &str) -> Ended {
    let line: Value = serde_json::from_str(line).expect("a line is JSON");
    let text = |name: &str| line[name].as_str().expect("it is a text").to_owned();
    let number = |name: &str| line[name].as_i64().expect("it is a number");
    let timers = ["request", "queue", "connect", "response", "active"];
    let sign = |timer: &&str| match number(&format!("time_{timer}")) {
        -1 => '-',
        _ => '0',
    };
    let redispatched = line["redispatched"].as_bool().expect("it is a flag");
    let plus = if redispatched { "+" } else { "" };
    Ended {
        status: number("status_code"),
        flags: text("termination_state"),
        timers: timers.iter().map(sign).collect(),
        server: format!("{}/{}", text("backend_name"), text("server_name")),
        retries: format!("{plus}{}", number("retries")),
    }
}

/// Runs a check with a log in each format.
pub(crate) fn both(config: &str, check: impl Fn(&mut Logging)) {
    for format in ["text", "json"] {
        check(&mut Logging::start(format, config));
    }
}
