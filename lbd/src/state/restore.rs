//! What was set and is kept: put back at a start, carried through reloads, and what the
//! configuration has to say about it. Each thing that is lost on the way is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lb_proto::name::ServerId;
use lb_proto::state::Admin;
use tracing::info;

use super::overrides::{AdminOverride, Kept, Remembered, WeightOverride};
use super::{Server, Shared, Snapshot};

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
                    told.extend(restore(server, kept, now));
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

    /// What is set on servers that `self` has and `next` has not.
    fn set_on_gone(&self, next: &Self) -> Vec<Kept> {
        let servers = self.backends.iter().flat_map(|b| &b.servers);
        servers
            .filter(|server| !next.has(&server.id))
            .filter_map(|server| server.overrides.kept(&server.id))
            .collect()
    }

    /// A weight that was set over another than the one configured now counts no more, and is forgotten
    /// unless this is `on_trial`; returns what there is to tell of each server.
    pub(crate) fn end_weights(&self, on_trial: bool) -> Vec<(ServerId, String)> {
        let ended = self.weighed().filter_map(|(server, configured)| {
            let told = end_weight(server, configured, on_trial)?;
            Some((server.id.clone(), told))
        });
        ended.collect()
    }

    /// Its servers, each with its configured weight.
    fn weighed(&self) -> impl Iterator<Item = (&Arc<Server>, u16)> {
        self.backends.iter().flat_map(|backend| {
            let servers = backend.servers.iter().zip(&backend.config.servers);
            servers.map(|(server, config)| (server, config.weight))
        })
    }

    /// The configured weight of each, and the one that counts.
    fn weights(&self) -> HashMap<ServerId, (u16, u16)> {
        let weights = self.weighed().map(|(server, configured)| {
            let counts = server.overrides.weight_over(configured);
            (server.id.clone(), (configured, counts))
        });
        weights.collect()
    }
}

impl Shared {
    /// Takes over from `before`, right before `snapshot` is published; returns what there is to tell,
    /// and what is put aside. `on_trial`: nothing that was set ends, for `before` may come back. What is
    /// set on servers that are gone is put aside, and a weight set over another than the configured one
    /// does not count. A server whose maintenance may have half happened is out when it comes back.
    pub(crate) fn settle(
        &self,
        snapshot: &Snapshot,
        before: &Snapshot,
        on_trial: bool,
    ) -> (Vec<String>, Vec<ServerId>) {
        let weights = before.weights();
        snapshot.settle(before);
        let gone = before.set_on_gone(snapshot);
        let (held, gone): (Vec<_>, Vec<_>) = gone
            .into_iter()
            .partition(|kept| self.is_maintained(&kept.server));
        let ids: Vec<ServerId> = gone.iter().map(|kept| kept.server.clone()).collect();
        let mut told: Vec<String> = ids
            .iter()
            .map(|id| match on_trial {
                true => format!("{id} is gone: what was set on it is kept until this is confirmed"),
                false => format!("{id} is gone, and with it what was set on it"),
            })
            .collect();
        told.extend(held.iter().map(|kept| {
            let id = &kept.server;
            format!(
                "{id} is gone in the midst of a rolling maintenance: what was set on it is kept"
            )
        }));
        let mut aside = self.aside();
        let known = |kept: &Kept| snapshot.has(&kept.server);
        let (back, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *aside).into_iter().partition(known);
        *aside = others;
        let missing_since = Some(Timestamp::now());
        let stays = held
            .into_iter()
            .chain(gone.into_iter().filter(|_| on_trial));
        aside.extend(stays.map(|kept| Kept {
            missing_since,
            ..kept
        }));
        drop(aside);
        told.extend(snapshot.restore(back, Timestamp::now()).1);
        // With everything put back that was set: whoever waits gets no server that is out.
        snapshot.begin();
        let ended = snapshot.end_weights(on_trial);
        told.extend(ended.iter().map(|(id, what)| format!("{id}: {what}")));
        self.tell_of_weights(snapshot, &weights, ended);
        self.overrides_changed();
        let put_aside = if on_trial { ids } else { Vec::new() };
        (told, put_aside)
    }

    /// What was on trial stays, and `gone` with what was set on them do not come back; returns what
    /// there is to tell.
    pub(crate) fn end_trial(&self, gone: &[ServerId]) -> Vec<String> {
        self.aside().retain(|kept| !gone.contains(&kept.server));
        let snapshot = self.snapshot();
        let weights = snapshot.weights();
        let ended = snapshot.end_weights(false);
        let told = ended.iter().map(|(id, what)| format!("{id}: {what}"));
        let told = told.collect();
        self.tell_of_weights(&snapshot, &weights, ended);
        self.overrides_changed();
        told
    }

    /// Tells those who watch, and `explain`, of weights that are others than `before` in effect, and of
    /// what was set and `ended`.
    fn tell_of_weights(
        &self,
        snapshot: &Snapshot,
        before: &HashMap<ServerId, (u16, u16)>,
        ended: Vec<(ServerId, String)>,
    ) {
        let mut ended: HashMap<ServerId, String> = ended.into_iter().collect();
        for (server, configured) in snapshot.weighed() {
            let Some(&(was_configured, was)) = before.get(&server.id) else {
                continue;
            };
            let weight = server.overrides.weight_over(configured);
            let told = ended.remove(&server.id).or_else(|| {
                (weight != was).then(|| {
                    format!(
                        "the configuration changes its weight from {was_configured} to {configured}"
                    )
                })
            });
            if let Some(reason) = told {
                self.emit_weight(server, was, weight, &reason);
            }
        }
    }

    /// Whether it is its turn in a rolling maintenance, which may have stopped there.
    fn is_maintained(&self, id: &ServerId) -> bool {
        let rolling = self.rolling.of(&id.backend);
        let turn = rolling.as_ref().and_then(|rolling| rolling.current());
        turn.is_some_and(|turn| turn.server == id.server)
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

fn restore(server: &Server, kept: Kept, now: Timestamp) -> Option<String> {
    if kept.weight.is_some() || kept.former_weight.is_some() {
        let weights = [kept.weight, kept.former_weight];
        server.overrides.put_weights(weights);
    }
    restore_admin(server, kept.admin?, now)
}

fn restore_admin(server: &Server, set: AdminOverride, now: Timestamp) -> Option<String> {
    let AdminOverride { admin, mark, .. } = &set;
    let left = set.term.map(|term| term.left(now));
    if left == Some(Duration::ZERO) {
        let then = set.before.as_ref();
        let then = then.map_or(Admin::Ready, |before| before.admin);
        let told = format!(
            "{} is {then}: the time that {admin} was set for by {} is over",
            server.id, mark.by
        );
        if let Some(before) = set.before {
            restore_admin(server, *before, now);
        }
        return Some(told);
    }
    info!(server = %server.id, %admin, by = %mark.by, at = %mark.at, reason = mark.reason, "server is as it was set before the start");
    server.set_moves_sticky(set.move_sticky);
    server.write(*admin, server.health());
    let due = left.map(|left| Instant::now() + left);
    server.overrides.set_admin(Some(set), due);
    None
}

/// What becomes of the weights set on a server where the configuration says `configured`, in words; `None`:
/// what was so stays so.
fn end_weight(server: &Server, configured: u16, on_trial: bool) -> Option<String> {
    let [weight, former] = server.overrides.weights();
    let counts = |set: &WeightOverride| set.over == configured;
    let in_words =
        |set: &WeightOverride| format!("the weight {} set by {}", set.weight, set.mark.by);
    let changes = |set: &WeightOverride| {
        let over = set.over;
        format!("the configuration changes its weight from {over} to {configured}")
    };
    if let Some(former) = former.clone().filter(counts) {
        let again = format!("{} counts again", in_words(&former));
        server.overrides.put_weights([Some(former), None]);
        return Some(match weight {
            Some(weight) => format!(
                "{}, which ends {}: {again}",
                changes(&weight),
                in_words(&weight)
            ),
            None => again,
        });
    }
    let dormant = |set: &Option<WeightOverride>| set.clone().filter(|set| !counts(set));
    if on_trial {
        let set = dormant(&weight)?;
        let (changes, set) = (changes(&set), in_words(&set));
        return Some(format!(
            "{changes}: {set} does not count meanwhile, and ends when this is confirmed"
        ));
    }
    let ended = [dormant(&weight), dormant(&former)];
    let ended: Vec<WeightOverride> = ended.into_iter().flatten().collect();
    let first = ended.first()?;
    let all: Vec<String> = ended.iter().map(in_words).collect();
    let told = format!("{}, which ends {}", changes(first), all.join(" and "));
    server.overrides.put_weights([weight.filter(counts), None]);
    Some(told)
}
