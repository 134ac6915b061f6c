//! Puts the parts together, and takes them apart in order (`stop`). The only file that names every part.

mod stop;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use lb_proto::DEFAULT_STATE_DIR;
use lb_proto::config::{self, LoadError};
use lb_proto::error::Problem;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::access_log::OpenError;
use crate::control::{
    Auditor, Control, ControlSocket, Folder, FolderError, Keeper, NoStart, Reloader, SocketError,
    SocketFile, Start, choose, explain_bind, in_words, loaded as loaded_from, warn_daily,
};
use crate::dns::{self, Names};
use crate::limits::OpenFiles;
use crate::signals::{Asked, Signals};
use crate::state::{BuildError, Remembered, Shared, Snapshot};
use crate::{admin, data, health, log, service, state, traces};

/// How often the daemon looks whether a data thread has died, which none ever should.
const WATCH_POLL: Duration = Duration::from_secs(1);

/// Why the daemon did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    #[error("the configuration is invalid")]
    Invalid {
        problems: Vec<Problem>,
        hint: Option<String>,
    },
    #[error("cannot read {}", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
        hint: Option<String>,
    },
    #[error(transparent)]
    StateDir(#[from] FolderError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("{message}")]
    Bind {
        message: String,
        hint: Option<String>,
    },
    #[error(transparent)]
    AccessLog(#[from] OpenError),
    #[error(transparent)]
    Tls(BuildError),
    #[error("cannot {what}")]
    Start {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("a data thread died")]
    DataThread,
}

impl AppError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Bind { hint, .. } | Self::Invalid { hint, .. } => hint.as_deref(),
            Self::Unreadable { hint, .. } => {
                Some(hint.as_deref().unwrap_or("--config names another file"))
            }
            Self::StateDir(_) => Some("[global] state_dir names another folder"),
            Self::Socket(SocketError::Taken { .. } | SocketError::Foreign { .. }) => {
                Some("stop that one first, or give this one its own [global] socket")
            }
            Self::AccessLog(error) => Some(error.hint()),
            Self::Socket(_) | Self::Tls(_) | Self::Start { .. } | Self::DataThread => None,
        }
    }
}

impl From<LoadError> for AppError {
    fn from(error: LoadError) -> Self {
        NoStart { error, hint: None }.into()
    }
}

impl From<NoStart> for AppError {
    fn from(NoStart { error, hint }: NoStart) -> Self {
        match error {
            LoadError::Invalid(problems) => Self::Invalid { problems, hint },
            LoadError::Unreadable { path, source } => Self::Unreadable { path, source, hint },
        }
    }
}

impl From<BuildError> for AppError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Bind(error) => {
                let (message, hint) = explain_bind(&error);
                Self::Bind { message, hint }
            }
            BuildError::Tls { .. }
            | BuildError::ServerTls { .. }
            | BuildError::TracesTls { .. } => Self::Tls(error),
        }
    }
}

/// Runs the daemon until it is told to stop. `ready` is called once it takes connections.
pub(crate) fn run(path: &Path, ready: impl FnOnce(&Shared)) -> Result<(), AppError> {
    // The same file at every reload, wherever the process goes.
    let path = std::path::absolute(path).map_err(|source| AppError::Unreadable {
        path: path.to_owned(),
        source,
        hint: None,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("lbd-control-io")
        .build()
        .map_err(starting("start the control runtime"))?;
    runtime.block_on(async {
        // First of all: a SIGHUP that came earlier would end the process.
        let signals = Signals::install().map_err(starting("take over signals"))?;
        let start = choose(&path, Path::new(DEFAULT_STATE_DIR))?;
        log::init(start.loaded.config.global.log);
        for warning in &start.warnings {
            error!("{warning}");
        }
        for warning in &start.loaded.warnings {
            warn!("{}", in_words(warning));
        }
        let daemon = Daemon::start(&path, start).await?;
        ready(&daemon.control.shared);
        daemon.run(signals).await
    })
}

struct Daemon {
    control: Arc<Control>,
    data_threads: Vec<JoinHandle<()>>,
    /// Removed when the daemon is dropped, after the last session.
    _socket_file: SocketFile,
}

impl Daemon {
    async fn start(path: &Path, start: Start) -> Result<Self, AppError> {
        let config::Loaded {
            config,
            text,
            certificates,
            ..
        } = start.loaded;
        let files = OpenFiles::raise();
        let global = config.global.clone();
        let acts = config.admin.as_ref().is_some_and(|admin| admin.actions);
        // First of all: whoever finds another daemon at its socket must not disturb it.
        let (socket, socket_file) = ControlSocket::open(
            &global.socket,
            global.socket_mode,
            global.socket_group.as_deref(),
        )?;
        let folder = Folder::open(&global.state_dir)?;
        let kept = Keeper::open(folder);
        let (keeper, kept) = kept.map_err(starting("start the thread that keeps state"))?;
        let threads = global.threads.unwrap_or_else(cpus);
        let (most_connections, too_many) = files.connections(&global);
        if let Some(warning) = too_many {
            warn!("{warning}");
        }
        let names = Names::new();
        let known = names.prepare(&config, None).await;
        let origin = loaded_from(path, &text, 1);
        let snapshot = Snapshot::build(config, certificates, origin, None, &known, threads)?;
        let (aside, told) = snapshot.restore(kept.servers, Timestamp::now());
        let rest = Remembered {
            servers: aside,
            ..kept
        };
        for told in told {
            warn!("{told}");
        }
        for (server, told) in snapshot.end_weights(false) {
            warn!("{server}: {told}");
        }
        let shared = Shared::new(snapshot, rest, threads, most_connections);
        let sink = shared.access_log.open(global.access_log.as_ref())?;
        shared.access_log.switch(sink);
        let data_threads = data::spawn(&shared).map_err(starting("start the data threads"))?;
        let audit = Auditor::start(shared.clone(), &global.state_dir)
            .map_err(starting("start the thread that writes audit records"))?;
        let token = admin::Token::new(&global.state_dir);
        if acts {
            // Whoever waits for the daemon finds it.
            token.value().await;
        }
        let reloader = Reloader::new(shared.clone(), path.to_owned(), files, names.clone());
        reloader.begin(text, start.origin).await;
        let control = Arc::new(Control {
            shared: shared.clone(),
            reloader,
            keeper,
            audit,
        });
        tokio::spawn(state::run_slow_starts(shared.clone()));
        tokio::spawn(dns::run(shared.clone(), names));
        tokio::spawn(state::run_ejections(shared.clone()));
        tokio::spawn(warn_daily(shared.clone()));
        tokio::spawn(traces::run(shared.clone()));
        tokio::spawn(admin::run(shared.clone(), known_to(&control), token));
        tokio::spawn(health::run(shared));
        tokio::spawn(control.clone().keep());
        tokio::spawn(control.clone().watch_trials());
        tokio::spawn(control.clone().keep_config());
        tokio::spawn(control.clone().serve(socket));
        Ok(Self {
            control,
            data_threads,
            _socket_file: socket_file,
        })
    }

    async fn run(self, mut signals: Signals) -> Result<(), AppError> {
        let shared = self.control.shared.clone();
        self.say_ready(&shared.snapshot());
        self.until_stop(&mut signals).await?;
        self.stop(&mut signals).await;
        Ok(())
    }

    fn say_ready(&self, snapshot: &Snapshot) {
        for frontend in &snapshot.frontends {
            let name = &frontend.config.name;
            for listener in &frontend.listeners {
                info!(frontend = %name, address = %listener.address, "listening");
            }
        }
        let summary = service::in_one_line(snapshot);
        let socket = snapshot.global.socket.display();
        info!(version = lb_proto::VERSION, %socket, "ready, {summary}");
        service::ready(&summary);
    }

    /// Does what signals ask until one asks to stop.
    async fn until_stop(&self, signals: &mut Signals) -> Result<(), AppError> {
        loop {
            let asked = tokio::select! {
                asked = signals.next() => asked,
                () = self.data_thread_dies() => {
                    error!("a data thread died");
                    return Err(AppError::DataThread);
                }
            };
            match asked {
                Asked::Stop => {
                    self.control.note_signal("stop");
                    return Ok(());
                }
                Asked::Reload => {
                    let control = self.control.clone();
                    tokio::spawn(async move { control.reload_by("SIGHUP").await });
                }
                Asked::ReopenLogs => {
                    self.control.note_signal("SIGUSR1");
                    if !self.control.shared.access_log.reopen() {
                        info!("SIGUSR1: there is no log file to reopen");
                    }
                }
            }
        }
    }

    async fn data_thread_dies(&self) {
        while !self.data_threads.iter().any(JoinHandle::is_finished) {
            sleep(WATCH_POLL).await;
        }
    }
}

/// What the admin pages show of the control plane, and ask of it.
fn known_to(control: &Arc<Control>) -> admin::Knows {
    let (control, asked) = (control.clone(), control.clone());
    let (tried, sets, notes) = (control.clone(), control.clone(), control.clone());
    let status = move || {
        let control = control.clone();
        async move { control.status().await }.boxed()
    };
    let last_reload = move || asked.last_reload();
    let set_state = move |call, by| {
        let control = sets.clone();
        async move { control.set_state(&call, by).await }.boxed()
    };
    admin::Knows {
        last_reload: Box::new(last_reload),
        trial: Box::new(move || tried.trial()),
        status: Box::new(status),
        set_state: Box::new(set_state),
        refused: Box::new(move |refused| {
            notes.note_refused(refused.by, refused.server, refused.error);
        }),
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn starting(what: &'static str) -> impl FnOnce(io::Error) -> AppError {
    move |source| AppError::Start { what, source }
}
