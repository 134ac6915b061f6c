//! All that the page shows, as text: what is rendered at first, and what of it has changed since. Pure.

use std::collections::HashSet;

use lb_proto::event::Event;
use lb_proto::state::State;
use lb_proto::status::{BackendStatus, ServerStatus, Status};

use super::words::Clock;
use super::{attention, rows, server, told};
use crate::admin::history::Reading;

/// Servers on one page, those first that need attention: more than anybody looks at, and what a browser lays out
/// at once.
const MOST_SERVERS: usize = 1_000;

/// What a page is made of.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) status: &'a Status,
    pub(super) history: &'a Reading<'a>,
    /// Oldest first.
    pub(super) events: &'a [Event],
    pub(super) clock: &'a Clock,
    /// The name of the machine.
    pub(super) host: &'a str,
    pub(super) stopping: bool,
}

/// Texts by the names of their places on the page, always in the same order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cells(Vec<(&'static str, String)>);

impl Cells {
    pub(super) fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.0.push((name, text.into()));
        self
    }

    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, text)| text)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, text)| (*name, text.as_str()))
    }

    /// Those that had other texts.
    pub(super) fn changed_since<'a>(
        &'a self,
        was: Option<&'a Self>,
    ) -> impl Iterator<Item = (&'static str, &'a str)> {
        let cells = self.0.iter().enumerate();
        let changed =
            cells.filter(move |(at, cell)| was.and_then(|was| was.0.get(*at)) != Some(cell));
        changed.map(|(_, (name, text))| (*name, text.as_str()))
    }
}

/// Something with a place of its own, which keeps its key for as long as it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) cells: Cells,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) row: Row,
    pub(super) servers: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) daemon: Row,
    /// What is wrong or under way, worst first.
    pub(super) attention: Vec<Cells>,
    pub(super) pools: Vec<Pool>,
    pub(super) frontends: Vec<Row>,
    pub(super) certificates: Vec<Row>,
    /// Latest first.
    pub(super) events: Vec<Cells>,
}

impl View {
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        let Status {
            frontends,
            backends,
            certificates,
            ..
        } = seen.status;
        let shown = shown(backends, MOST_SERVERS);
        let pools = backends.iter().enumerate().map(|(at, backend)| {
            let servers = backend.servers.iter().enumerate();
            let servers =
                servers.filter(|(n, _)| shown.as_ref().is_none_or(|s| s.contains(&(at, *n))));
            let servers: Vec<Row> = servers
                .map(|(_, one)| server::row(backend, one, seen))
                .collect();
            Pool {
                row: rows::pool(backend, servers.len()),
                servers,
            }
        });
        Self {
            daemon: rows::daemon(seen),
            attention: attention::list(seen),
            pools: pools.collect(),
            frontends: frontends
                .iter()
                .map(|f| rows::frontend(f, seen.history))
                .collect(),
            certificates: certificates
                .iter()
                .map(|c| rows::certificate(c, seen.clock))
                .collect(),
            events: told::list(seen.events, seen.clock),
        }
    }

    /// Everything that has a place of its own, in the order of the page.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        let pools = self.pools.iter();
        std::iter::once(&self.daemon)
            .chain(pools.flat_map(|pool| std::iter::once(&pool.row).chain(&pool.servers)))
            .chain(&self.frontends)
            .chain(&self.certificates)
    }

    pub(super) fn lists(&self) -> [(&'static str, &[Cells]); 2] {
        [("attention", &self.attention), ("events", &self.events)]
    }
}

/// Backend and server by number, where there are too many; `None`: all.
fn shown(backends: &[BackendStatus], most: usize) -> Option<HashSet<(usize, usize)>> {
    let all: usize = backends.iter().map(|backend| backend.servers.len()).sum();
    if all <= most {
        return None;
    }
    let numbered = backends.iter().enumerate().flat_map(|(at, backend)| {
        let servers = backend.servers.iter().enumerate();
        servers.map(move |(n, server)| ((at, n), server))
    });
    let (well, ill): (Vec<_>, Vec<_>) = numbered.partition(|(_, server)| is_well(server));
    let first = ill.into_iter().chain(well).take(most);
    Some(first.map(|(number, _)| number).collect())
}

/// The id on the page of what has this key.
pub(super) fn anchor(key: &str) -> String {
    key.replace(' ', "-")
}

/// It takes sessions like any other.
pub(super) fn is_well(server: &ServerStatus) -> bool {
    server.state == State::Up && server.ejected.is_none()
}
