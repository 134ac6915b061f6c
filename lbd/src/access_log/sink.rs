//! Where lines go: standard output or a file, opened so that neither a FIFO nor a folder in its place
//! stops anybody.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_proto::config::{self, LogPath};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Requests name people and places: nobody but the owner and the group reads them.
const MODE: u32 = 0o640;

/// What a pipe that can take anything takes without blocking (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;

/// One destination of the access log.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) config: config::AccessLog,
    /// The writer's alone.
    output: Mutex<Output>,
    reopen: AtomicBool,
    retired: AtomicBool,
}

/// Why lines cannot be written there.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the access log {what}")]
pub(crate) struct OpenError {
    what: String,
    hint: &'static str,
    source: io::Error,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// A file on a disk, that is: writes to others are bounded.
    regular: bool,
    /// Given up: what is still to be written there is lost.
    pub(super) abandoned: bool,
}

impl Sink {
    pub(super) fn open(config: config::AccessLog) -> Result<Self, OpenError> {
        let output = Output::open(&config.path).map_err(|source| OpenError {
            what: config.path.to_string(),
            hint: hint(&source),
            source,
        })?;
        Ok(Self {
            config,
            output: Mutex::new(output),
            reopen: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        })
    }

    /// No more lines are made for it.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// False: it is no file, and cannot be reopened.
    pub(super) fn ask_to_reopen(&self) -> bool {
        let is_file = self.config.path != LogPath::Stdout;
        self.reopen.store(is_file, Ordering::Release);
        is_file
    }

    pub(super) fn is_to_be_reopened(&self) -> bool {
        self.reopen.swap(false, Ordering::Acquire)
    }

    pub(super) fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenError {
    pub(super) fn thread(source: io::Error) -> Self {
        Self {
            what: "without a thread of its own".to_owned(),
            hint: "the system grants no more threads: see `ulimit -u` and TasksMax",
            source,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        self.hint
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "make its folder; [global] access_log names another file",
        ErrorKind::PermissionDenied => {
            "let the user that lbd runs as write there; [global] access_log names another file"
        }
        ErrorKind::IsADirectory => "name a file in it in [global] access_log",
        _ if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
            "nobody reads this FIFO or socket: start its reader first"
        }
        _ => "[global] access_log names another file",
    }
}

impl Output {
    pub(super) fn open(path: &LogPath) -> io::Result<Self> {
        let file = match path {
            LogPath::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            LogPath::File(path) => open(path)?,
        };
        let kind = file.metadata()?.file_type();
        if kind.is_dir() || kind.is_block_device() {
            return Err(ErrorKind::IsADirectory.into());
        }
        let mut output = Self {
            file,
            regular: kind.is_file(),
            abandoned: false,
        };
        if let LogPath::File(path) = path
            && output.regular
            && ends_in_half_a_line(path)
        {
            // Whoever wrote it was stopped, or the disk was full.
            output.file.write_all(b"\n")?;
        }
        Ok(output)
    }

    /// Writes some of it, waiting for at most `patience` where it is no file on a disk.
    pub(super) fn write(&mut self, bytes: &[u8], patience: Duration) -> io::Result<usize> {
        if self.regular {
            return self.file.write(bytes);
        }
        let patience = Timespec::try_from(patience).ok();
        let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
        if poll(&mut fds, patience.as_ref())? == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.file.write(&bytes[..bytes.len().min(AT_ONCE)])
    }
}

/// Opens a file to append to, made if missing, without waiting for anybody.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options
        .append(true)
        .mode(MODE)
        .custom_flags(flags.bits() as i32);
    match options.clone().create_new(true).open(path) {
        Ok(made) => {
            // The mode that was asked for, less what the umask forbids; a service's forbids the
            // group to read.
            made.set_permissions(Permissions::from_mode(MODE))?;
            Ok(made)
        }
        // It is there, be it as a link to where nothing is yet.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.create(true).open(path),
        Err(error) => Err(error),
    }
}

fn ends_in_half_a_line(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [b'\n'];
        file.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    // An empty file has no last byte, and what cannot be read is left as it is.
    last().is_ok_and(|byte| byte != b'\n')
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lb_proto::config::LogFormat;
    use tempfile::TempDir;

    use super::*;

    fn sink(path: &Path) -> Result<Sink, OpenError> {
        Sink::open(config::AccessLog {
            path: LogPath::File(path.to_owned()),
            format: LogFormat::Text,
            request_id: false,
        })
    }

    fn put(sink: &Sink, text: &str) {
        let written = sink.output().write(text.as_bytes(), Duration::ZERO);
        assert_eq!(written.unwrap(), text.len());
    }

    #[test]
    fn a_file_is_made_for_owner_and_group_and_appended_to() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("access.log");
        put(&sink(&path).unwrap(), "one\n");
        put(&sink(&path).unwrap(), "two\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, MODE);
    }

    #[test]
    fn half_a_line_is_ended_before_the_next() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("access.log");
        fs::write(&path, "one\ntw").unwrap();
        put(&sink(&path).unwrap(), "three\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntw\nthree\n");
    }

    #[test]
    fn what_cannot_be_written_is_refused_at_once_with_a_remedy() {
        let folder = TempDir::new().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, 0o600.into()).unwrap();
        for (path, remedy) in [
            (folder.path().to_owned(), "name a file in it"),
            (folder.path().join("none/access.log"), "make its folder"),
            (fifo, "start its reader"),
        ] {
            let error = sink(&path).unwrap_err();
            assert!(error.hint().contains(remedy), "{error}: {}", error.hint());
        }
    }
}
