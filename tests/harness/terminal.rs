//! A terminal for programs that look whether they have one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::eventually::eventually;
use crate::process::begin;

/// A program that runs with a terminal for its input, output and talk.
#[derive(Debug)]
pub struct OnTerminal {
    child: Child,
    ours: File,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl OnTerminal {
    #[track_caller]
    pub fn spawn(mut command: Command) -> Self {
        let (ours, theirs) = pair().expect("a terminal can be opened");
        let theirs = || Stdio::from(theirs.try_clone().expect("a descriptor can be doubled"));
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm");
        }
        command.stdin(theirs()).stdout(theirs()).stderr(theirs());
        let child = begin(&mut command).unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        // The command holds the program's side open; only without it does the end show.
        drop(command);
        let ours = File::from(ours);
        let screen = Arc::new(Mutex::new(Vec::new()));
        let mut reads = ours.try_clone().expect("a descriptor can be doubled");
        let shown = screen.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends in EIO once the program has closed its side (tty_ioctl(4), hangup).
            while let Ok(read @ 1..) = reads.read(&mut buffer) {
                lock(&shown).extend_from_slice(&buffer[..read]);
            }
        });
        Self {
            child,
            ours,
            screen,
            reader: Some(reader),
        }
    }

    /// Types at it.
    #[track_caller]
    pub fn types(&mut self, text: &str) {
        self.ours
            .write_all(text.as_bytes())
            .expect("the terminal takes what is typed");
    }

    /// Waits until it has written that.
    #[track_caller]
    pub fn shows(&self, text: &str) {
        eventually(&format!("{text:?} is shown"), || {
            let screen = self.text();
            match screen.contains(text) {
                true => Ok(()),
                false => Err(screen),
            }
        });
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.screen)).into_owned()
    }

    /// Whether what is typed there is shown.
    pub fn echoes(&self) -> bool {
        let set = tcgetattr(&self.ours).expect("it is a terminal");
        set.local_modes.contains(LocalModes::ECHO)
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
        let _ = self.reader.take().map(JoinHandle::join);
        (status.code(), self.text())
    }
}

fn lock(screen: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
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
