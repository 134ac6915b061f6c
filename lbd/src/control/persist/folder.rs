//! The folder of what is kept: one daemon's alone, and a file in it that is always whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lb_proto::os_error;
use lb_proto::regular::{self, Links};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tracing::warn;

const NAME: &str = "state.json";

/// More is not read: what a hundred thousand servers need is less.
const LARGEST: u64 = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("cannot make state_dir {}", .path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another lbd keeps its state in {}", .0.display())]
    Taken(PathBuf),
}

/// Where it is while this is held, and no other daemon's.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The folder itself, locked: that needs no space and no permission to write.
    _lock: Option<File>,
}

impl Folder {
    /// Makes the folder if there is none, and takes it.
    ///
    /// # Errors
    /// [`FolderError::Taken`] where another daemon holds it.
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| FolderError::Make {
            path: path.to_owned(),
            source,
        })?;
        let lock = match lock(path) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(FolderError::Taken(path.to_owned()));
            }
            // Some file systems have no such locks. That is no reason not to serve.
            Err(error) => {
                let why = os_error::in_words(&error);
                warn!(
                    "cannot lock state_dir {}, {why}: see that no other lbd uses it",
                    path.display()
                );
                None
            }
        };
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// What is in the file; `None`: there is none.
    pub(super) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match regular::read(&self.file(), LARGEST, Links::Refused) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file, in one step: at every instant, and after a crash, it is the old one or the
    /// new one. When this returns, the new one is on the disk.
    pub(super) fn write(&self, text: &str) -> io::Result<()> {
        let new = self.path.join(format!("{NAME}.new"));
        // What a crash left there.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, self.file()));
        if written.is_err() {
            // It may be what fills the disk.
            let _ = fs::remove_file(&new);
        }
        written?;
        File::open(&self.path)?.sync_all()
    }

    /// Gives the file another name, so that it is not replaced. Returns that.
    pub(super) fn set_aside(&self, now: Timestamp) -> io::Result<PathBuf> {
        let time = now.strftime("%Y%m%dT%H%M%SZ");
        let name = |turn: u32| match turn {
            0 => format!("{NAME}.bad-{time}"),
            _ => format!("{NAME}.bad-{time}-{turn}"),
        };
        let free = (0..).map(|turn| self.path.join(name(turn)));
        let aside = free
            .into_iter()
            .find(|path| fs::symlink_metadata(path).is_err());
        let aside = aside.ok_or_else(|| io::Error::other("every name is taken"))?;
        fs::rename(self.file(), &aside)?;
        Ok(aside)
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let folder = File::open(path)?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(folder),
        Err(Errno::WOULDBLOCK) => Err(ErrorKind::WouldBlock.into()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let outer = tempfile::tempdir().unwrap();
        let folder = Folder::open(&outer.path().join("made/state")).unwrap();
        (outer, folder)
    }

    #[test]
    fn what_was_written_last_is_there_and_nothing_else() {
        let (_outer, folder) = folder();
        assert_eq!(folder.read().unwrap(), None);
        // As a crash leaves it.
        fs::write(folder.path.join("state.json.new"), "half").unwrap();
        for text in ["one", "two"] {
            folder.write(text).unwrap();
            assert_eq!(folder.read().unwrap(), Some(text.into()));
        }
        assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder.path), mode(&folder.file())), (0o700, 0o600));
    }

    #[test]
    fn what_is_no_file_is_not_read_and_gives_way() {
        let (_outer, folder) = folder();
        let mode = rustix::fs::Mode::RWXU;
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, folder.file(), pipe, mode, 0).unwrap();
        let why = folder.read().unwrap_err().to_string();
        assert_eq!(why, "it is no regular file");
        folder.set_aside(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(folder.read().unwrap(), None);
        folder.write("one").unwrap();
        assert_eq!(folder.read().unwrap(), Some("one".into()));
    }

    #[test]
    fn a_second_daemon_is_refused_until_the_first_is_gone() {
        let (_outer, first) = folder();
        let path = first.path.clone();
        let refused = Folder::open(&path).unwrap_err();
        assert!(matches!(refused, FolderError::Taken(_)), "{refused}");
        drop(first);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn files_that_are_set_aside_are_all_kept() {
        let (_outer, folder) = folder();
        let set_aside = |text| {
            folder.write(text).unwrap();
            folder.set_aside(Timestamp::UNIX_EPOCH).unwrap()
        };
        let (first, second) = (set_aside("one"), set_aside("two"));
        assert!(first.ends_with("state.json.bad-19700101T000000Z"));
        assert_eq!(fs::read_to_string(first).unwrap(), "one");
        assert_eq!(fs::read_to_string(second).unwrap(), "two");
        assert_eq!(folder.read().unwrap(), None);
    }
}
