//! CMD: run by a shell, listened to line by line, never waited for longer than it runs.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anstream::adapter::strip_str;
use lb_proto::document::rolling::Stream;
use lb_proto::name::ServerId;

use crate::wait::BETWEEN_LOOKS;

/// What it wrote last may still be on its way when it has ended. A daemon that it started may hold the
/// pipe for ever: nobody waits for that.
const LAST_LINES: Duration = Duration::from_millis(500);

/// The longest line passed on in one piece, in bytes.
const MOST_LINE: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
pub(super) struct Hook<'a> {
    command: &'a str,
}

impl<'a> Hook<'a> {
    pub(super) fn new(command: &'a str) -> Self {
        Self { command }
    }

    /// Has a shell wait to run it for a server. It does nothing yet, and ends if nobody lets it.
    ///
    /// # Errors
    /// In a sentence: it cannot be started.
    pub(super) fn prepare(&self, server: &ServerId, address: &str) -> Result<Waiting, String> {
        // In a session of its own neither Ctrl-C nor the end of the terminal reaches it (half an
        // upgrade is worse than a whole one), and ssh and its like do not take what is typed here.
        let command = format!("read -r _ || exit\nexec </dev/null\n{}", self.command);
        Command::new("setsid")
            .args(["sh", "-c", &command])
            .env("LB_BACKEND", server.backend.as_str())
            .env("LB_SERVER", server.server.as_str())
            .env("LB_ADDRESS", address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map(Waiting)
            .map_err(|error| format!("CMD cannot be started by setsid: {error}"))
    }
}

/// CMD before it begins.
#[derive(Debug)]
pub(super) struct Waiting(Child);

impl Waiting {
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Lets it run until it ends, and tells how. `line` hears what it writes, `look` is called again
    /// and again meanwhile.
    ///
    /// # Errors
    /// In a sentence: it is not known.
    pub(super) fn run(
        self,
        mut line: impl FnMut(Stream, &str),
        mut look: impl FnMut(),
    ) -> Result<ExitStatus, String> {
        let Self(mut child) = self;
        if let Some(mut gate) = child.stdin.take() {
            // It fails where the shell is gone, which is found out below.
            let _ = gate.write_all(b"\n");
        }
        let lines = listen(&mut child);
        let ended = loop {
            match lines.recv_timeout(BETWEEN_LOOKS) {
                Ok((from, text)) => line(from, &text),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(BETWEEN_LOOKS),
            }
            match child.try_wait() {
                Ok(None) => look(),
                Ok(Some(status)) => break status,
                Err(error) => return Err(format!("CMD cannot be waited for: {error}")),
            }
        };
        let deadline = Instant::now() + LAST_LINES;
        while let Some(left) = deadline.checked_duration_since(Instant::now())
            && let Ok((from, text)) = lines.recv_timeout(left)
        {
            line(from, &text);
        }
        Ok(ended)
    }
}

/// # Errors
/// In a sentence: it failed.
pub(super) fn judge(ended: ExitStatus) -> Result<(), String> {
    match (ended.code(), ended.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("CMD exited with {code}")),
        (None, signal) => Err(format!("CMD was ended by signal {}", signal.unwrap_or(0))),
    }
}

fn listen(child: &mut Child) -> Receiver<(Stream, String)> {
    let (lines, heard) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        let lines = lines.clone();
        thread::spawn(move || read_lines(out, Stream::Stdout, &lines));
    }
    if let Some(err) = child.stderr.take() {
        thread::spawn(move || read_lines(err, Stream::Stderr, &lines));
    }
    heard
}

/// Until it ends. Nobody may listen any more: what it left running would be killed by a closed pipe.
fn read_lines(mut pipe: impl Read, from: Stream, lines: &Sender<(Stream, String)>) {
    let mut line = Vec::new();
    let mut buffer = [0; 8 * 1024];
    let send = |line: &mut Vec<u8>| {
        let _ = lines.send((from, shown(line)));
        line.clear();
    };
    while let Ok(read @ 1..) = pipe.read(&mut buffer) {
        for byte in &buffer[..read] {
            match byte {
                b'\n' => send(&mut line),
                byte => line.push(*byte),
            }
            if line.len() >= MOST_LINE {
                send(&mut line);
            }
        }
    }
    if !line.is_empty() {
        send(&mut line);
    }
}

/// A line as a terminal would leave it: of what was written over, the last. Nothing in it steers the
/// terminal: whoever wrote it may be a server that somebody else has taken over.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    let last = text.rsplit('\r').next().unwrap_or_default();
    let plain = strip_str(last).to_string();
    plain.replace(|c: char| c.is_control() && c != '\t', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &str) -> (Result<(), String>, Vec<(Stream, String)>) {
        let mut heard = Vec::new();
        let server = "app/web01".parse().unwrap();
        let line = |from, text: &str| heard.push((from, text.to_owned()));
        let waiting = Hook::new(command).prepare(&server, "10.0.0.11:8080");
        let ended = waiting.unwrap().run(line, || {});
        (ended.and_then(judge), heard)
    }

    #[test]
    fn it_knows_its_server_and_every_line_of_it_is_heard() {
        let (ended, heard) =
            run("echo $LB_BACKEND $LB_SERVER $LB_ADDRESS; printf 'a\\rb\\r\\nno end'");
        assert_eq!(ended, Ok(()));
        let expected = ["app web01 10.0.0.11:8080", "b", "no end"];
        assert_eq!(
            heard,
            expected.map(|text| (Stream::Stdout, text.to_owned()))
        );
        let (_, heard) = run("echo oh >&2");
        assert_eq!(heard, [(Stream::Stderr, "oh".to_owned())]);
    }

    #[test]
    fn it_does_nothing_until_it_is_let_and_ends_where_nobody_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("begun");
        let command = format!("touch '{}'; cat", file.display());
        let server = "app/web01".parse().unwrap();
        let prepared = || Hook::new(&command).prepare(&server, "").unwrap();
        let Waiting(mut child) = prepared();
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(!file.exists());
        // Nor does it read what is typed.
        let ended = prepared().run(|_, _| {}, || {});
        assert_eq!(ended.and_then(judge), Ok(()));
        assert!(file.exists());
    }

    #[test]
    fn nothing_that_it_writes_steers_the_terminal() {
        for (written, read) in [
            ("\x1b[31mred\x1b[0m, \x1b[2Jgone", "red, gone"),
            ("\x1b]0;a title\x07text", "text"),
            ("\x1b]52;c;Y3VybA==\x1b\\text", "text"),
            ("\x1bPq#0\x1b\\text", "text"),
            ("a\tb\x07\x08\x7f\u{9b}31m", "a\tb31m"),
            ("over\rwritten \u{e4}\r", "written \u{e4}"),
        ] {
            assert_eq!(shown(written.as_bytes()), read, "{written:?}");
        }
    }

    #[test]
    fn it_says_how_it_failed() {
        assert_eq!(run("exit 3").0, Err("CMD exited with 3".to_owned()));
        assert_eq!(
            run("kill -9 $$").0,
            Err("CMD was ended by signal 9".to_owned())
        );
    }

    #[test]
    fn what_it_leaves_behind_is_not_waited_for() {
        let started = Instant::now();
        let (ended, heard) = run("echo begun; sleep 600 & echo $!");
        assert_eq!(ended, Ok(()));
        assert_eq!(heard[0].1, "begun");
        let pid: i32 = heard[1].1.parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        assert!(started.elapsed() < Duration::from_secs(300));
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let (_, heard) = run("head -c 200000 /dev/zero | tr '\\0' x");
        assert!(heard.iter().all(|(_, text)| text.len() <= MOST_LINE));
        let whole: usize = heard.iter().map(|(_, text)| text.len()).sum();
        assert_eq!(whole, 200_000);
    }
}
