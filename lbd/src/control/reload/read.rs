//! What is read and opened beside the control thread, and what another configuration would change.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lb_proto::config::{self, Certificates, Config, sha256};
use lb_proto::error::{ErrorReply, Problem};
use lb_proto::plan::Change;
use lb_proto::reply;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Reloader, refusal};
use crate::access_log::Sink;
use crate::control::{explain_bind, plan};
use crate::state::{Snapshot, can_bind, unix_now};

/// How long the file may take to be read where somebody only wants to know whether it differs.
const LOOK: Duration = Duration::from_secs(1);

/// A configuration that was read, and could run.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) config: Config,
    pub(super) certificates: Certificates,
    pub(super) text: Arc<str>,
    /// What works, but should not stay so.
    pub(super) warnings: Vec<String>,
}

impl From<config::Loaded> for Ready {
    fn from(loaded: config::Loaded) -> Self {
        Self {
            config: loaded.config,
            certificates: loaded.certificates,
            text: loaded.text.into(),
            warnings: loaded.warnings.iter().map(in_words).collect(),
        }
    }
}

impl Reloader {
    /// Reads the file beside the control thread: a large one takes longer than a probe may wait.
    pub(super) async fn load(&self) -> Result<Ready, ErrorReply> {
        let path = self.path.clone();
        match spawn_blocking(move || config::load(&path)).await {
            Ok(loaded) => loaded.map(Ready::from).map_err(refusal::of_load),
            Err(_) => Err(refusal::unexpected("reading the configuration")),
        }
    }

    /// Opens what requests are to be logged to, beside the control thread as well.
    pub(super) async fn open_access_log(
        &self,
        wanted: Option<config::AccessLog>,
    ) -> Result<Option<Arc<Sink>>, ErrorReply> {
        let shared = self.shared.clone();
        let open = move || shared.access_log.open(wanted.as_ref());
        match spawn_blocking(open).await {
            Ok(opened) => opened.map_err(|error| refusal::of_open(&error)),
            Err(_) => Err(refusal::unexpected("opening the access log")),
        }
    }

    /// What it would change, told beside the control thread: there may be thousands of servers.
    pub(super) async fn compare(&self, ready: Ready) -> Result<(Ready, Vec<Change>), ErrorReply> {
        let before = self.shared.snapshot();
        let compare = move || {
            let Ready {
                config,
                certificates,
                ..
            } = &ready;
            let changes = plan::between(&before, config, certificates, unix_now());
            (ready, changes)
        };
        let compared = spawn_blocking(compare).await;
        compared.map_err(|_| refusal::unexpected("comparing the configurations"))
    }

    /// What a reload would change; `text` and what it is called stand in for the file.
    ///
    /// # Errors
    /// As a reload, as far as that can be told without doing it.
    pub(in crate::control) async fn plan(
        &self,
        other: Option<(String, String)>,
    ) -> Result<reply::Plan, ErrorReply> {
        let (file, ready) = match other {
            None => (self.path.display().to_string(), self.load().await?),
            Some((file, text)) => (file.clone(), judge(file, text).await?),
        };
        let before = self.shared.snapshot();
        let changed = !is_same(&ready, &before);
        let (ready, changes) = self.compare(ready).await?;
        let generation = before.loaded.generation;
        let sha256 = sha256(&*ready.text);
        let (_, warnings) = self.warnings(&ready);
        let obstacles = spawn_blocking(move || obstacles(&ready.config, &before));
        let obstacles = obstacles
            .await
            .map_err(|_| refusal::unexpected("trying addresses"))?;
        Ok(reply::Plan {
            file,
            sha256,
            generation,
            changed,
            changes,
            warnings,
            obstacles,
        })
    }

    /// Whether the file says something else than what runs; `None`: it cannot be read, or not soon.
    pub(in crate::control) async fn file_differs(&self) -> Option<bool> {
        let sha256 = self.file_sha256().await?.ok()?;
        Some(sha256 != self.shared.snapshot().loaded.sha256)
    }

    /// The file as it is now, where it is not what runs: of its bytes, hexadecimal. As at a start, one that
    /// cannot be read counts as empty.
    pub(super) async fn file_as_refused(&self) -> Option<String> {
        let read = self.file_sha256().await?;
        let sha256 = read.unwrap_or_else(|_| sha256(""));
        (sha256 != self.shared.snapshot().loaded.sha256).then_some(sha256)
    }

    /// Of the file's bytes, hexadecimal; `None`: it cannot be told soon.
    async fn file_sha256(&self) -> Option<io::Result<String>> {
        let path = self.path.clone();
        let looking = self.looking.clone();
        let read = async move {
            // One at a time: where a file system hangs, it holds one thread and no more.
            let looking = looking.lock_owned().await;
            let read = spawn_blocking(move || {
                let _looking = looking;
                config::bytes(&path).map(sha256)
            });
            read.await.ok()
        };
        timeout(LOOK, read).await.ok()?
    }
}

/// Addresses that cannot be listened on. Nothing listens on them, not even for an instant.
fn obstacles(config: &Config, before: &Snapshot) -> Vec<String> {
    let listeners = before.frontends.iter().flat_map(|f| &f.listeners);
    let listeners = listeners.chain(before.admin.iter().map(|admin| &admin.listener));
    let known: Vec<_> = listeners.map(|listener| listener.configured).collect();
    let binds = config.frontends.iter().flat_map(|f| &f.binds);
    let binds = binds.map(|bind| bind.address);
    let all = binds.chain(config.admin.iter().map(|admin| admin.bind));
    let new = all.filter(|bind| !known.contains(bind));
    let failed = new.filter_map(|bind| can_bind(bind).err());
    failed.map(|error| explain_bind(&error).0).collect()
}

/// Whether it is what runs, to the letter.
pub(super) fn is_same(ready: &Ready, before: &Snapshot) -> bool {
    sha256(&*ready.text) == before.loaded.sha256 && ready.certificates.are_as(&before.certificates)
}

/// Reads a text in place of the file, beside the control thread as well.
pub(super) async fn judge(file: String, text: String) -> Result<Ready, ErrorReply> {
    match spawn_blocking(move || config::judge(&file, text)).await {
        Ok(Ok(loaded)) => Ok(loaded.into()),
        Ok(Err(problems)) => Err(refusal::of_load(config::LoadError::Invalid(problems))),
        Err(_) => Err(refusal::unexpected("reading the configuration")),
    }
}

/// A warning about the file, in a line.
pub(crate) fn in_words(warning: &Problem) -> String {
    let Problem {
        message, remedy, ..
    } = warning;
    format!("{message}: {remedy}")
}
