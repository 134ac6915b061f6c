//! `lbctl` as its users run it: arguments in; output, talk and exit code out.

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually;
use crate::programs;

/// What a program left when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// `None`: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A program that may still run.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

/// The command `lbctl ARGS`, for the daemon at `socket`. No variable of the caller's environment
/// that `lbctl` minds reaches it.
pub fn command<A: AsRef<OsStr>>(socket: &Path, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = bare();
    command.env("LBCTL_SOCKET", socket).args(args);
    command
}

/// The command `lbctl`, told nothing.
pub fn bare() -> Command {
    let mut command = Command::new(programs::lbctl());
    command.env_remove("LBCTL_SOCKET").env_remove("NO_COLOR");
    command
}

/// Runs a program to its end.
#[track_caller]
pub fn run(command: Command) -> Output {
    spawn(command).wait()
}

/// Starts a program, without a terminal and with nothing to read.
#[track_caller]
pub fn spawn(mut command: Command) -> Running {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    Running {
        stdout: child.stdout.take().map(collect),
        stderr: child.stderr.take().map(collect),
        child,
    }
}

/// Reads on a thread, so that neither stream can fill up while the other is read.
fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Running {
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let status = eventually("the program ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(e) => Err(e.to_string()),
        });
        let text = |from: Option<JoinHandle<String>>| {
            from.and_then(|thread| thread.join().ok())
                .unwrap_or_default()
        };
        Output {
            code: status.code(),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    /// Panics, showing everything, unless it ended with `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of {self:#?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not JSON: {e}\n{self:#?}"))
    }

    /// Whether either stream says `what`.
    pub fn says(&self, what: &str) -> bool {
        self.stdout.contains(what) || self.stderr.contains(what)
    }
}
