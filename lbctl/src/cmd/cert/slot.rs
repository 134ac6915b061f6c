//! The place of a certificate file: locked while it is looked at, and replaced in one step.
//!
//! The new file is written beside the old one, to the disk, and renamed over it: whatever happens,
//! the name leads to the whole old file or to the whole new one. Nobody else's eyes see the key on
//! the way, and a symbolic link is never followed: the folder may belong to somebody whom root
//! should not write elsewhere for.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lb_proto::error::{ErrorCode, ErrorReply};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::failed;
use super::kept::Kept;

/// The owner reads and writes; nobody else does either.
const MODE: u32 = 0o600;

/// Names of files that are being written. lbd reads no hidden file of a folder.
const PREFIX: &str = ".lbctl-";
const SUFFIX: &str = ".new";

/// The name of the file before while the new one is tried. One at a time: the folder is locked.
const KEPT: &str = ".lbctl-kept.old";

/// Whoever holds the lock has a disk to wait for, or a daemon; longer means that it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A larger file is no certificate that would be replaced.
const LARGEST: u64 = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
    /// Holds the lock of all that is in it.
    folder: File,
    folder_path: PathBuf,
    before: Option<Before>,
}

/// The file that is there already.
#[derive(Debug)]
struct Before {
    text: Vec<u8>,
    owner: Owner,
    mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            user: metadata.uid(),
            group: metadata.gid(),
        })
    }
}

impl Slot {
    /// # Errors
    /// Where there is no such folder, something other than a file is there, or the lock is not to
    /// be had.
    pub(super) fn open(path: &Path) -> Result<Self, ErrorReply> {
        let folder_path = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => return Err(no_file(path)),
        };
        if path.is_dir() {
            return Err(failed(
                format!("{} is a folder", path.display()),
                format!(
                    "name the file to write: {}",
                    path.join("example.com.pem").display()
                ),
            ));
        }
        let folder = File::open(folder_path).map_err(|error| no_folder(folder_path, &error))?;
        if !folder.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            let error = io::Error::from(ErrorKind::NotADirectory);
            return Err(no_folder(folder_path, &error));
        }
        lock(&folder, folder_path)?;
        remove_remains(folder_path);
        Ok(Self {
            before: before(path)?,
            path: path.to_owned(),
            folder_path: folder_path.to_owned(),
            folder,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there, nothing where there is no file.
    pub(super) fn before(&self) -> &[u8] {
        self.before.as_ref().map_or(&[], |before| &before.text)
    }

    /// Keeps what is there for as long as the new one may have to go again.
    pub(super) fn keep(&self) -> Result<Kept, ErrorReply> {
        Kept::new(&self.path, self.folder_path.join(KEPT))
    }

    /// Puts `text` there, and gives what its user should know.
    ///
    /// # Errors
    /// Where anything fails; what was there is still there then.
    pub(super) fn put(&self, text: &str) -> Result<Vec<String>, ErrorReply> {
        let failure = |error: io::Error| {
            let hint = match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    "make room: df shows which disk is full"
                }
                ErrorKind::PermissionDenied => "run it with sudo, or as the owner of the folder",
                ErrorKind::ReadOnlyFilesystem => "name a folder that can be written to",
                _ => "look at the folder and its disk",
            };
            let left = match self.before {
                Some(_) => "the file before it is still there",
                None => "nothing was written",
            };
            failed(
                format!("cannot write {}: {error}", self.path.display()),
                format!("{left}; {hint}"),
            )
        };
        let mut file = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(&self.folder_path)
            .map_err(|error| failure(bare(error)))?;
        file.write_all(text.as_bytes()).map_err(failure)?;
        let warnings = self.give_away(&file)?;
        // The umask may have taken bits away, and so may the change of the owner.
        let exactly = Permissions::from_mode(MODE);
        file.as_file().set_permissions(exactly).map_err(failure)?;
        file.as_file().sync_all().map_err(failure)?;
        file.persist(&self.path).map_err(|e| failure(e.error))?;
        self.folder.sync_all().map_err(|error| {
            failed(
                format!(
                    "{} is replaced, but may not outlive a power cut: cannot sync its folder: {error}",
                    self.path.display()
                ),
                "look at the disk and run it again",
            )
        })?;
        Ok(warnings)
    }

    /// Makes it belong to whom the file before belongs, or else the folder.
    fn give_away(&self, file: &NamedTempFile) -> Result<Vec<String>, ErrorReply> {
        let path = self.path.display();
        let unknown = |error: io::Error| {
            failed(
                format!("cannot tell who {path} belongs to: {error}"),
                "look at the folder and its disk",
            )
        };
        let mine = Owner::of(file.as_file()).map_err(unknown)?;
        let wanted = match &self.before {
            Some(before) => before.owner,
            None => Owner::of(&self.folder).map_err(unknown)?,
        };
        let mut warnings = Vec::new();
        if let Some(before) = &self.before
            && before.mode & 0o040 != 0
            && wanted.user == 0
        {
            warnings.push(format!(
                "{path} had mode {:04o} and has 0600 now: only root reads it; if lbd runs as another user, chown it to that user",
                before.mode
            ));
        }
        if mine == wanted {
            return Ok(warnings);
        }
        match fchown(file.as_file(), Some(wanted.user), Some(wanted.group)) {
            Ok(()) => Ok(warnings),
            // Whoever may not give files away can still make new ones, for himself to read.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && self.before.is_none() => {
                if mine.user != wanted.user {
                    warnings.push(format!(
                        "{path} belongs to you and not to the owner of its folder: only you can read it"
                    ));
                }
                Ok(warnings)
            }
            Err(error) => Err(failed(
                format!(
                    "cannot give {path} to the owner of the file before it (user {}, group {}): {error}",
                    wanted.user, wanted.group
                ),
                "run it with sudo, or as that user; nothing was changed",
            )),
        }
    }
}

/// Waits for others that are at work in the folder.
fn lock(folder: &File, path: &Path) -> Result<(), ErrorReply> {
    const BETWEEN_TRIES: Duration = Duration::from_millis(20);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match folder.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(BETWEEN_TRIES);
                continue;
            }
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "another program has had {} locked for {} seconds",
                    path.display(),
                    PATIENCE.as_secs()
                );
                let hint = "another lbctl cert may hang there: lslocks shows which process it is";
                return Err(ErrorReply::new(ErrorCode::TimedOut, message).hint(hint));
            }
            Err(TryLockError::Error(error)) => error,
        };
        return Err(failed(
            format!("cannot lock {}: {error}", path.display()),
            "look at the file system that it is on",
        ));
    }
}

/// Removes what a run left that was killed before its end: it holds a key. Nobody else writes while
/// we hold the lock; what cannot be removed is in nobody's way.
fn remove_remains(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let written = name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes());
        if written || name == KEPT.as_bytes() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn before(path: &Path) -> Result<Option<Before>, ErrorReply> {
    let unreadable = |error: io::Error| {
        let hint = match error.kind() {
            ErrorKind::PermissionDenied => "run it with sudo, or as the owner of the file",
            _ => "look at the file and its folder",
        };
        let path = path.display();
        failed(
            format!("cannot read {path}, which is to be replaced: {error}"),
            hint,
        )
    };
    // Whatever else may be there: not followed, and not waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut file = match OpenOptions::new()
        .read(true)
        .custom_flags(flags.cast_signed())
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            let leads = fs::read_link(path).unwrap_or_default();
            return Err(failed(
                format!(
                    "{} is a symbolic link to {}",
                    path.display(),
                    leads.display()
                ),
                "name the file itself, or remove the link",
            ));
        }
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(no_file(path));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(unreadable)?;
    Ok(Some(Before {
        text,
        owner: Owner::of(&file).map_err(unreadable)?,
        mode: metadata.mode() & 0o7777,
    }))
}

fn no_file(path: &Path) -> ErrorReply {
    failed(
        format!(
            "{} is no certificate file, and is not replaced",
            path.display()
        ),
        "name the file to write, such as /etc/lbd/certs/example.com.pem",
    )
}

fn no_folder(path: &Path, error: &io::Error) -> ErrorReply {
    let path = path.display();
    let hint = match error.kind() {
        ErrorKind::NotFound => format!("make it: sudo install -d -o lbd -g lbd -m 0700 {path}"),
        ErrorKind::PermissionDenied => "run it with sudo".to_owned(),
        _ => "name a file in a folder".to_owned(),
    };
    failed(format!("cannot use the folder {path}: {error}"), hint)
}

/// Without the name of the file that was to be written, which nobody knows.
fn bare(error: io::Error) -> io::Error {
    let code = std::error::Error::source(&error)
        .and_then(|inner| inner.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    code.or_else(|| error.raw_os_error())
        .map_or(error, io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_for_its_owner_alone_and_replaced() {
        let folder = folder();
        let path = folder.path().join("a.pem");
        let slot = Slot::open(&path).unwrap();
        assert_eq!(slot.before(), b"");
        slot.put("one").unwrap();
        drop(slot);
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let slot = Slot::open(&path).unwrap();
        assert_eq!(slot.before(), b"one");
        slot.put("two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(names(folder.path()), ["a.pem"]);
    }

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let folder = folder();
        for name in [".lbctl-x1.new", KEPT, ".lbctl-other", "b.new", "b.pem"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        Slot::open(&folder.path().join("a.pem")).unwrap();
        assert_eq!(names(folder.path()), [".lbctl-other", "b.new", "b.pem"]);
    }

    #[test]
    fn only_files_are_replaced() {
        let folder = folder();
        let refused = |name: &str| Slot::open(&folder.path().join(name)).unwrap_err().message;
        symlink("/dev/null", folder.path().join("link.pem")).unwrap();
        assert!(refused("link.pem").ends_with("is a symbolic link to /dev/null"));
        symlink("nowhere", folder.path().join("dangling.pem")).unwrap();
        assert!(refused("dangling.pem").ends_with("is a symbolic link to nowhere"));
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            folder.path().join("fifo.pem"),
            rustix::fs::Mode::RUSR,
        )
        .unwrap();
        assert!(refused("fifo.pem").contains("is no certificate file"));
        assert!(refused("").ends_with("is a folder"));
        assert!(refused("none/a.pem").starts_with("cannot use the folder"));
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(refused("file/a.pem").starts_with("cannot use the folder"));
    }

    /// Whoever reads while others write sees one of their files, whole.
    #[test]
    fn a_reader_never_sees_half_a_file() {
        const WRITERS: u8 = 4;
        let folder = folder();
        let path = folder.path().join("a.pem");
        let text = |writer: u8| char::from(b'a' + writer).to_string().repeat(100_000);
        Slot::open(&path).unwrap().put(&text(0)).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let seen = fs::read_to_string(&path).unwrap();
                    assert!((0..WRITERS).any(|writer| seen == text(writer)));
                }
            });
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let path = &path;
                    scope.spawn(move || {
                        for _ in 0..5 {
                            Slot::open(path).unwrap().put(&text(writer)).unwrap();
                        }
                    })
                })
                .collect();
            let ended: Vec<bool> = writers.into_iter().map(|w| w.join().is_ok()).collect();
            done.store(true, Ordering::Relaxed);
            assert_eq!(ended, [true; WRITERS as usize]);
            reader.join().unwrap();
        });
        assert_eq!(names(folder.path()), ["a.pem"]);
    }
}
