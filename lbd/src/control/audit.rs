//! Who asked for what, and what came of it: logged, streamed as an event, and kept in a file with one
//! predecessor. A file that cannot be written is complained of, and keeps nobody from anything.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use lb_proto::audit::{Audit, Outcome};
use lb_proto::error::ErrorReply;
use lb_proto::event::Event;
use lb_proto::os_error;
use lb_proto::regular::{self, Links};
use lb_proto::status::By;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::state::{Shared, now};

const NAME: &str = "audit.jsonl";

/// The file gives way to the next one from this size on: two of them hold some 40,000 changes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Of a file that grew otherwise, more is not read.
const MOST_READ: u64 = 4 * LARGEST;

/// Records that may wait for a slow disk.
const MOST_WAITING: usize = 1024;

/// How long a reader, or the daemon's end, waits for those.
const PATIENCE: Duration = Duration::from_secs(2);

/// A change that is asked for.
#[derive(Debug)]
pub(crate) struct Asked(Audit);

impl Asked {
    /// `what` is the call or the signal.
    pub(crate) fn new(by: By, what: &str) -> Self {
        Self(Audit {
            at: now(),
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

    /// It was done, but for this.
    pub(crate) fn but(mut self, error: Option<&str>) -> Self {
        self.0.error = error.map(str::to_owned);
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
    failing: Failing,
}

/// Why the last record is not on the disk.
type Failing = Arc<Mutex<Option<String>>>;

enum Job {
    Write(Vec<u8>),
    /// Says when everything before it is on the disk.
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
            failing,
        })
    }

    /// Why the last change is not in the file.
    pub(crate) fn error(&self) -> Option<String> {
        lock(&self.failing).clone()
    }

    /// Takes note of what came of what was asked.
    pub(crate) fn note<T>(&self, asked: Asked, answer: &Result<T, ErrorReply>) {
        let record = asked.came_to(answer);
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
        if self.lines.try_send(Job::Tell(tell)).is_ok() {
            let _ = timeout(PATIENCE, told).await;
        }
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

fn lock(failing: &Failing) -> MutexGuard<'_, Option<String>> {
    failing.lock().unwrap_or_else(PoisonError::into_inner)
}

fn predecessor(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

/// The thread that writes.
struct Writer {
    path: PathBuf,
    file: Option<(File, u64)>,
    /// Something was written since the last time that all of it was put on the disk.
    unsynced: bool,
    failing: Failing,
}

impl Writer {
    fn new(path: PathBuf, failing: Failing) -> Self {
        Self {
            path,
            file: None,
            unsynced: false,
            failing,
        }
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            self.write_batch(std::iter::once(job).chain(jobs.try_iter()));
        }
    }

    /// What came while the disk was busy goes there together: it takes a moment, be it one line or many.
    fn write_batch(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut waiting = Vec::new();
        for job in jobs.take(MOST_WAITING) {
            match job {
                Job::Write(line) => self.write(&line),
                Job::Tell(tell) => waiting.push(tell),
            }
        }
        self.sync();
        for tell in waiting {
            // Whoever asked may have lost patience.
            let _ = tell.send(());
        }
    }

    fn write(&mut self, line: &[u8]) {
        match self.try_write(line) {
            Ok(()) => *lock(&self.failing) = None,
            Err(error) => self.complain(&error),
        }
    }

    /// A power failure takes nothing that was written before.
    fn sync(&mut self) {
        let synced = match &self.file {
            Some((file, _)) if self.unsynced => file.sync_data(),
            _ => return,
        };
        self.unsynced = false;
        if let Err(error) = synced {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &io::Error) {
        // What was written of a line is ended when the file is opened again.
        self.file = None;
        let (path, why) = (self.path.display(), os_error::in_words(error));
        let why = format!("cannot write {path}: {why}");
        if lock(&self.failing).replace(why.clone()).is_none() {
            warn!("{why}; changes are in this log alone");
        }
    }

    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        let more = line.len() as u64;
        if matches!(&self.file, Some((_, size)) if *size > 0 && size + more > LARGEST) {
            self.sync();
            self.file = None;
            fs::rename(&self.path, predecessor(&self.path))?;
        }
        let (file, size) = match &mut self.file {
            Some(open) => open,
            None => self.file.insert(open(&self.path)?),
        };
        self.unsynced = true;
        file.write_all(line)?;
        *size += more;
        Ok(())
    }
}

/// Opens it to append, after a whole line.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut file = regular::open(&mut options, path, Links::Refused)?;
    let size = file.metadata()?.len();
    if let Some(folder) = path.parent().filter(|_| size == 0) {
        // That there is such a file outlives a power failure, too.
        File::open(folder)?.sync_all()?;
    }
    let ends = || -> io::Result<bool> {
        let mut last = [0];
        match std::os::unix::fs::FileExt::read_exact_at(&file, &mut last, size - 1) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(true),
            read => read.map(|()| last == *b"\n"),
        }
    };
    if size > 0 && !ends()? {
        file.write_all(b"\n")?;
    }
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> (tempfile::TempDir, Writer) {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::new(folder.path().join(NAME), Failing::default());
        (folder, writer)
    }

    #[test]
    fn a_full_file_gives_way_and_the_one_before_it_is_gone() {
        let (folder, mut writer) = writer();
        let line = [&[b'x'; 1024 * 1024 - 1][..], b"\n"].concat();
        for _ in 0..11 {
            writer.write(&line);
        }
        let size = |name| fs::metadata(folder.path().join(name)).unwrap().len();
        assert_eq!((size(NAME), size("audit.jsonl.1")), (3 << 20, 4 << 20));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_a_link_leads_to_is_not_written() {
        let (folder, mut writer) = writer();
        let target = folder.path().join("target");
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &writer.path).unwrap();
        writer.write(b"line\n");
        let why = lock(&writer.failing).clone();
        assert!(why.is_some_and(|why| why.contains(NAME)));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        fs::remove_file(&writer.path).unwrap();
        writer.write(b"line\n");
        assert_eq!(*lock(&writer.failing), None);
        assert_eq!(fs::read_to_string(&writer.path).unwrap(), "line\n");
    }

    #[test]
    fn half_a_line_does_not_spoil_the_next() {
        let (_folder, mut writer) = writer();
        fs::write(&writer.path, "{\"half").unwrap();
        writer.write(b"whole\n");
        let text = fs::read_to_string(&writer.path).unwrap();
        assert_eq!(text, "{\"half\nwhole\n");
    }
}
