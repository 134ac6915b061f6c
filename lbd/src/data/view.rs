//! A data thread's own copy of the snapshot, with what is derived from it once.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use lb_proto::config;

use super::ByUid;
use super::balance::Picker;
use super::connect::Way;
use super::header_rules::HeaderRules;
use super::route::Routes;
use super::sticky::Sticky;
use crate::state::Snapshot;

/// Counted without atomics: a request holds one, and never sees half a reload.
#[derive(Debug)]
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    /// Some server is sent PROXY headers.
    pub(super) introduces: bool,
    /// In the order of the snapshot's frontends.
    pub(super) routes: Vec<Routes>,
    /// For requests without TLS where those are redirected: the routes that come before that.
    pub(super) plain: Vec<Option<Routes>>,
    /// In the order of the snapshot's backends.
    pub(super) edits: Vec<Edits>,
    /// Which frontend a listener belongs to.
    by_listener: ByUid<usize>,
    /// Each server's backend and position, by uid.
    servers: ByUid<(usize, usize)>,
    /// In the order of the snapshot's backends.
    pickers: RefCell<Vec<Option<Made>>>,
}

/// A picker, and the version of the shares that it was made from.
type Made = (u32, Rc<Picker>);

/// What a backend changes in the messages that pass.
#[derive(Debug)]
pub(super) struct Edits {
    pub(super) request: HeaderRules,
    pub(super) response: HeaderRules,
    pub(super) sticky: Option<Sticky>,
}

impl View {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        let routes = snapshot.frontends.iter().map(|frontend| {
            let config = &frontend.config;
            let default = config.default_backend.as_ref();
            Routes::new(&config.routes, default, |name| {
                snapshot.backend_position(name)
            })
        });
        let plain = snapshot.frontends.iter().map(|frontend| {
            frontend.config.https_redirect?;
            let plain = frontend.config.routes.iter().filter(|route| route.plain);
            let position = |name: &_| snapshot.backend_position(name);
            Some(Routes::new(plain, None, position))
        });
        let by_listener = snapshot
            .frontends
            .iter()
            .enumerate()
            .flat_map(|(i, frontend)| frontend.listeners.iter().map(move |l| (l.uid, i)))
            .collect();
        let servers = snapshot
            .backends
            .iter()
            .enumerate()
            .flat_map(|(b, backend)| {
                backend
                    .servers
                    .iter()
                    .enumerate()
                    .map(move |(s, server)| (server.uid, (b, s)))
            });
        let edits = snapshot.backends.iter().map(|backend| Edits {
            request: HeaderRules::new(&backend.config.request_headers),
            response: HeaderRules::new(&backend.config.response_headers),
            sticky: Sticky::new(&backend.config),
        });
        let mut backends = snapshot.backends.iter();
        let introduces = |server: &config::Server| server.send_proxy.is_some();
        Self {
            introduces: backends.any(|backend| backend.config.servers.iter().any(introduces)),
            edits: edits.collect(),
            servers: servers.collect(),
            routes: routes.collect(),
            plain: plain.collect(),
            by_listener,
            pickers: RefCell::new(vec![None; snapshot.backends.len()]),
            snapshot,
        }
    }

    pub(super) fn frontend_of(&self, listener: u64) -> Option<usize> {
        self.by_listener.get(&listener).copied()
    }

    /// A server's backend and its position there, by its uid.
    pub(super) fn position(&self, server: u64) -> Option<(usize, usize)> {
        self.servers.get(&server).copied()
    }

    /// Whether the sessions of a server are closed, by its uid.
    pub(super) fn is_killed(&self, server: u64) -> bool {
        let position = self.position(server);
        position.is_some_and(|(backend, server)| {
            self.snapshot.backends[backend].servers[server].is_killed()
        })
    }

    /// The way to a server now, by its uid; `None` where it was removed.
    pub(super) fn way(&self, server: u64) -> Option<Way> {
        let (backend, position) = *self.servers.get(&server)?;
        let backend = &self.snapshot.backends[backend];
        let server = &backend.servers[position];
        let tls = backend.originators[position].as_ref();
        Some(Way::new(server, server.location.address()?, tls))
    }

    /// What servers of a backend are picked with, as their shares are now.
    pub(super) fn picker(&self, backend: usize) -> Rc<Picker> {
        let state = &self.snapshot.backends[backend];
        let version = state.pool.version();
        let mut pickers = self.pickers.borrow_mut();
        if let Some((of, picker)) = &pickers[backend]
            && *of == version
        {
            return picker.clone();
        }
        let picker = Rc::new(Picker::new(state));
        pickers[backend] = Some((version, picker.clone()));
        picker
    }
}
