//! A line that is typed and not shown.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::interrupt::Interrupt;

/// How long Ctrl-C may go unnoticed.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Standard input without its echo, until this is dropped.
struct Unseen {
    stdin: BorrowedFd<'static>,
    before: Termios,
}

impl Unseen {
    fn begin() -> io::Result<Self> {
        let stdin = stdio::stdin();
        let before = tcgetattr(stdin)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(stdin, OptionalActions::Flush, &quiet)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Where it cannot be put back there is no terminal any more.
        let _ = tcsetattr(self.stdin, OptionalActions::Flush, &self.before);
    }
}

/// Asks for it on a terminal; `None`: Ctrl-C came instead, or another end.
pub(super) fn typed(prompt: &str, interrupt: &Interrupt) -> io::Result<Option<Vec<u8>>> {
    let unseen = Unseen::begin()?;
    let mut screen = io::stderr().lock();
    write!(screen, "{prompt}: ")?;
    screen.flush()?;
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while !interrupt.pressed() {
        match poll(
            &mut [PollFd::new(&unseen.stdin, PollFlags::IN)],
            Some(&LOOK),
        ) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let read = io::stdin().lock().read(&mut buffer)?;
        line.extend_from_slice(&buffer[..read]);
        if read == 0 || line.ends_with(b"\n") {
            return Ok(Some(line));
        }
    }
    writeln!(screen)?;
    Ok(None)
}
