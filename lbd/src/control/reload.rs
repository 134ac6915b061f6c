//! The one way to a new configuration while the daemon runs: the whole of it, or nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lb_proto::config::{self, Again, Fault, Global, LoadError, Unusable};
use lb_proto::error::{ErrorCode, ErrorReply, Problem};
use lb_proto::reply;
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::explain_bind;
use crate::access_log::{OpenError, Sink};
use crate::dns::Names;
use crate::limits::OpenFiles;
use crate::state::{BuildError, Loaded, Shared, Snapshot, now, unix_now};
use crate::{log, service};

#[derive(Debug)]
pub(crate) struct Reloader {
    shared: Arc<Shared>,
    path: PathBuf,
    files: OpenFiles,
    names: Arc<Names>,
    /// What a running process cannot change is as it was at the start.
    at_start: Global,
    /// One reload at a time.
    turn: Mutex<()>,
}

impl Reloader {
    /// `path` must be absolute: the same file at every reload.
    pub(crate) fn new(
        shared: Arc<Shared>,
        path: PathBuf,
        files: OpenFiles,
        names: Arc<Names>,
    ) -> Self {
        Self {
            at_start: shared.snapshot().global.clone(),
            shared,
            path,
            files,
            names,
            turn: Mutex::new(()),
        }
    }

    /// Reads the file and swaps it in. `asked_by` is for the log, as in "by uid 0, pid 4711".
    ///
    /// # Errors
    /// `invalid_config` with every problem of the file, `failed` where it cannot be read or an
    /// address not bound, `stopping`. Nothing was changed then.
    pub(crate) async fn reload(&self, asked_by: &str) -> Result<reply::Reload, ErrorReply> {
        let _turn = self.turn.lock().await;
        if self.shared.is_stopping() {
            return Err(ErrorReply::new(ErrorCode::Stopping, "lbd is stopping"));
        }
        info!(path = %self.path.display(), "reload asked {asked_by}");
        service::reloading();
        let outcome = self.load_and_swap().await;
        match &outcome {
            Ok(reply) => self.report(reply),
            Err(error) => {
                let hint = error.hint.as_deref().unwrap_or_default();
                warn!(
                    error = error.message,
                    hint, "reload failed, nothing changed"
                );
                service::ready(&format!("last reload failed: {}", error.message));
            }
        }
        outcome
    }

    fn report(&self, reply: &reply::Reload) {
        for warning in &reply.warnings {
            warn!("{warning}");
        }
        let snapshot = self.shared.snapshot();
        let (generation, summary) = (reply.generation, service::in_one_line(&snapshot));
        info!(generation, changed = reply.changed, "reloaded: {summary}");
        service::ready(&summary);
    }

    async fn load_and_swap(&self) -> Result<reply::Reload, ErrorReply> {
        let config::Loaded {
            config,
            text,
            certificates,
            warnings: of_files,
        } = self.load().await?;
        let known = self
            .names
            .prepare(&config, Some(&self.shared.snapshot()))
            .await;
        let sink = self
            .open_access_log(config.global.access_log.clone())
            .await?;
        // From here to the end nothing waits: no probe and no call comes between.
        let before = self.shared.snapshot();
        let (most, too_many) = self.files.connections(&config.global);
        let mut warnings = self.needs_restart(&config.global);
        warnings.extend(too_many);
        warnings.extend(of_files.iter().map(in_words));
        let loaded = loaded(&self.path, &text, before.loaded.generation + 1);
        if loaded.sha256 == before.loaded.sha256 && certificates.are_as(&before.certificates) {
            return Ok(reply::Reload {
                generation: before.loaded.generation,
                changed: false,
                warnings,
            });
        }
        let generation = loaded.generation;
        let logging = config.global.log;
        let threads = self.shared.threads;
        let snapshot =
            Snapshot::build(config, certificates, loaded, Some(&before), &known, threads)
                .map_err(|error| build_error(&error))?;
        warnings.extend(self.shared.settle(&snapshot, &before));
        self.shared.connections.resize(most);
        let most = snapshot.global.max_handshakes;
        self.shared.handshakes.resize(most, threads);
        self.shared.access_log.switch(sink);
        self.shared.publish(snapshot);
        log::apply(logging);
        Ok(reply::Reload {
            generation,
            changed: true,
            warnings,
        })
    }

    /// Reads the file beside the control thread: a large one takes longer than a probe may wait.
    async fn load(&self) -> Result<config::Loaded, ErrorReply> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || config::load(&path)).await;
        match read {
            Ok(loaded) => loaded.map_err(load_error),
            Err(_) => Err(ErrorReply::new(
                ErrorCode::Failed,
                "reading the configuration failed unexpectedly; see the log",
            )),
        }
    }

    /// Opens what requests are to be logged to, beside the control thread as well.
    async fn open_access_log(
        &self,
        wanted: Option<config::AccessLog>,
    ) -> Result<Option<Arc<Sink>>, ErrorReply> {
        let shared = self.shared.clone();
        let open = move || shared.access_log.open(wanted.as_ref());
        match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened.map_err(|error| open_error(&error)),
            Err(_) => Err(ErrorReply::new(
                ErrorCode::Failed,
                "opening the access log failed unexpectedly; see the log",
            )),
        }
    }

    /// Reads the certificate files again, and shows what they hold now in new handshakes. True: it is
    /// not what was shown before. Nothing else is touched: neither what the configuration file says
    /// by now, nor a connection, nor what sessions are resumed with.
    ///
    /// # Errors
    /// `stopping`. Nothing was changed then.
    pub(crate) async fn reload_certs(&self, asked_by: &str) -> Result<(bool, Again), ErrorReply> {
        let _turn = self.turn.lock().await;
        if self.shared.is_stopping() {
            return Err(ErrorReply::new(ErrorCode::Stopping, "lbd is stopping"));
        }
        let before = self.shared.snapshot();
        let held = before.certificates.clone();
        // Beside the control thread: a thousand of them take longer than a probe may wait.
        let read = tokio::task::spawn_blocking(move || held.read_again(unix_now())).await;
        let again = read.map_err(|_| {
            let message = "reading the certificates failed unexpectedly; see the log";
            ErrorReply::new(ErrorCode::Failed, message)
        })?;
        for Unusable { fault, kept, .. } in &again.unusable {
            warn!(kept, "{}", advice(fault));
        }
        for warning in &again.warnings {
            warn!("{}", advice(warning));
        }
        let changed = !again.certificates.are_as(&before.certificates);
        if changed {
            self.shared.show(before.showing(again.certificates.clone()));
        }
        let certificates = again.certificates.all().len();
        info!(
            certificates,
            changed, "certificates read again, asked {asked_by}"
        );
        Ok((changed, again))
    }

    /// What the file says and the process will do only after a restart.
    fn needs_restart(&self, new: &Global) -> Vec<String> {
        let old = &self.at_start;
        let differs = [
            ("threads", old.threads != new.threads),
            ("socket", old.socket != new.socket),
            ("socket_mode", old.socket_mode != new.socket_mode),
            ("socket_group", old.socket_group != new.socket_group),
            ("state_dir", old.state_dir != new.state_dir),
        ];
        differs
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(key, _)| format!("{key} takes effect when lbd is restarted"))
            .collect()
    }
}

/// Where a configuration came from, now.
pub(crate) fn loaded(path: &Path, text: &str, generation: u64) -> Loaded {
    Loaded {
        path: path.display().to_string(),
        generation,
        at: now(),
        sha256: config::sha256(text),
    }
}

/// A warning about the file, in a line.
pub(crate) fn in_words(warning: &Problem) -> String {
    let Problem {
        message, remedy, ..
    } = warning;
    format!("{message}: {remedy}")
}

/// What is wrong and what to do, in a line.
pub(super) fn advice(fault: &Fault) -> String {
    format!("{}: {}", fault.message, fault.remedy)
}

fn load_error(error: LoadError) -> ErrorReply {
    match error {
        LoadError::Unreadable { path, source } => ErrorReply::new(
            ErrorCode::Failed,
            format!("cannot read {}: {source}", path.display()),
        ),
        LoadError::Invalid(problems) => ErrorReply {
            problems: problems.clone(),
            ..ErrorReply::new(ErrorCode::InvalidConfig, in_short(&problems))
        },
    }
}

/// The first problem, and how many more there are.
fn in_short(problems: &[Problem]) -> String {
    let Some(first) = problems.first() else {
        return "the configuration is invalid".to_owned();
    };
    let Problem {
        file,
        line,
        column,
        message,
        ..
    } = first;
    let first = format!("{file}:{line}:{column}: {message}");
    match problems.len() - 1 {
        0 => first,
        more => format!("{first} (and {})", service::count(more, "more problem")),
    }
}

fn open_error(error: &OpenError) -> ErrorReply {
    let why = std::error::Error::source(error).map_or_else(String::new, |e| format!(": {e}"));
    ErrorReply {
        hint: Some(error.hint().to_owned()),
        ..ErrorReply::new(ErrorCode::Failed, format!("{error}{why}"))
    }
}

fn build_error(error: &BuildError) -> ErrorReply {
    match error {
        BuildError::Bind(error) => {
            let (message, hint) = explain_bind(error);
            ErrorReply {
                hint,
                ..ErrorReply::new(ErrorCode::Failed, message)
            }
        }
        BuildError::Tls { source, .. } | BuildError::ServerTls { source, .. } => {
            ErrorReply::new(ErrorCode::Failed, format!("{error}: {}", in_full(source)))
        }
    }
}

/// An error with its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let all: Vec<String> = causes.map(ToString::to_string).collect();
    all.join(": ")
}
