//! The thread that writes audit records: batch by batch, to a file that gives way to the next one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use lb_proto::os_error;
use lb_proto::regular::{self, Links};
use tokio::sync::oneshot;
use tracing::warn;

use super::lock;

/// The file gives way to the next one from this size on: two of them hold some 40,000 changes.
pub(super) const LARGEST: u64 = 4 * 1024 * 1024;

/// Records that may wait for a slow disk.
pub(super) const MOST_WAITING: usize = 1024;

/// Why the last record is not on the disk.
pub(super) type Failing = Arc<Mutex<Option<String>>>;

pub(super) enum Job {
    Write(Vec<u8>),
    /// Says when everything before it is on the disk.
    Tell(oneshot::Sender<()>),
}

/// Where the records before those of the file are.
pub(super) fn predecessor(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

/// What the thread owns.
pub(super) struct Writer {
    path: PathBuf,
    file: Option<(File, u64)>,
    /// Something was written since the last time that all of it was put on the disk.
    unsynced: bool,
    failing: Failing,
}

impl Writer {
    pub(super) fn new(path: PathBuf, failing: Failing) -> Self {
        Self {
            path,
            file: None,
            unsynced: false,
            failing,
        }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
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
    use super::super::NAME;
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
