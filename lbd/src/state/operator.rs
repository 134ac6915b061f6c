//! What operators ask of servers: marked with who, when and why, carried out, and undone when its
//! time is over.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use lb_proto::reason::Reason;
use lb_proto::state::Admin;
use lb_proto::status::By;
use tracing::info;

use super::overrides::{AdminOverride, Mark, Term, WeightOverride};
use super::{Backend, Server, Shared};

/// What is asked of a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) admin: Admin,
    /// Whether clients that its cookie names are sent elsewhere; `None`: as it is.
    pub(crate) move_sticky: Option<bool>,
    /// It is ready again after this time.
    pub(crate) lasts: Option<Duration>,
    /// The sessions that it has are closed.
    pub(crate) kill: bool,
}

impl Shared {
    /// Sets a server's admin state, in somebody's name. What was set before, and its term, is over.
    /// Returns how many sessions are closed, if any are to be.
    pub(crate) fn ask(
        &self,
        server: &Server,
        ask: Ask,
        by: By,
        reason: Option<&Reason>,
    ) -> Option<u64> {
        let Ask {
            admin,
            move_sticky,
            lasts,
            kill,
        } = ask;
        let before = server.overrides.admin();
        // Who says the same again, as to wait on, need not say again why.
        let is_again = |said: &&AdminOverride| said.admin == admin && said.mark.by.is_also(&by);
        let said = before.as_ref().filter(is_again);
        let is_same = said.is_some();
        let said = said.and_then(|said| said.mark.reason.clone());
        let before = before.filter(|_| lasts.is_some());
        let before = before.and_then(|set| match (&set.term, is_same) {
            (Some(_), _) => set.before,
            // Whoever set it for good says now for how long.
            (None, true) => None,
            (None, false) => Some(Box::new(set)),
        });
        let mark = mark(by, reason.map(|reason| reason.to_string()).or(said));
        let words = in_words(&mark, lasts);
        let term = lasts.map(|lasts| Term::new(mark.at, lasts));
        let due = lasts.map(|lasts| Instant::now() + lasts);
        let stays = admin != Admin::Ready && server.moves_sticky();
        let set = AdminOverride {
            admin,
            move_sticky: move_sticky.unwrap_or(stays),
            term,
            before,
            mark,
        };
        // Before the state, so that whoever hears of that finds this.
        let set = Some(set).filter(|set| set.admin != Admin::Ready);
        server.overrides.set_admin(set, due);
        match move_sticky {
            Some(moves) if admin == Admin::Drain => self.drain(server, moves, &words),
            _ => self.set_admin(server, admin, &words),
        }
        self.overrides_changed();
        kill.then(|| {
            let sessions = self.kill(server);
            info!(server = %server.id, sessions, reason = words, "sessions are closed");
            sessions
        })
    }

    /// Sets a server's weight, in somebody's name; `None`: the configured one counts again. Returns
    /// what it was.
    pub(crate) fn set_weight(
        &self,
        backend: &Backend,
        server: &Server,
        weight: Option<u16>,
        by: By,
        reason: Option<&Reason>,
    ) -> u16 {
        let configured = backend.server_config(&server.id.server);
        let configured = configured.map_or(0, |config| config.weight);
        let was = server.overrides.weight_over(configured);
        let weight = weight.filter(|weight| *weight != configured);
        let mark = mark(by, reason.map(|reason| reason.to_string()));
        let words = in_words(&mark, None);
        let set = weight.map(|weight| WeightOverride {
            weight,
            over: configured,
            mark,
        });
        server.overrides.set_weight(set, configured);
        let weight = weight.unwrap_or(configured);
        if weight != was {
            backend.weigh_anew(Instant::now());
            self.emit_weight(server, was, weight, &words);
        }
        info!(server = %server.id, was, weight, configured, reason = words, "weight set");
        self.overrides_changed();
        was
    }

    /// Puts back what was set for a time that is over by now; returns when the next one will be.
    pub(crate) fn end_terms(&self, now: Instant) -> Option<Instant> {
        let snapshot = self.snapshot();
        let mut next: Option<Instant> = None;
        for server in snapshot.backends.iter().flat_map(|b| &b.servers) {
            let (Some(due), Some(set)) = (server.overrides.due(), server.overrides.admin()) else {
                continue;
            };
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            let mut words = format!(
                "again, the time is over that {} was set for {}",
                set.admin,
                in_words(&set.mark, None)
            );
            let then = set.before.map(|before| *before);
            if let Some(then) = &then {
                words.push_str(&format!("; as set before {}", in_words(&then.mark, None)));
            }
            let admin = then.as_ref().map_or(Admin::Ready, |then| then.admin);
            let moves = then.as_ref().is_some_and(|then| then.move_sticky);
            server.overrides.set_admin(then, None);
            match admin {
                Admin::Drain => self.drain(server, moves, &words),
                admin => self.set_admin(server, admin, &words),
            }
            self.overrides_changed();
        }
        next
    }
}

fn mark(by: By, reason: Option<String>) -> Mark {
    let now = Timestamp::now();
    Mark {
        // What people read has no nanoseconds.
        at: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
        by,
        reason,
    }
}

/// `by ops (uid 1000, pid 4711), for 1800 s: kernel update`
fn in_words(mark: &Mark, lasts: Option<Duration>) -> String {
    let lasts = lasts.map_or(String::new(), |lasts| {
        format!(", for {} s", lasts.as_secs())
    });
    let reason = mark.reason.as_ref();
    let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
    format!("by {}{lasts}{reason}", mark.by)
}
