//! A program that runs: what it says, how it ends, and that it does not outlive its test.

use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually;

/// Held, for reading, while a program begins: until it is itself, it has a copy of every descriptor
/// of ours, and what we close meanwhile stays open.
static BEGINS: RwLock<()> = RwLock::new(());

/// Starts a program; when this returns it has none of our descriptors but those it was given.
///
/// # Errors
/// Where it cannot be run.
pub fn begin(command: &mut Command) -> std::io::Result<Child> {
    let _begins = BEGINS.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Closes something so that it is closed for the kernel, too: a listener refuses from then on.
pub fn close<T>(descriptor: T) {
    drop(descriptor);
    settle();
}

/// Waits until whatever program begins at this moment is itself.
pub(crate) fn settle() {
    drop(BEGINS.write().unwrap_or_else(PoisonError::into_inner));
}

/// A program that was started; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub stdout: Transcript,
    pub stderr: Transcript,
}

/// What a program left when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// `None`: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    /// Starts a program, without a terminal and with nothing to read.
    #[track_caller]
    pub fn spawn(command: Command) -> Self {
        Self::spawn_into(command, Stdio::piped())
    }

    /// Starts one whose standard output goes elsewhere, and is not collected.
    #[track_caller]
    pub fn spawn_into(command: Command, stdout: Stdio) -> Self {
        Self::spawn_between(Stdio::null(), command, stdout)
    }

    /// Starts one that may read `stdin`.
    #[track_caller]
    pub fn spawn_from(stdin: Stdio, command: Command) -> Self {
        Self::spawn_between(stdin, command, Stdio::piped())
    }

    #[track_caller]
    fn spawn_between(stdin: Stdio, mut command: Command, stdout: Stdio) -> Self {
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        // A program that a test has just written is busy while a process that another one begins
        // still has its file.
        let mut child = eventually("the program can be run", || match begin(&mut command) {
            Err(e) if e.kind() == ErrorKind::ExecutableFileBusy => Err(e),
            spawned => Ok(spawned),
        })
        .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        Self {
            stdout: Transcript::of(child.stdout.take()),
            stderr: Transcript::of(child.stderr.take()),
            child,
        }
    }

    /// Runs a program to its end.
    #[track_caller]
    pub fn run(command: Command) -> Output {
        Self::spawn(command).wait()
    }

    /// Runs a program to its end that reads this.
    #[track_caller]
    pub fn fed(input: &[u8], command: Command) -> Output {
        let mut file = tempfile::tempfile().expect("a temporary file can be made");
        file.write_all(input).expect("it takes the input");
        file.rewind().expect("it can be read again");
        Self::spawn_from(file.into(), command).wait()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        // It fails where the program has ended, and then there is nobody to tell.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        self.wait_in_place()
    }

    /// [`Self::wait`], for an owner that lives on.
    #[track_caller]
    pub fn wait_in_place(&mut self) -> Output {
        let status = eventually("the program ends", || {
            self.ended().ok_or_else(|| {
                let said = self.stderr.so_far();
                format!("process {} runs; it says:\n{said}", self.child.id())
            })
        });
        Output {
            code: status.code(),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
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

    /// Panics, showing everything, unless one of the streams says `what`.
    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        let said = self.stdout.contains(what) || self.stderr.contains(what);
        assert!(said, "{what:?} is not in {self:#?}");
        self
    }
}

/// What a program says, collected while it runs, so that no stream fills up.
#[derive(Debug)]
pub struct Transcript {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Transcript {
    fn of(from: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&text);
        let thread = from.map(|from| {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(from);
                let mut line = Vec::new();
                while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    into.lock()
                        .expect("nobody panics while appending")
                        .push_str(&String::from_utf8_lossy(&line));
                    line.clear();
                }
            })
        });
        Self { text, thread }
    }

    pub fn so_far(&self) -> String {
        self.text
            .lock()
            .expect("nobody panics while appending")
            .clone()
    }

    /// Everything; waits for the end of the stream, which is the program's.
    pub fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.so_far()
    }
}
