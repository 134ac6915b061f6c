//! A session on a server, counted from when the server was picked until this is dropped.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::thread::Thread;
use super::view::{Edits, View};
use crate::state::{Backend, Server, Who};

#[derive(Debug)]
pub(super) struct Lease {
    view: Rc<View>,
    backend: usize,
    server: usize,
}

impl Lease {
    /// Picks a server for a new session and counts the session there. Servers in `tried` come last.
    ///
    /// `None`: no server of the backend takes sessions.
    pub(super) fn take(
        thread: &Thread,
        view: &Rc<View>,
        backend: usize,
        tried: &[usize],
    ) -> Option<Self> {
        let pool = &view.snapshot.backends[backend].pool;
        // A server may stop taking sessions between the look and the count; then look again. Twice
        // is enough for any one change; the bound only guards against states that flap.
        for _ in 0..8 {
            let rotation = view.rotation(backend);
            let turn = pool.turn.fetch_add(1, Ordering::Relaxed);
            let server = match tried {
                [] => rotation.at(turn),
                _ => rotation
                    .from(turn)
                    .find(|s| !tried.contains(s))
                    .or(rotation.at(turn)),
            }?;
            if let Some(lease) = Self::on(thread, view, backend, server, Who::Anybody) {
                return Some(lease);
            }
        }
        None
    }

    /// Counts a session on this very server, if it takes sessions of such clients.
    pub(super) fn on(
        thread: &Thread,
        view: &Rc<View>,
        backend: usize,
        server: usize,
        who: Who,
    ) -> Option<Self> {
        let server_record = &view.snapshot.backends[backend].servers[server];
        let taken = server_record.take_session(thread.id, who);
        taken.then(|| Self {
            view: view.clone(),
            backend,
            server,
        })
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.view.snapshot.backends[self.backend]
    }

    pub(super) fn edits(&self) -> &Edits {
        &self.view.edits[self.backend]
    }

    pub(super) fn server(&self) -> &Arc<Server> {
        &self.backend().servers[self.server]
    }

    /// The server's position in its backend.
    pub(super) fn position(&self) -> usize {
        self.server
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.backend().config.servers[self.server].address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server().drop_session();
    }
}
