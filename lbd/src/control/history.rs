//! The last good configurations, and which one is not confirmed: `state_dir/configs/`.
//!
//! Each is a file of its own, `000007.toml`: a line about it, then the text as it was, so that people
//! can read, compare and copy it. Written whole beside its name, synced and renamed. A file that is
//! of no use is set aside and never in the way. Nobody else's files are touched, the daemon's
//! configuration least of all.

mod entry;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use lb_proto::regular::{self, Links};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tracing::warn;

pub(crate) use self::entry::{About, Entry};

/// How many are kept.
const KEPT: usize = 10;

/// More than the largest configuration and the line about it.
const LARGEST: u64 = 17 << 20;

const UNCONFIRMED: &str = "unconfirmed.json";

#[derive(Debug, Clone)]
pub(crate) struct History {
    folder: PathBuf,
}

/// What nobody has confirmed, or somebody took back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unconfirmed {
    /// Of the bytes of each text that may not run, hexadecimal.
    pub(crate) sha256: Vec<String>,
    /// The number of the one that was confirmed last.
    pub(crate) fallback: u64,
    /// It may still be confirmed; else it was taken back.
    pub(crate) waiting: bool,
}

/// What could not be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}", .path.display())]
pub(crate) struct HistoryError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl HistoryError {
    /// There is none of that number: it has made room.
    pub(crate) fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl History {
    pub(crate) fn below(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.join("configs"),
        }
    }

    /// Keeps a configuration under the next number, and as many others as there is room for.
    pub(crate) fn keep(&self, about: About, text: &str) -> Result<u64, HistoryError> {
        let known = self.numbers()?;
        let number = known.last().map_or(1, |last| last + 1);
        self.write(&file_name(number), &Entry::write(number, about, text))?;
        let unconfirmed = self.unconfirmed().ok().flatten();
        let fallback = unconfirmed.map(|one| one.fallback);
        let too_many = (known.len() + 1).saturating_sub(KEPT);
        for old in known.into_iter().take(too_many) {
            if Some(old) != fallback {
                let path = self.folder.join(file_name(old));
                fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(number)
    }

    /// The one of that number.
    pub(crate) fn read(&self, number: u64) -> Result<Entry, HistoryError> {
        let path = self.folder.join(file_name(number));
        let bytes = read(&path).map_err(failed("read", &path))?;
        Entry::read(&bytes, number).map_err(|why| {
            self.set_aside(&path);
            failed("use", &path)(io::Error::other(why))
        })
    }

    /// The newest one that can be read.
    pub(crate) fn newest(&self) -> Option<Entry> {
        let numbers = self.numbers().ok()?;
        let mut newest_first = numbers.into_iter().rev();
        newest_first.find_map(|number| self.read(number).ok())
    }

    /// Those that can be read, newest first: the number of each, about it, and its file.
    pub(crate) fn all(&self) -> Result<Vec<(u64, About, PathBuf)>, HistoryError> {
        let newest_first = self.numbers()?.into_iter().rev();
        let all = newest_first.filter_map(|number| {
            let Entry { about, .. } = self.read(number).ok()?;
            Some((number, about, self.folder.join(file_name(number))))
        });
        Ok(all.collect())
    }

    /// What may not run unless somebody says so.
    pub(crate) fn unconfirmed(&self) -> Result<Option<Unconfirmed>, HistoryError> {
        let path = self.folder.join(UNCONFIRMED);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|why| {
            self.set_aside(&path);
            failed("use", &path)(why.into())
        })
    }

    /// Remembers what is not confirmed; `None`: all is.
    pub(crate) fn set_unconfirmed(&self, one: Option<&Unconfirmed>) -> Result<(), HistoryError> {
        let path = self.folder.join(UNCONFIRMED);
        if let Some(one) = one {
            let text = serde_json::to_vec(one).map_err(|e| failed("write", &path)(e.into()))?;
            return self.write(UNCONFIRMED, &text);
        }
        match fs::remove_file(&path) {
            Err(error) if is_nothing(&error) => Ok(()),
            Err(error) => Err(failed("remove", &path)(error)),
            Ok(()) => sync(&self.folder).map_err(failed("sync", &self.folder)),
        }
    }

    /// In rising order.
    fn numbers(&self) -> Result<Vec<u64>, HistoryError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &self.folder)(error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut numbers: Vec<u64> = names.filter_map(|name| number_of(&name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), HistoryError> {
        let path = self.folder.join(name);
        let replace = || {
            let mut folders = fs::DirBuilder::new();
            folders.recursive(true).mode(0o700).create(&self.folder)?;
            // Its mode is 0600.
            let mut file = NamedTempFile::new_in(&self.folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            sync(&self.folder)
        };
        replace().map_err(failed("write", &path))
    }

    fn set_aside(&self, path: &Path) {
        let aside = path.with_extension("unusable");
        let (path, aside) = (path.display(), (&aside, fs::rename(path, &aside)));
        match aside {
            (aside, Ok(())) => {
                warn!(%path, aside = %aside.display(), "a kept file is damaged and was set aside");
            }
            (_, Err(error)) => warn!(%path, %error, "a kept file is damaged"),
        }
    }
}

/// There is no such file, or not even a folder for it.
fn is_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn file_name(number: u64) -> String {
    format!("{number:06}.toml")
}

fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".toml")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// Makes a rename outlive a power failure.
fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HistoryError {
    let path = path.to_owned();
    move |source| HistoryError { what, path, source }
}

/// All of a file of ours: a configuration, or which is not confirmed.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    regular::read(path, LARGEST, Links::Refused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn about(by: &str) -> About {
        About {
            before: None,
            at: "2026-11-27T18:00:00Z".to_owned(),
            by: by.to_owned(),
            path: "/etc/lbd/lbd.toml".to_owned(),
        }
    }

    fn history() -> (tempfile::TempDir, History) {
        let folder = tempfile::tempdir().unwrap();
        let history = History::below(folder.path());
        (folder, history)
    }

    #[test]
    fn what_is_kept_comes_back_and_nobody_else_may_read_it() {
        let (_folder, history) = history();
        assert!(history.newest().is_none());
        let text = "# a file\n[global]\nthreads = 2\r\n\n";
        assert_eq!(history.keep(about("uid 0"), text).unwrap(), 1);
        assert_eq!(history.keep(about("uid 1"), "").unwrap(), 2);
        let first = history.read(1).unwrap();
        assert_eq!((first.text.as_str(), first.number), (text, 1));
        assert_eq!(first.about, about("uid 0"));
        assert_eq!(history.newest().unwrap().number, 2);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&history.folder), 0o700);
        assert_eq!(mode(&history.folder.join("000001.toml")), 0o600);
    }

    #[test]
    fn the_oldest_make_room_but_never_the_one_to_fall_back_to() {
        let (_folder, history) = history();
        history.keep(about("x"), "first").unwrap();
        let one = Unconfirmed {
            sha256: vec!["ab".to_owned()],
            fallback: 1,
            waiting: true,
        };
        history.set_unconfirmed(Some(&one)).unwrap();
        assert_eq!(history.unconfirmed().unwrap(), Some(one));
        for i in 0..20 {
            history.keep(about("x"), &format!("{i}")).unwrap();
        }
        let numbers = history.numbers().unwrap();
        assert_eq!(numbers[0], 1);
        assert_eq!((numbers.len(), numbers[10]), (11, 21));
        history.set_unconfirmed(None).unwrap();
        history.set_unconfirmed(None).unwrap();
        assert_eq!(history.unconfirmed().unwrap(), None);
        history.keep(about("x"), "last").unwrap();
        assert_eq!(history.numbers().unwrap(), (13..=22).collect::<Vec<_>>());
    }

    #[test]
    fn damaged_files_are_set_aside_and_others_are_found() {
        let (_folder, history) = history();
        history.keep(about("x"), "good").unwrap();
        for (number, damage) in [(2, "cut"), (3, "flipped"), (4, "emptied"), (5, "no text")] {
            history.keep(about("x"), "a longer text\n").unwrap();
            let path = history.folder.join(file_name(number));
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "cut" => bytes.truncate(bytes.len() - 3),
                "flipped" => *bytes.last_mut().unwrap() ^= 1,
                "emptied" => bytes.clear(),
                _ => bytes = vec![0xff; 64],
            }
            fs::write(&path, bytes).unwrap();
        }
        fs::write(history.folder.join("notes.toml"), "mine").unwrap();
        fs::write(history.folder.join(UNCONFIRMED), "{\"sha256\":7").unwrap();
        assert_eq!(history.newest().unwrap().text, "good");
        assert_eq!(history.numbers().unwrap(), [1]);
        assert!(history.unconfirmed().is_err());
        assert_eq!(history.unconfirmed().unwrap(), None);
        assert!(history.folder.join("000003.unusable").exists());
        assert!(history.folder.join("notes.toml").exists());
        assert!(history.read(3).is_err());
    }
}
