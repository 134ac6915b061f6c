//! What operators set on a server against the configuration: what, who, when, why and until when.
//! Pure but for the lock; what follows from it is [`super::operator`]'s.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lb_proto::name::{BackendName, ServerId};
use lb_proto::rolling::Rolling;
use lb_proto::state::Admin;
use lb_proto::status::{self, By};
use serde::{Deserialize, Serialize};

use super::wall_clock;

/// Who set it, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) at: Timestamp,
    pub(crate) by: By,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// The server is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdminOverride {
    pub(crate) admin: Admin,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) move_sticky: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) term: Option<Term>,
    /// With a term: what was set before without one, and is so again when this ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Box<AdminOverride>>,
    #[serde(flatten)]
    pub(crate) mark: Mark,
}

/// When it ends by itself. By the clock of the wall, which goes on while lbd does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Term {
    pub(crate) until: Timestamp,
    /// How long it was to last.
    pub(crate) for_s: u64,
}

/// The server has another weight than configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WeightOverride {
    pub(crate) weight: u16,
    /// The configured one at the time. Once the configuration says another, that one counts.
    pub(crate) over: u16,
    #[serde(flatten)]
    pub(crate) mark: Mark,
}

/// Everything that was set on one server, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) server: ServerId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<AdminOverride>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<WeightOverride>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) former_weight: Option<WeightOverride>,
    /// Since when no configuration has had the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) missing_since: Option<Timestamp>,
}

/// Everything that outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) servers: Vec<Kept>,
    /// Rolling maintenances that are on, or stopped part-way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) rolling: BTreeMap<BackendName, Rolling>,
}

impl Term {
    pub(crate) fn new(now: Timestamp, lasts: Duration) -> Self {
        Self {
            until: now.saturating_add(lasts).unwrap_or(Timestamp::MAX),
            for_s: lasts.as_secs(),
        }
    }

    /// What is left of it: never more than the whole, whatever became of the clock.
    pub(crate) fn left(&self, now: Timestamp) -> Duration {
        let left = Duration::try_from(self.until.duration_since(now)).unwrap_or(Duration::ZERO);
        left.min(Duration::from_secs(self.for_s))
    }
}

/// The overrides of a server. Only the control plane reads and writes them.
#[derive(Debug, Default)]
pub(crate) struct Overrides(Mutex<Set>);

#[derive(Debug, Default)]
struct Set {
    admin: Option<AdminOverride>,
    /// Since when, and when its term ends: a clock that is set meanwhile moves neither.
    since: Option<Instant>,
    due: Option<Instant>,
    weight: Option<WeightOverride>,
    /// What was set before a trial that has another weight, where something was set on trial as well: it
    /// comes back with the configuration that it was set over.
    former_weight: Option<WeightOverride>,
}

impl Overrides {
    pub(crate) fn admin(&self) -> Option<AdminOverride> {
        self.lock().admin.clone()
    }

    pub(super) fn set_admin(&self, admin: Option<AdminOverride>, due: Option<Instant>) {
        let mut set = self.lock();
        let began = |admin: &AdminOverride| {
            wall_clock::began(admin.mark.at, Timestamp::now(), Instant::now())
        };
        set.since = admin.as_ref().map(began);
        set.admin = admin;
        set.due = due;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.lock().due
    }

    /// The one set last, and the one from before a trial.
    pub(super) fn weights(&self) -> [Option<WeightOverride>; 2] {
        let set = self.lock();
        [set.weight.clone(), set.former_weight.clone()]
    }

    /// The weight that counts where the configuration says `configured`.
    pub(crate) fn weight_over(&self, configured: u16) -> u16 {
        let set = self.lock();
        let mut all = set.weight.iter().chain(&set.former_weight);
        let counts = all.find(|weight| weight.over == configured);
        counts.map_or(configured, |set| set.weight)
    }

    /// Sets another where the configuration says `configured`. One that does not count there is of before a
    /// trial: it may come back, the first of several.
    pub(super) fn set_weight(&self, weight: Option<WeightOverride>, configured: u16) {
        let mut set = self.lock();
        let dormant = set.weight.take().filter(|old| old.over != configured);
        set.former_weight = set.former_weight.take().or(dormant);
        set.weight = weight;
    }

    pub(super) fn put_weights(&self, [weight, former]: [Option<WeightOverride>; 2]) {
        let mut set = self.lock();
        set.weight = weight;
        set.former_weight = former;
    }

    pub(super) fn clear(&self) {
        *self.lock() = Set::default();
    }

    /// As it is to be kept, if anything is set.
    pub(super) fn kept(&self, server: &ServerId) -> Option<Kept> {
        let set = self.lock();
        let any = set.admin.is_some() || set.weight.is_some() || set.former_weight.is_some();
        any.then(|| Kept {
            server: server.clone(),
            admin: set.admin.clone(),
            weight: set.weight.clone(),
            former_weight: set.former_weight.clone(),
            missing_since: None,
        })
    }

    /// What counts where the configuration says the weight `configured`.
    pub(crate) fn status(&self, now: Timestamp, configured: u16) -> status::Overrides {
        let set = self.lock();
        let weight = set.weight.as_ref().filter(|set| set.over == configured);
        let left = set
            .due
            .map(|due| due.saturating_duration_since(Instant::now()));
        let until = |term: Term| match left {
            Some(left) => wall_clock::comes(term.until, left, now),
            None => term.until,
        };
        status::Overrides {
            admin: set.admin.as_ref().map(|admin| status::Override {
                until: admin.term.map(|term| until(term).to_string()),
                left_s: left.map(|left| left.as_millis().div_ceil(1000) as u64),
                then: admin.before.as_ref().map(|before| before.admin),
                age_s: set.since.map_or(0, |since| since.elapsed().as_secs()),
                ..admin.mark.status(now)
            }),
            weight: weight.map(|weight| weight.mark.status(now)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mark {
    fn status(&self, now: Timestamp) -> status::Override {
        status::Override {
            at: self.at.to_string(),
            age_s: now.duration_since(self.at).as_secs().max(0).cast_unsigned(),
            by: self.by.clone(),
            reason: self.reason.clone(),
            until: None,
            left_s: None,
            then: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_at_its_time_and_a_clock_set_back_does_not_make_it_longer() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let term = Term::new(start, Duration::from_secs(600));
        let left = |later: i64| {
            let now = start + jiff::SignedDuration::from_secs(later);
            term.left(now).as_secs()
        };
        assert_eq!((left(0), left(200), left(600)), (600, 400, 0));
        assert_eq!(left(1_000_000), 0);
        assert_eq!(left(-1_000_000_000), 600);
    }

    #[test]
    fn a_weight_counts_over_the_configured_one_that_it_was_set_over() {
        let overrides = Overrides::default();
        assert_eq!(overrides.weight_over(3), 3);
        let set = |weight, over| {
            let mark = Mark {
                at: Timestamp::UNIX_EPOCH,
                by: By::default(),
                reason: None,
            };
            overrides.set_weight(Some(WeightOverride { weight, over, mark }), over);
        };
        let counts = |configured| overrides.weight_over(configured);
        set(9, 3);
        assert_eq!((counts(3), counts(4)), (9, 4));
        // On trial: what was set before it comes back with what was configured then.
        set(8, 4);
        assert_eq!((counts(3), counts(4), counts(5)), (9, 8, 5));
        set(7, 5);
        assert_eq!((counts(3), counts(4), counts(5)), (9, 4, 7));
        overrides.set_weight(None, 5);
        assert_eq!((counts(3), counts(5)), (9, 5));
    }
}
