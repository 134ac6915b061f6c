//! What a certificate file held, kept until its successor has proved itself.
//!
//! The old file gets a second name before the new one takes the first. Going back is a rename, which
//! works on a full disk, gives back owner and mode, and leaves no moment without a file.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use lb_proto::error::ErrorReply;

use super::failed;

#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// The second name of the old file; `None`: there was none.
    aside: Option<PathBuf>,
}

impl Kept {
    /// Keeps what is at `path`, if anything is, under the name `aside`.
    pub(super) fn new(path: &Path, aside: PathBuf) -> Result<Self, ErrorReply> {
        let aside = match fs::hard_link(path, &aside) {
            Ok(()) => Some(aside),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(failed(
                    format!(
                        "cannot keep {} while the new one is tried: {error}",
                        path.display()
                    ),
                    "nothing was changed; lbctl cert assemble replaces it without trying, and lbctl reload serves it",
                ));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            aside,
        })
    }

    /// Puts it back, and says in a word or two what is there now.
    pub(super) fn put_back(mut self) -> io::Result<&'static str> {
        let Some(aside) = self.aside.take() else {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok("it is removed again"),
            };
        };
        fs::rename(&aside, &self.path)?;
        // Two names of one file are left alone by that: the new one never took its place.
        let _ = fs::remove_file(&aside);
        Ok("the file before it is back")
    }
}

/// Nobody needs it any more.
impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            let _ = fs::remove_file(aside);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_old_file_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let (path, aside, new) = (file("a.pem"), file("aside"), file("new"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let kept = Kept::new(&path, aside.clone()).unwrap();
        fs::write(&new, "new").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!(kept.put_back().unwrap(), "the file before it is back");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert!(!aside.exists());

        // The same where the new one never came.
        let kept = Kept::new(&path, aside.clone()).unwrap();
        kept.put_back().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(!aside.exists());

        let kept = Kept::new(&path, aside.clone()).unwrap();
        assert!(aside.exists());
        drop(kept);
        assert!(!aside.exists() && path.exists());
    }

    #[test]
    fn where_there_was_none_there_is_none_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pem");
        let kept = Kept::new(&path, folder.path().join("aside")).unwrap();
        fs::write(&path, "new").unwrap();
        assert_eq!(kept.put_back().unwrap(), "it is removed again");
        assert!(!path.exists());
    }
}
