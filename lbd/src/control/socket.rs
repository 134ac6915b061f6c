//! The control socket as a file: made so that nobody reaches it before its mode allows, never taken
//! from a daemon that lives, removed when this one ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{
    DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown,
};
use std::path::{Path, PathBuf};

use interprocess::local_socket::{
    GenericFilePath, ListenerOptions, ToFsName, tokio::Listener, traits::tokio::Listener as _,
};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use socket2::{Domain, SockAddr, Socket, Type};

use super::session::Stream;
use super::users;

/// Until the socket belongs to its group, it is its owner's alone.
const MODE_AT_FIRST: u32 = 0o600;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("another lbd{} listens at {}", .pid.map(|p| format!(" (pid {p})")).unwrap_or_default(), .path.display())]
    Taken { path: PathBuf, pid: Option<u32> },
    #[error("another program{} listens at {}", .pid.map(|p| format!(" (pid {p})")).unwrap_or_default(), .path.display())]
    Foreign { path: PathBuf, pid: Option<u32> },
    #[error("{} is in the way: it is no socket", .0.display())]
    NoSocket(PathBuf),
    #[error("there is no group {0:?}, which socket_group names")]
    NoGroup(String),
    #[error("cannot {what} {}", .path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The listening end.
#[derive(Debug)]
pub(crate) struct ControlSocket(Listener);

/// The socket's file, and the lock that makes it ours. Dropping it removes both.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode of our socket.
    identity: (u64, u64),
    _lock: Lock,
}

impl ControlSocket {
    /// Listens at `path`. Needs the runtime that will serve it.
    ///
    /// # Errors
    /// [`SocketError::Taken`] where another daemon listens, [`SocketError::Foreign`] where something else
    /// does; it is not disturbed.
    pub(crate) fn open(
        path: &Path,
        mode: u32,
        group: Option<&str>,
    ) -> Result<(Self, SocketFile), SocketError> {
        let group = group
            .map(|name| users::group(name).ok_or_else(|| SocketError::NoGroup(name.to_owned())))
            .transpose()?;
        if let Some(folder) = path.parent() {
            let made = fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(folder);
            made.map_err(failed("make the folder", folder))?;
        }
        let lock = Lock::take(path)?;
        remove_stale(path)?;
        let listener = path
            .to_fs_name::<GenericFilePath>()
            .and_then(|name| {
                ListenerOptions::new()
                    .name(name)
                    .mode(mode & MODE_AT_FIRST)
                    .reclaim_name(false)
                    .create_tokio()
            })
            .map_err(failed("listen at", path))?;
        let made = fs::symlink_metadata(path).map_err(failed("look at", path))?;
        let file = SocketFile {
            path: path.to_owned(),
            identity: (made.dev(), made.ino()),
            _lock: lock,
        };
        if group.is_some() {
            chown(path, None, group).map_err(failed("give to socket_group", path))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(failed("set the mode of", path))?;
        Ok((Self(listener), file))
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        self.0.accept().await
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if ours {
            // Nothing is lost if it stays: the next start finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A lock beside the socket, held as long as the daemon lives: of two that start at once, one gets
/// it, and only its holder may judge a socket stale.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    fn take(socket: &Path) -> Result<Self, SocketError> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(failed("open the lock", &path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(SocketError::Taken {
                        path: socket.to_owned(),
                        pid: read_pid(&mut file),
                    });
                }
                Err(errno) => return Err(failed("lock", &path)(errno.into())),
            }
            // The holder before us removed the file while we waited to open it: lock the new one.
            if !is_at(&file, &path) {
                continue;
            }
            write_pid(&mut file).map_err(failed("write", &path))?;
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still locked, so that nobody locks a file about to vanish unnoticed.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(found)) = (file.metadata(), fs::symlink_metadata(path)) else {
        return false;
    };
    (held.dev(), held.ino()) == (found.dev(), found.ino())
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Removes a socket at which nobody listens.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed("look at", path)(e)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match knock(path) {
        // An lbd would hold the lock.
        Ok(pid) => Err(SocketError::Foreign {
            path: path.to_owned(),
            pid,
        }),
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("remove the stale socket", path))
        }
        Err(e) => Err(failed("find out whether anybody listens at", path)(e)),
    }
}

/// Connects to a socket and gives the pid of who listens. Never waits: whoever has a full queue
/// lives.
fn knock(path: &Path) -> io::Result<Option<u32>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
        connected => connected?,
    }
    let peer = socket_peercred(&socket).ok();
    Ok(peer.map(|peer| peer.pid.as_raw_nonzero().get().cast_unsigned()))
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SocketError + 'a {
    move |source| SocketError::Io {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn the_socket_has_its_mode_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/lbd.sock");
        let (socket, file) = ControlSocket::open(&path, 0o660, None).unwrap();
        assert_eq!(mode(&path), 0o660);
        drop((socket, file));
        assert_eq!(fs::read_dir(folder.path().join("made")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_second_daemon_is_refused_and_the_first_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lbd.sock");
        let _first = ControlSocket::open(&path, 0o600, None).unwrap();
        let second = ControlSocket::open(&path, 0o600, None).unwrap_err();
        assert_eq!(
            second.to_string(),
            format!(
                "another lbd (pid {}) listens at {}",
                std::process::id(),
                path.display()
            )
        );
        knock(&path).unwrap();
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lbd.sock");
        let live = UnixListener::bind(&path).unwrap();
        let taken = ControlSocket::open(&path, 0o600, None).unwrap_err();
        assert!(
            matches!(taken, SocketError::Foreign { pid: Some(pid), .. } if pid == std::process::id())
        );
        drop(live);
        // A program that another test is about to start may hold it open until it runs.
        let opened = async {
            while ControlSocket::open(&path, 0o600, None).is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let patience = std::time::Duration::from_secs(30);
        tokio::time::timeout(patience, opened).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lbd.sock");
        fs::write(&path, "precious").unwrap();
        let error = ControlSocket::open(&path, 0o600, None).unwrap_err();
        assert!(matches!(error, SocketError::NoSocket(_)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lbd.sock");
        let first = ControlSocket::open(&path, 0o600, None).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
    }
}
