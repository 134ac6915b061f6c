//! A folder for the sockets of tunnels. It goes when we do, also where a signal ends us.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::{fs, process};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use signal_hook::low_level::emulate_default_handler;
use tempfile::TempDir;

#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    left: Arc<Mutex<Left>>,
    signals: Handle,
}

/// What a signal would leave behind.
#[derive(Debug, Default)]
struct Left {
    folder: PathBuf,
    /// The lbctl of each node, until it is waited for.
    children: Vec<Pid>,
    /// They are told of Ctrl-C: the next one ends us.
    interrupted: bool,
}

impl Folder {
    /// # Errors
    /// Where there is no room for it, or the system refuses the handlers.
    pub(super) fn make() -> io::Result<Self> {
        let left = Arc::new(Mutex::new(Left::default()));
        let wanted = [SIGTERM, SIGHUP].into_iter().filter(|s| !is_ignored(*s));
        let mut signals = Signals::new(wanted)?;
        let (ours, handle) = (left.clone(), signals.handle());
        // Held until there is something to remove: a signal comes before that or after.
        let mut held = lock(&left);
        thread::spawn(move || {
            for signal in signals.forever() {
                let mut left = lock(&ours);
                match signal == SIGINT && !left.interrupted {
                    true => left.interrupt(),
                    false => left.end(signal),
                }
            }
        });
        let folder = tempfile::Builder::new().prefix("lbctl-").tempdir()?;
        held.folder = folder.path().to_owned();
        drop(held);
        Ok(Self {
            folder,
            left,
            signals: handle,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// From here on the first Ctrl-C is for the children, who do not hear of it themselves, and the
    /// second ends us all.
    ///
    /// # Errors
    /// Where the system refuses the handler.
    pub(super) fn passes_on_interrupts(&self) -> io::Result<()> {
        self.signals.add_signal(SIGINT)
    }

    /// A signal that ends us is for it, too.
    pub(super) fn heeds(&self, child: &Child) {
        let mut left = lock(&self.left);
        left.children.push(Pid::from_child(child));
        if left.interrupted {
            left.tell(SIGINT);
        }
    }

    /// It has ended: its pid may be another's soon.
    pub(super) fn forget(&self, child: &Child) {
        let pid = Pid::from_child(child);
        lock(&self.left).children.retain(|known| *known != pid);
    }
}

impl Left {
    fn interrupt(&mut self) {
        self.interrupted = true;
        self.tell(SIGINT);
    }

    fn tell(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            for child in &self.children {
                // It fails where it has ended by itself.
                let _ = kill_process(*child, signal);
            }
        }
    }

    fn end(&self, signal: i32) {
        self.tell(signal);
        let _ = fs::remove_dir_all(&self.folder);
        let _ = emulate_default_handler(signal);
        process::abort();
    }
}

fn lock(left: &Mutex<Left>) -> MutexGuard<'_, Left> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As for SIGHUP under nohup(1): who started us wants us to live on.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
