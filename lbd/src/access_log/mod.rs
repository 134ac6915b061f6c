//! The access log: a line a request, written by a thread of its own.
//!
//! Data threads turn requests into lines and hand them over in batches, through a bounded queue;
//! they never wait. What the queue has no room for, because the disk is full or nobody reads the
//! pipe, is lost and counted. Where it goes and how is a [`Sink`]; a reload or SIGUSR1 changes that
//! between two lines.

mod dates;
mod line;
mod sink;
mod termination;
mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arc_swap::ArcSwapOption;
use lb_proto::config;

pub(crate) use dates::Dates;
pub(crate) use line::{BAD_REQUEST, Counts, Kind, Line, Timers, push_request};
pub(crate) use sink::{OpenError, Sink};
pub(crate) use termination::{Cause, CookieFlags, Phase, Termination};

/// Batches that wait for the writer. With [`FULL`], some 8 MiB: what a busy proxy logs in the second
/// or so that a disk may pause.
const QUEUE: usize = 256;

/// A batch of so many bytes is handed over, and is not added to where there is no room for it.
pub(crate) const FULL: usize = 32 * 1024;

/// Lines on their way to a sink.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) sink: Arc<Sink>,
    /// Whole lines.
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: u64,
}

/// The one of the process.
#[derive(Debug)]
pub(crate) struct AccessLog {
    current: ArcSwapOption<Sink>,
    queue: SyncSender<Batch>,
    state: Arc<State>,
    writer: Mutex<Writer>,
}

/// What the writer and everybody else share.
#[derive(Debug, Default)]
struct State {
    lost: AtomicU64,
    finishing: AtomicBool,
}

#[derive(Debug)]
enum Writer {
    /// Nothing was ever logged.
    Idle(Option<Receiver<Batch>>),
    Running(JoinHandle<()>),
}

impl AccessLog {
    pub(crate) fn new() -> Self {
        let (queue, batches) = sync_channel(QUEUE);
        Self {
            current: ArcSwapOption::empty(),
            queue,
            state: Arc::default(),
            writer: Mutex::new(Writer::Idle(Some(batches))),
        }
    }

    /// What [`Self::switch`] needs to follow a configuration; what is open as it says stays open.
    /// Reaches for the disk.
    ///
    /// # Errors
    /// Where lines cannot be written. Nothing was changed.
    pub(crate) fn open(
        &self,
        wanted: Option<&config::AccessLog>,
    ) -> Result<Option<Arc<Sink>>, OpenError> {
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        if let Some(current) = self.current()
            && current.config == *wanted
        {
            return Ok(Some(current));
        }
        let sink = Sink::open(wanted.clone())?;
        self.start_writer().map_err(OpenError::thread)?;
        Ok(Some(Arc::new(sink)))
    }

    /// Lines go there from now on; `None`: nowhere.
    pub(crate) fn switch(&self, sink: Option<Arc<Sink>>) {
        let before = self.current.swap(sink.clone());
        if let Some(before) = before
            && sink.is_none_or(|sink| !Arc::ptr_eq(&sink, &before))
        {
            before.retire();
        }
    }

    /// Where lines go now.
    pub(crate) fn current(&self) -> Option<Arc<Sink>> {
        self.current.load_full()
    }

    /// Opens the file anew, by its name, before the next line is written. False: there is none.
    pub(crate) fn reopen(&self) -> bool {
        let Some(sink) = self.current() else {
            return false;
        };
        if !sink.ask_to_reopen() {
            return false;
        }
        self.nudge(sink);
        true
    }

    /// Gives a batch to the writer, or back where there is no room.
    pub(crate) fn hand_over(&self, batch: Batch) -> Result<(), Batch> {
        self.queue.try_send(batch).map_err(|error| match error {
            TrySendError::Full(batch) | TrySendError::Disconnected(batch) => batch,
        })
    }

    /// Lines that will not be written.
    pub(crate) fn lose(&self, lines: u64) {
        self.state.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Lines lost since the process started.
    pub(crate) fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Tells the writer to write what is queued, and to end.
    pub(crate) fn finish(&self) {
        self.state.finishing.store(true, Ordering::Release);
        if let Some(sink) = self.current() {
            self.nudge(sink);
        }
    }

    /// Whether everything queued was written, or there was nothing to write.
    pub(crate) fn is_finished(&self) -> bool {
        match &*self.writer.lock().unwrap_or_else(PoisonError::into_inner) {
            Writer::Idle(_) => true,
            Writer::Running(writer) => writer.is_finished(),
        }
    }

    /// Makes the writer look up; one that is busy does so by itself.
    fn nudge(&self, sink: Arc<Sink>) {
        let _ = self.hand_over(Batch {
            sink,
            bytes: Vec::new(),
            lines: 0,
        });
    }

    fn start_writer(&self) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer::Idle(batches) = &mut *writer else {
            return Ok(());
        };
        let Some(batches) = batches.take() else {
            return Err(io::Error::other("it could not be started before"));
        };
        let state = self.state.clone();
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer::run(&batches, &state))?;
        *writer = Writer::Running(thread);
        Ok(())
    }
}
