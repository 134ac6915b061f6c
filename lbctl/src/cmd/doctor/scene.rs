//! What every check starts from: the daemon's word, and the configuration file.

use std::cell::OnceCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lb_proto::client::Client;
use lb_proto::config::{self, Certificates, Config, LoadError};
use lb_proto::error::{ErrorReply, Problem};
use lb_proto::os_error::in_words;
use lb_proto::request;
use lb_proto::status::Status;

use super::names::{self, Resolved};

pub(super) struct Scene {
    pub(super) socket: PathBuf,
    /// What the daemon said, or why it said nothing.
    pub(super) daemon: Result<Status, ErrorReply>,
    /// The file that was named, or that the daemon reads, or would read.
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) now: Timestamp,
    resolved: OnceCell<Resolved>,
}

/// The configuration file.
pub(super) enum File {
    /// With what it names, or what of that is of no use.
    Read(Box<Read>),
    Invalid {
        problems: Vec<Problem>,
        text: String,
    },
    Unreadable(ErrorKind, String),
}

pub(super) struct Read {
    pub(super) config: Config,
    pub(super) text: String,
    pub(super) certificates: Result<Certificates, Vec<Problem>>,
}

impl Scene {
    pub(super) fn look(
        named: Option<&Path>,
        socket: &Path,
        connect: impl Fn() -> Result<Client, ErrorReply>,
    ) -> Self {
        let daemon = connect().and_then(|mut daemon| daemon.call(&request::Status::default()));
        let of_daemon = || {
            let status = daemon.as_ref().ok()?;
            Some(PathBuf::from(&status.daemon.config.path))
        };
        let path = named.map(Path::to_owned).or_else(of_daemon);
        let path = path.unwrap_or_else(|| lb_proto::DEFAULT_CONFIG.into());
        Self {
            socket: socket.to_owned(),
            file: File::read(&path),
            daemon,
            path,
            now: Timestamp::now(),
            resolved: OnceCell::new(),
        }
    }

    pub(super) fn status(&self) -> Option<&Status> {
        self.daemon.as_ref().ok()
    }

    pub(super) fn config(&self) -> Option<&Config> {
        match &self.file {
            File::Read(read) => Some(&read.config),
            File::Invalid { .. } | File::Unreadable(..) => None,
        }
    }

    /// What the host names of servers lead to, looked up once.
    pub(super) fn resolved(&self) -> &Resolved {
        self.resolved.get_or_init(|| {
            let backends = self.config().into_iter().flat_map(|c| &c.backends);
            let servers = backends.flat_map(|backend| &backend.servers);
            names::resolve(servers.filter_map(|server| server.address.host()))
        })
    }

    /// Whether the file is the one that the daemon has read.
    pub(super) fn is_the_daemons(&self) -> bool {
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        self.status()
            .is_some_and(|status| whole(Path::new(&status.daemon.config.path)) == whole(&self.path))
    }
}

impl File {
    fn read(path: &Path) -> Self {
        let error = match config::load(path) {
            Ok(loaded) => {
                return Self::Read(Box::new(Read {
                    config: loaded.config,
                    text: loaded.text,
                    certificates: Ok(loaded.certificates),
                }));
            }
            Err(error) => error,
        };
        let problems = match error {
            LoadError::Unreadable { source, .. } => {
                return Self::Unreadable(source.kind(), in_words(&source));
            }
            LoadError::Invalid(problems) => problems,
        };
        // It may be good itself, and one of the files that it names not, or not ours to read.
        let text = config::bytes(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        match config::read(&path.to_string_lossy(), &text) {
            Ok(config) => Self::Read(Box::new(Read {
                config,
                text,
                certificates: Err(problems),
            })),
            Err(problems) => Self::Invalid { problems, text },
        }
    }
}

/// Whether this process may look everywhere.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
