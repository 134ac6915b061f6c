//! Regular files, and nothing else under a name where one belongs: a pipe would keep a reader waiting
//! for ever, and a device has no end.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// What a symbolic link at the end of a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    Followed,
    /// For files of our own, which nobody has to put elsewhere.
    Refused,
}

/// Opens a file without waiting for anybody.
///
/// # Errors
/// As [`OpenOptions::open`], and where it is no regular file.
pub fn open(options: &mut OpenOptions, path: &Path, links: Links) -> io::Result<File> {
    let flags = match links {
        Links::Followed => OFlags::NONBLOCK,
        Links::Refused => OFlags::NONBLOCK | OFlags::NOFOLLOW,
    };
    let opened = options
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::LOOP) if links == Links::Refused => {
                io::Error::other("it is a symbolic link")
            }
            // A pipe that nobody reads, or a socket.
            Some(Errno::NXIO) => not_regular(),
            _ => error,
        })?;
    let kind = opened.metadata()?.file_type();
    if kind.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    match kind.is_file() {
        true => Ok(opened),
        false => Err(not_regular()),
    }
}

/// All of a file that has so many bytes at most.
///
/// # Errors
/// As [`open`], and where it is larger.
pub fn read(path: &Path, most: u64, links: Links) -> io::Result<Vec<u8>> {
    let file = open(OpenOptions::new().read(true), path, links)?;
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        false => Ok(bytes),
        true => Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB", most >> 20),
        )),
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is no regular file")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_is_no_file_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let why = |path: &Path, links| read(path, 1 << 20, links).unwrap_err().to_string();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::write(at("file"), "text").unwrap();
        symlink(at("file"), at("link")).unwrap();
        assert_eq!(why(&at("pipe"), Links::Followed), "it is no regular file");
        let zeros = Path::new("/dev/zero");
        assert_eq!(why(zeros, Links::Followed), "it is no regular file");
        assert_eq!(why(&at("link"), Links::Refused), "it is a symbolic link");
        assert!(why(folder.path(), Links::Followed).starts_with("Is a directory"));
        let text = read(&at("link"), 1 << 20, Links::Followed).unwrap();
        assert_eq!(text, b"text");
        let append = open(
            OpenOptions::new().append(true),
            &at("pipe"),
            Links::Followed,
        );
        assert_eq!(append.unwrap_err().to_string(), "it is no regular file");
    }

    #[test]
    fn a_file_may_be_as_large_as_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(
            read(&path, 1 << 20, Links::Followed).unwrap().len(),
            1 << 20
        );
        fs::write(&path, vec![b'x'; (1 << 20) + 1]).unwrap();
        let told = read(&path, 1 << 20, Links::Followed).unwrap_err();
        assert_eq!(told.to_string(), "it is larger than 1 MiB");
    }
}
