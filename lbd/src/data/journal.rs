//! A data thread's share of the access log: lines collected, and handed over in batches.
//!
//! A batch is handed over when it is full, and [`DELAY`] after its first line, so that the writer is
//! woken (a system call) for many lines at once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::tz::TimeZone;
use tokio::sync::Notify;

use super::thread::Thread;
use crate::access_log::{AccessLog, Batch, Dates, FULL, Line, Sink};
use crate::state::Shared;

/// How long a line may wait for company.
const DELAY: Duration = Duration::from_millis(100);

/// How long the last lines of a thread wait for room in the queue.
const LAST_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Journal {
    shared: Arc<Shared>,
    open: RefCell<Option<Open>>,
    on: Cell<bool>,
    /// The wall clock at an instant, read once a second.
    clock: Cell<(i64, Instant)>,
    begun: Notify,
}

/// What is only there while requests are logged.
#[derive(Debug)]
struct Open {
    sink: Arc<Sink>,
    dates: Dates,
    bytes: Vec<u8>,
    lines: u64,
}

impl Journal {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let journal = Self {
            shared,
            open: RefCell::new(None),
            on: Cell::new(false),
            clock: Cell::new((0, Instant::now())),
            begun: Notify::new(),
        };
        journal.follow();
        journal
    }

    /// Whether requests are logged.
    pub(super) fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Goes on where the configuration of now says.
    pub(super) fn follow(&self) {
        let sink = self.log().current();
        let mut open = self.open.borrow_mut();
        let before = open.as_ref().map(|open| &open.sink);
        if before.map(Arc::as_ptr) == sink.as_ref().map(Arc::as_ptr) {
            return;
        }
        if let Some(mut before) = open.take() {
            self.hand_over(&mut before);
            self.log().lose(before.lines);
        }
        self.on.set(sink.is_some());
        *open = sink.map(|sink| Open {
            sink,
            dates: dates(),
            bytes: Vec::new(),
            lines: 0,
        });
        self.tick();
    }

    /// A second has passed.
    pub(super) fn tick(&self) {
        if self.on.get() {
            self.clock.set((wall_clock(), Instant::now()));
        }
    }

    /// What the wall clock showed, in milliseconds since 1970.
    pub(super) fn date(&self, at: Instant) -> i64 {
        let (wall, then) = self.clock.get();
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let since = micros(at.saturating_duration_since(then));
        let before = micros(then.saturating_duration_since(at));
        (wall + since - before).div_euclid(1000)
    }

    /// Client connections of the process.
    pub(super) fn connections(&self) -> u64 {
        self.shared.connections.taken() as u64
    }

    /// Adds a line.
    pub(super) fn write(&self, line: &Line<'_>) {
        let mut open = self.open.borrow_mut();
        let Some(open) = &mut *open else {
            return;
        };
        if open.bytes.len() >= FULL && !self.hand_over(open) {
            self.log().lose(1);
            return;
        }
        if open.lines == 0 {
            open.bytes.reserve(1024);
            self.begun.notify_one();
        }
        line.write(&open.sink.config, &mut open.dates, &mut open.bytes);
        open.lines += 1;
    }

    /// True: there is room for more now.
    fn hand_over(&self, open: &mut Open) -> bool {
        if open.lines == 0 {
            return true;
        }
        let batch = Batch {
            sink: open.sink.clone(),
            bytes: std::mem::take(&mut open.bytes),
            lines: std::mem::take(&mut open.lines),
        };
        match self.log().hand_over(batch) {
            Ok(()) => true,
            Err(batch) => {
                (open.bytes, open.lines) = (batch.bytes, batch.lines);
                false
            }
        }
    }

    fn hand_over_now(&self) -> bool {
        let mut open = self.open.borrow_mut();
        open.as_mut().is_none_or(|open| self.hand_over(open))
    }

    fn log(&self) -> &AccessLog {
        &self.shared.access_log
    }

    /// The thread has served its last request.
    pub(super) async fn close(&self) {
        let began = Instant::now();
        while !self.hand_over_now() && began.elapsed() < LAST_WAIT {
            tokio::time::sleep(DELAY).await;
        }
        if let Some(open) = self.open.take() {
            self.log().lose(open.lines);
        }
        self.on.set(false);
    }
}

/// Hands batches over in time, for as long as the thread runs.
pub(super) async fn hand_over(thread: Rc<Thread>) {
    loop {
        thread.journal.begun.notified().await;
        tokio::time::sleep(DELAY).await;
        while !thread.journal.hand_over_now() {
            tokio::time::sleep(DELAY).await;
        }
    }
}

fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// In the zone of the host, as HAProxy writes them.
fn dates() -> Dates {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let host = name.split('.').next().filter(|host| !host.is_empty());
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    Dates::new(zone, host.unwrap_or("localhost"), std::process::id())
}
