//! Who asked for what, and what came of it: logged, streamed as an event, and kept in a file with one
//! predecessor, in the order of the changes. A file that cannot be written is complained of, and keeps
//! nobody from anything.

mod order;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use lb_proto::audit::{Audit, Outcome};
use lb_proto::error::ErrorReply;
use lb_proto::event::Event;
use lb_proto::regular::{self, Links};
use lb_proto::status::By;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use self::order::Order;
use self::writer::{Failing, Job, LARGEST, MOST_WAITING, Writer, predecessor};
use crate::state::{Shared, now};

const NAME: &str = "audit.jsonl";

/// Of a file that grew otherwise, more is not read.
const MOST_READ: u64 = 4 * LARGEST;

/// How long a reader, or the daemon's end, waits for those.
const PATIENCE: Duration = Duration::from_secs(2);

/// A change that is asked for.
#[derive(Debug)]
pub(crate) struct Asked(Audit);

impl Asked {
    /// `what` is the call or the signal.
    pub(crate) fn new(by: By, what: &str) -> Self {
        Self(Audit {
            at: String::new(),
            by,
            what: what.to_owned(),
            on: None,
            from: None,
            to: None,
            reason: None,
            outcome: Outcome::Done,
            error: None,
        })
    }

    pub(crate) fn on(mut self, on: impl ToString) -> Self {
        self.0.on = Some(on.to_string());
        self
    }

    pub(crate) fn from(mut self, from: Option<impl ToString>) -> Self {
        self.0.from = from.map(|from| from.to_string());
        self
    }

    pub(crate) fn to(mut self, to: Option<impl ToString>) -> Self {
        self.0.to = to.map(|to| to.to_string());
        self
    }

    pub(crate) fn because(mut self, reason: Option<&impl ToString>) -> Self {
        self.0.reason = reason.map(ToString::to_string);
        self
    }

    fn came_to<T>(mut self, answer: &Result<T, ErrorReply>) -> Audit {
        if let Err(error) = answer {
            self.0.outcome = Outcome::of_error(error);
            self.0.error = Some(error.message.clone());
        }
        self.0
    }
}

#[derive(Debug)]
pub(crate) struct Auditor {
    shared: Arc<Shared>,
    path: PathBuf,
    lines: SyncSender<Job>,
    order: Mutex<Order<Item>>,
    failing: Failing,
}

/// The place of a record among the others, and its time: those of the change that it tells of. What
/// is noted of later changes waits until this is filled, or dropped.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    auditor: &'a Auditor,
    number: u64,
    at: String,
    record: Option<Audit>,
}

/// Another configuration, asked for by somebody: noted when it is swapped in, or at the end where that
/// never happens.
#[derive(Debug)]
pub(crate) struct Noting<'a>(Option<(&'a Auditor, Asked)>);

#[derive(Debug)]
enum Item {
    /// `None`: there is nothing to tell.
    Record(Option<Box<Audit>>),
    Tell(oneshot::Sender<()>),
}

impl Auditor {
    /// Keeps its file in this folder.
    ///
    /// # Errors
    /// Where the system grants no thread.
    pub(crate) fn start(shared: Arc<Shared>, folder: &Path) -> io::Result<Self> {
        let path = folder.join(NAME);
        let (lines, jobs) = sync_channel(MOST_WAITING);
        let failing = Failing::default();
        let writer = Writer::new(path.clone(), failing.clone());
        thread::Builder::new()
            .name("lbd-audit".to_owned())
            .spawn(move || writer.run(&jobs))?;
        Ok(Self {
            shared,
            path,
            lines,
            order: Mutex::default(),
            failing,
        })
    }

    /// Why the last change is not in the file.
    pub(crate) fn error(&self) -> Option<String> {
        lock(&self.failing).clone()
    }

    /// Takes note of what came of what was asked, a moment ago.
    pub(crate) fn note<T>(&self, asked: Asked, answer: &Result<T, ErrorReply>) {
        drop(self.slot().holds(asked, answer));
    }

    /// Of a change that is made at this moment.
    pub(crate) fn slot(&self) -> Slot<'_> {
        Slot {
            auditor: self,
            number: lock(&self.order).slot(),
            at: now(),
            record: None,
        }
    }

    fn fill(&self, slot: u64, with: Item) {
        // To the end, so that nobody overtakes.
        let mut order = lock(&self.order);
        for item in order.fill(slot, with) {
            match item {
                Item::Record(Some(record)) => self.tell(*record),
                Item::Record(None) => {}
                // Full: who waits is told that at once.
                Item::Tell(tell) => drop(self.lines.try_send(Job::Tell(tell))),
            }
        }
    }

    fn tell(&self, record: Audit) {
        log(&record);
        let mut line = serde_json::to_vec(&record).unwrap_or_default();
        line.push(b'\n');
        self.shared.emit(Event::Audit(record));
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Job::Write(line)) {
            warn!(
                "{} is written too slowly: a record is lost",
                self.path.display()
            );
        }
    }

    /// Waits until what was noted so far is written, not for ever.
    pub(crate) async fn settle(&self) {
        let (tell, told) = oneshot::channel();
        let slot = lock(&self.order).slot();
        self.fill(slot, Item::Tell(tell));
        let _ = timeout(PATIENCE, told).await;
    }

    /// The last records, so many at most, none that is older than `since`.
    pub(crate) async fn read(&self, since: Option<Timestamp>, most: usize) -> Vec<Audit> {
        self.settle().await;
        let path = self.path.clone();
        let read = spawn_blocking(move || {
            let read = |path: PathBuf| regular::read(&path, MOST_READ, Links::Refused);
            let texts = [predecessor(&path), path].map(|path| read(path).unwrap_or_default());
            let lines = texts
                .iter()
                .flat_map(|text| text.split(|byte| *byte == b'\n'));
            // Half a line is what a full disk leaves.
            let records = lines.filter_map(|line| serde_json::from_slice(line).ok());
            let records: Vec<Audit> = records.filter(|record| is_since(record, since)).collect();
            let first = records.len().saturating_sub(most);
            records[first..].to_vec()
        });
        read.await.unwrap_or_default()
    }
}

impl Slot<'_> {
    /// What is known of the change so far.
    pub(crate) fn holds<T>(mut self, asked: Asked, answer: &Result<T, ErrorReply>) -> Self {
        self.record = Some(Audit {
            at: self.at.clone(),
            ..asked.came_to(answer)
        });
        self
    }

    /// It was done, but for this.
    pub(crate) fn but(mut self, error: Option<&str>) {
        if let (Some(record), Some(error)) = (&mut self.record, error) {
            record.error = Some(error.to_owned());
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let record = self.record.take().map(Box::new);
        self.auditor.fill(self.number, Item::Record(record));
    }
}

impl<'a> Noting<'a> {
    pub(super) fn of(auditor: &'a Auditor, asked: Asked) -> Self {
        Self(Some((auditor, asked)))
    }

    /// A generation has given way to another a moment ago.
    pub(super) fn swapped(&mut self, from: u64, to: u64) {
        if let Some((auditor, asked)) = self.0.take() {
            let [from, to] = [from, to].map(generation);
            auditor.note::<()>(asked.from(Some(from)).to(Some(to)), &Ok(()));
        }
    }

    /// It was answered a moment ago, while this generation runs.
    pub(super) fn ends<T>(self, runs: u64, answer: &Result<T, ErrorReply>) {
        if let Some((auditor, asked)) = self.0 {
            let stays = answer.as_ref().ok().map(|_| generation(runs));
            auditor.note(asked.from(Some(generation(runs))).to(stays), answer);
        }
    }
}

fn generation(number: u64) -> String {
    format!("generation {number}")
}

fn is_since(record: &Audit, since: Option<Timestamp>) -> bool {
    let at = || record.at.parse::<Timestamp>().ok();
    since.is_none_or(|since| at().is_none_or(|at| at >= since))
}

fn log(record: &Audit) {
    let Audit {
        by,
        what,
        on,
        from,
        to,
        reason,
        error,
        ..
    } = record;
    let outcome = record.outcome.as_str();
    match record.outcome {
        Outcome::Done => info!(%by, what, on, from, to, reason, outcome, error, "audit"),
        Outcome::Refused | Outcome::Failed => {
            warn!(%by, what, on, from, to, reason, outcome, error, "audit");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
