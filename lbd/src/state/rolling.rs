//! How far the rolling maintenance of each backend is, and who is at it.
//!
//! Steps are the client's; this keeps them, and lets one client at a time take them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::name::{BackendName, ServerName};
use lb_proto::request::{RollingBegin, RollingStep};
use lb_proto::rolling::{Phase, Rolling, Turn};
use lb_proto::status::By;

use super::now;

/// Those that are on, or stopped part-way.
#[derive(Debug)]
pub(crate) struct Book(Mutex<BTreeMap<BackendName, Rolling>>);

/// The right to go on with one, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    book: Arc<Book>,
    backend: BackendName,
}

impl Claim {
    /// The claim on a backend among those of a client.
    ///
    /// # Errors
    /// `failed` where the client has none.
    pub(crate) fn of<'a>(
        claims: &'a [Self],
        backend: &BackendName,
    ) -> Result<&'a Self, ErrorReply> {
        let mut claims = claims.iter();
        claims
            .find(|claim| claim.backend == *backend)
            .ok_or_else(|| {
                let message =
                    format!("the rolling maintenance of {backend} was not begun by this client");
                ErrorReply::new(ErrorCode::Failed, message).hint("call rolling_begin first")
            })
    }

    pub(crate) fn backend(&self) -> &BackendName {
        &self.backend
    }

    /// Notes how far a server is.
    ///
    /// # Errors
    /// `no_such_server` for one whose turn never comes.
    pub(crate) fn step(&self, call: &RollingStep) -> Result<Rolling, ErrorReply> {
        let mut entries = self.book.entries();
        let noted = entries.get_mut(&self.backend).and_then(|rolling| {
            let mut turns = rolling.turns.iter_mut();
            let turn = turns.find(|turn| turn.server == call.server.server)?;
            turn.phase = call.phase;
            rolling.hook = call.hook.clone();
            Some(rolling.clone())
        });
        noted.ok_or_else(|| {
            let server = &call.server;
            let message = format!("{server} has no turn in the rolling maintenance");
            ErrorReply::new(ErrorCode::NoSuchServer, message)
        })
    }

    /// Every server has had its turn: as it was at its end.
    pub(crate) fn end(self) -> Option<Rolling> {
        self.book.entries().remove(&self.backend)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(rolling) = self.book.entries().get_mut(&self.backend) {
            rolling.running = false;
        }
    }
}

impl Book {
    /// As the process before left them: nobody is at them.
    pub(super) fn new(mut rollings: BTreeMap<BackendName, Rolling>) -> Self {
        for rolling in rollings.values_mut() {
            rolling.running = false;
        }
        Self(Mutex::new(rollings))
    }

    pub(super) fn all(&self) -> BTreeMap<BackendName, Rolling> {
        self.entries().clone()
    }

    pub(crate) fn of(&self, backend: &BackendName) -> Option<Rolling> {
        self.entries().get(backend).cloned()
    }

    /// Begins one, or goes on with the one that stopped. `is_out` tells whether a server is kept from
    /// its sessions.
    ///
    /// # Errors
    /// `busy` while somebody is at it; `failed` where there is none to resume, and where the server at
    /// which one stopped would be forgotten.
    pub(crate) fn begin(
        self: &Arc<Self>,
        call: &RollingBegin,
        is_out: impl Fn(&ServerName) -> bool,
        by: By,
    ) -> Result<(Claim, Rolling), ErrorReply> {
        let backend = &call.backend;
        let mut entries = self.entries();
        let before = entries.get(backend);
        if let Some(rolling) = before.filter(|rolling| rolling.running) {
            return Err(busy(backend, rolling));
        }
        let (turns, hook) = match (before, call.resume) {
            (None, true) => return Err(nothing_to_resume(backend)),
            (Some(stopped), true) => (stopped.turns.clone(), stopped.hook.clone()),
            (before, false) => {
                let left = before.and_then(|stopped| Some((stopped, stopped.current()?)));
                if let Some((stopped, turn)) = left.filter(|(_, turn)| is_out(&turn.server)) {
                    return Err(unfinished(backend, stopped, turn));
                }
                let turn = |server: &ServerName| Turn {
                    server: server.clone(),
                    phase: Phase::ToDo,
                };
                (call.servers.iter().map(turn).collect(), None)
            }
        };
        let rolling = Rolling {
            since: now(),
            by,
            running: true,
            turns,
            hook,
        };
        entries.insert(backend.clone(), rolling.clone());
        let claim = Claim {
            book: self.clone(),
            backend: backend.clone(),
        };
        Ok((claim, rolling))
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<BackendName, Rolling>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn busy(backend: &BackendName, rolling: &Rolling) -> ErrorReply {
    let Rolling { by, since, .. } = rolling;
    let at = rolling.current().map_or_else(String::new, |turn| {
        format!(", now at {backend}/{}", turn.server)
    });
    let message = format!("{backend} is in rolling maintenance by {by} since {since}{at}");
    ErrorReply::new(ErrorCode::Busy, message)
        .hint("wait for it to end, or have it stopped with Ctrl-C")
}

fn nothing_to_resume(backend: &BackendName) -> ErrorReply {
    let message = format!("no rolling maintenance of {backend} has stopped part-way");
    ErrorReply::new(ErrorCode::Failed, message).hint("leave out --resume to begin one")
}

fn unfinished(backend: &BackendName, stopped: &Rolling, turn: &Turn) -> ErrorReply {
    let Rolling { by, since, .. } = stopped;
    let server = format!("{backend}/{}", turn.server);
    let message = format!(
        "the rolling maintenance of {backend} by {by}, begun {since}, stopped at {server}, \
         which is still out"
    );
    ErrorReply::new(ErrorCode::Failed, message).hint(format!(
        "--resume goes on with it; to begin anew, first put the server back: lbctl ready {server}"
    ))
}
