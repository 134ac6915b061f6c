//! What was set and is kept: put back at a start, carried through reloads, and what the
//! configuration has to say about it. Each thing that is lost on the way is told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lb_proto::name::ServerId;
use tracing::info;

use super::overrides::{AdminOverride, Kept, Remembered, WeightOverride};
use super::{Backend, Server, Shared, Snapshot};

/// How long something is kept for a server that no configuration has: longer than anybody needs to
/// see that a file was the wrong one.
const FORGET_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Snapshot {
    /// Puts back what is kept for servers that it has, before any of them is given a session. Returns
    /// what is kept for others, and what there is to tell.
    pub(crate) fn restore(&self, kept: Vec<Kept>, now: Timestamp) -> (Vec<Kept>, Vec<String>) {
        let mut kept: HashMap<ServerId, Kept> = kept
            .into_iter()
            .map(|kept| (kept.server.clone(), kept))
            .collect();
        let mut told = Vec::new();
        for backend in self.backends.iter() {
            let mut any = false;
            for server in &backend.servers {
                if let Some(kept) = kept.remove(&server.id) {
                    told.extend(restore(backend, server, kept, now));
                    any = true;
                }
            }
            if any {
                backend.weigh_anew(Instant::now());
            }
        }
        let mut others: Vec<Kept> = kept.into_values().collect();
        others.sort_by(|a, b| a.server.cmp(&b.server));
        others.retain_mut(|other| {
            let since = *other.missing_since.get_or_insert(now);
            let missing = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            let id = &other.server;
            let days = FORGET_AFTER.as_secs() / (24 * 60 * 60);
            let keeps = missing < FORGET_AFTER;
            told.push(match keeps {
                true => format!("{id} is not in the configuration: what was set on it is kept for {days} days"),
                false => format!("{id} has not been in the configuration for {days} days: what was set on it is forgotten"),
            });
            keeps
        });
        (others, told)
    }

    /// What taking over from `before` means for what was set: a weight that the configuration changes
    /// is the configuration's again, and a server that is gone is forgotten.
    pub(super) fn reconcile(&self, before: &Self) -> Vec<String> {
        let mut told = Vec::new();
        for old in before.backends.iter() {
            let backend = self.backend(&old.config.name);
            for server in &old.servers {
                let now = backend.filter(|b| b.server(&server.id.server).is_some());
                match now {
                    Some(backend) => told.extend(weigh_in(backend, server)),
                    None if server.overrides.kept(&server.id).is_some() => {
                        told.push(format!(
                            "{} is gone, and with it what was set on it",
                            server.id
                        ));
                    }
                    None => {}
                }
            }
        }
        told
    }
}

impl Shared {
    /// Takes over from `before`, right before `snapshot` is published; returns what there is to tell.
    pub(crate) fn settle(&self, snapshot: &Snapshot, before: &Snapshot) -> Vec<String> {
        let mut told = snapshot.reconcile(before);
        snapshot.settle(before);
        let aside = std::mem::take(&mut *self.aside());
        let known = |kept: &Kept| {
            let backend = snapshot.backend(&kept.server.backend);
            backend.is_some_and(|b| b.server(&kept.server.server).is_some())
        };
        let (back, aside): (Vec<_>, Vec<_>) = aside.into_iter().partition(known);
        *self.aside() = aside;
        told.extend(snapshot.restore(back, Timestamp::now()).1);
        self.overrides_changed();
        told
    }

    /// Of what was set (`before`), keeps what is of servers that the configuration has no longer: they
    /// may come back. Returns which they are.
    pub(crate) fn put_aside(&self, before: Vec<Kept>) -> Vec<ServerId> {
        let snapshot = self.snapshot();
        let mut aside = self.aside();
        let gone = before.into_iter().filter(|kept| {
            let backend = snapshot.backend(&kept.server.backend);
            let is_there = backend.is_some_and(|b| b.server(&kept.server.server).is_some());
            !is_there && !aside.iter().any(|other| other.server == kept.server)
        });
        let missing_since = Some(Timestamp::now());
        let gone: Vec<Kept> = gone
            .map(|kept| Kept {
                missing_since,
                ..kept
            })
            .collect();
        let ids = gone.iter().map(|kept| kept.server.clone()).collect();
        aside.extend(gone);
        drop(aside);
        self.overrides_changed();
        ids
    }

    /// Forgets what is kept for servers that do not come back.
    pub(crate) fn forget_aside(&self, servers: &[ServerId]) {
        self.aside().retain(|kept| !servers.contains(&kept.server));
        self.overrides_changed();
    }

    /// Everything that is to outlive the process.
    pub(crate) fn kept(&self) -> Remembered {
        let snapshot = self.snapshot();
        let servers = snapshot.backends.iter().flat_map(|b| &b.servers);
        let set = servers.filter_map(|server| server.overrides.kept(&server.id));
        Remembered {
            servers: set.chain(self.aside().iter().cloned()).collect(),
            rolling: self.rolling.all(),
        }
    }
}

fn restore(backend: &Backend, server: &Server, kept: Kept, now: Timestamp) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(admin) = kept.admin {
        told.extend(restore_admin(server, admin, now));
    }
    if let Some(weight) = kept.weight {
        server.overrides.set_weight(Some(weight));
        told.extend(weigh_in(backend, server));
    }
    told
}

fn restore_admin(server: &Server, set: AdminOverride, now: Timestamp) -> Option<String> {
    let AdminOverride { admin, mark, .. } = &set;
    let left = set.term.map(|term| term.left(now));
    if left == Some(Duration::ZERO) {
        return Some(format!(
            "{} is ready: the time that {admin} was set for by {} is over",
            server.id, mark.by
        ));
    }
    info!(server = %server.id, %admin, by = %mark.by, at = %mark.at, reason = mark.reason, "server is as it was set before the start");
    server.set_moves_sticky(set.move_sticky);
    server.write(*admin, server.health());
    let due = left.map(|left| Instant::now() + left);
    server.overrides.set_admin(Some(set), due);
    None
}

/// Drops a weight that was set over another than the one configured now.
fn weigh_in(backend: &Backend, server: &Server) -> Option<String> {
    let WeightOverride { weight, over, mark } = server.overrides.weight()?;
    let configured = backend.server_config(&server.id.server)?.weight;
    if over == configured {
        return None;
    }
    server.overrides.set_weight(None);
    Some(format!(
        "{}: the configuration changes its weight from {over} to {configured}, which ends the weight {weight} set by {}",
        server.id, mark.by
    ))
}
