//! A terminal for programs that look whether they have one.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::eventually::eventually;

/// A program that runs with a terminal for its input, output and talk.
#[derive(Debug)]
pub struct OnTerminal {
    child: Child,
    screen: Option<JoinHandle<Vec<u8>>>,
}

impl OnTerminal {
    #[track_caller]
    pub fn spawn(mut command: Command) -> Self {
        let (ours, theirs) = pair().expect("a terminal can be opened");
        let theirs = || Stdio::from(theirs.try_clone().expect("a descriptor can be doubled"));
        command.env("TERM", "xterm");
        let child = command
            .stdin(theirs())
            .stdout(theirs())
            .stderr(theirs())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        // The command holds the program's side open; only without it does the end show.
        drop(command);
        let screen = std::thread::spawn(move || {
            let mut screen = Vec::new();
            // It ends in EIO once the program has closed its side (tty_ioctl(4), hangup).
            let _ = File::from(ours).read_to_end(&mut screen);
            screen
        });
        Self {
            child,
            screen: Some(screen),
        }
    }

    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits until it ends; its exit code, and all that it wrote, escapes included.
    #[track_caller]
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = eventually("the program ends", || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        let screen = self.screen.take().and_then(|thread| thread.join().ok());
        let screen = String::from_utf8_lossy(&screen.unwrap_or_default()).into_owned();
        (status.code(), screen)
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Both sides of a new terminal: who looks at it, and who is on it.
fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = open(name.as_c_str(), flags, Mode::empty())?;
    Ok((ours, theirs))
}
