//! Keeps what operators set, so that it outlives the process: a change is on the disk before it is
//! acknowledged. Written by a thread of its own, which may write several changes at once.
//!
//! A disk that is full or broken refuses no change: the change is made, and whoever asked for it is
//! told that a restart would forget it. So does the log, until it could be written after all.

mod file;
mod folder;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use jiff::Timestamp;
use lb_proto::os_error;
use lb_proto::status::KeptStatus;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{error, info, warn};

use crate::state::{Remembered, Shared};

pub(crate) use folder::{Folder, FolderError};

/// How long a change waits for the disk before it is answered with a warning.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long until a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Keeper {
    path: String,
    /// What was wrong with the file at the start.
    set_aside: Option<String>,
    next: Arc<Mutex<Next>>,
    wake: SyncSender<()>,
    written: watch::Receiver<Written>,
}

/// What is to be written, with a number that grows with every change.
#[derive(Debug, Default)]
struct Next {
    seq: u64,
    text: String,
}

/// How the last write went.
#[derive(Debug, Clone, Default)]
struct Written {
    seq: u64,
    /// Why it failed.
    error: Option<String>,
}

impl Keeper {
    /// Reads what is kept in the folder, and begins to write there. A file that cannot be read is set
    /// aside, and nothing is kept then.
    pub(crate) fn open(folder: Folder) -> io::Result<(Self, Remembered)> {
        let path = folder.file().display().to_string();
        let (found, kept) = match folder.read() {
            Ok(None) => (Found::Nothing, Remembered::default()),
            Ok(Some(bytes)) => match file::read(&bytes) {
                Ok(kept) => (Found::Text(bytes), kept),
                Err(why) => (Found::Bad(why.to_string()), Remembered::default()),
            },
            Err(why) => (Found::Bad(os_error::in_words(&why)), Remembered::default()),
        };
        let mut in_the_way = false;
        let mut set_aside = None;
        if let Found::Bad(why) = &found {
            let where_to = match folder.set_aside(Timestamp::now()) {
                Ok(aside) => format!("it is {} now", aside.display()),
                Err(error) => {
                    in_the_way = true;
                    format!("it stays where it is ({})", os_error::in_words(&error))
                }
            };
            let told = format!(
                "{path} cannot be read, {why}: {where_to}, and what was set before is forgotten"
            );
            error!("{told}");
            set_aside = Some(told);
        }
        let next = Arc::new(Mutex::new(Next {
            seq: 0,
            text: match found {
                Found::Text(bytes) => String::from_utf8(bytes).unwrap_or_default(),
                Found::Nothing => file::write(&Remembered::default()),
                Found::Bad(_) => String::new(),
            },
        }));
        let (wake, woken) = sync_channel(1);
        let (tell, written) = watch::channel(Written::default());
        let writer = Writer {
            folder,
            in_the_way,
            next: next.clone(),
            tell,
        };
        thread::Builder::new()
            .name("lbd-state".to_owned())
            .spawn(move || writer.run(&woken))?;
        let keeper = Self {
            path,
            set_aside,
            next,
            wake,
            written,
        };
        Ok((keeper, kept))
    }

    /// Keeps all of this, in place of what was kept before; returns when it is on the disk.
    ///
    /// # Errors
    /// Why it is not, in one sentence.
    pub(super) async fn keep(&self, all: &Remembered) -> Result<(), String> {
        let seq = self.put(all);
        let mut written = self.written.clone();
        let on_disk = written.wait_for(|written| written.seq >= seq);
        match timeout(PATIENCE, on_disk).await {
            Ok(Ok(written)) => written.error.clone().map_or(Ok(()), Err),
            Ok(Err(_)) => Err(format!("nobody writes {} any more", self.path)),
            Err(_) => Err(format!(
                "writing {} takes longer than {PATIENCE:?}",
                self.path
            )),
        }
    }

    /// Has all of this written, unless it is what was written last. Returns its number.
    fn put(&self, all: &Remembered) -> u64 {
        let text = file::write(all);
        let failed = self.written.borrow().error.is_some();
        let mut next = lock(&self.next);
        if next.text != text || failed {
            next.seq += 1;
            next.text = text;
            // Full: it has been woken already, and will find this.
            let _ = self.wake.try_send(());
        }
        next.seq
    }

    pub(super) fn status(&self, shared: &Shared) -> KeptStatus {
        let aside = shared.aside();
        KeptStatus {
            path: self.path.clone(),
            error: self.written.borrow().error.clone(),
            set_aside: self.set_aside.clone(),
            unknown: aside.iter().map(|kept| kept.server.clone()).collect(),
            ..KeptStatus::default()
        }
    }
}

/// What was at the place of the file.
enum Found {
    Nothing,
    Text(Vec<u8>),
    Bad(String),
}

/// The thread that writes.
struct Writer {
    folder: Folder,
    /// A file that could not be read is still there, and must not be lost.
    in_the_way: bool,
    next: Arc<Mutex<Next>>,
    tell: watch::Sender<Written>,
}

impl Writer {
    /// Writes whatever there is last, until nobody can ask for more.
    fn run(mut self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            let (seq, text) = {
                let next = lock(&self.next);
                (next.seq, next.text.clone())
            };
            let error = self.write(&text).err().map(|error| {
                let path = self.folder.file();
                format!(
                    "cannot write {}: {}",
                    path.display(),
                    os_error::in_words(&error)
                )
            });
            self.tell.send_replace(Written { seq, error });
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.in_the_way {
            self.folder.set_aside(Timestamp::now())?;
            self.in_the_way = false;
        }
        self.folder.write(text)
    }
}

fn lock(next: &Mutex<Next>) -> MutexGuard<'_, Next> {
    next.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends what was set for a time, has every change written that nobody waits for, tries again what
/// could not be written, and tells of that; until it is dropped.
pub(super) async fn run(shared: &Shared, keeper: &Keeper) {
    let mut written = keeper.written.clone();
    let mut failing = false;
    let mut news = true;
    loop {
        let due = shared.end_terms(Instant::now());
        if news {
            keeper.put(&shared.kept());
        }
        let term_ends = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        news = tokio::select! {
            () = shared.overrides_change() => true,
            () = term_ends => true,
            // How a write went is no reason for another one.
            Ok(()) = written.changed() => false,
            () = sleep(AGAIN), if failing => true,
        };
        let failed = written.borrow_and_update().error.clone();
        match &failed {
            Some(why) if !failing => {
                warn!("{why}: a restart would forget what was set; tried again every {AGAIN:?}")
            }
            None if failing => info!("what was set could be written: it outlives a restart again"),
            _ => {}
        }
        failing = failed.is_some();
    }
}
