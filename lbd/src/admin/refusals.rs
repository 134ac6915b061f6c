//! Changes that are refused before the control plane hears of them. What a user was refused goes on record; what nobody
//! by name was goes to the log alone, since anybody could fill the record with it.
//!
//! Of each user, and of nobody, the first, and then ever fewer, with a count of those beside it: whoever floods fills
//! no disk, and hides no other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_proto::error::ErrorReply;
use lb_proto::name::ServerId;
use lb_proto::status::By;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::Knows;

/// After the first one; each that is told of doubles it.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// After so long without one it is as in the beginning.
const QUIET: Duration = Duration::from_secs(2 * 60);

/// A change that somebody may not make.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) by: By,
    /// Whose state was to be set; `None`: what was asked for is no name.
    pub(crate) server: Option<ServerId>,
    pub(crate) error: ErrorReply,
}

/// By whom it was refused; `None`: nobody by name.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Option<String>, Pace>>);

#[derive(Debug, Default)]
struct Pace {
    last: Option<Instant>,
    pause: Duration,
    /// Since the last one was told of: the first waits for its turn, the others are counted.
    waiting: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Now,
    At(Instant),
    Counted,
}

impl Pace {
    fn turn(&mut self, now: Instant) -> Turn {
        let next = self.last.map(|last| last + self.pause);
        let Some(next) = next.filter(|next| self.waiting > 0 || now < *next) else {
            self.begin(now);
            return Turn::Now;
        };
        self.waiting += 1;
        match self.waiting {
            1 => Turn::At(next),
            _ => Turn::Counted,
        }
    }

    /// How many were counted beside the one whose turn has come, and within which time.
    fn end(&mut self, now: Instant) -> (u64, Duration) {
        let within = self.pause;
        self.begin(now);
        let waiting = std::mem::take(&mut self.waiting);
        (waiting.saturating_sub(1), within)
    }

    fn begin(&mut self, now: Instant) {
        self.pause = match self.is_quiet(now) {
            true => FIRST,
            false => LONGEST.min(2 * self.pause),
        };
        self.last = Some(now);
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|last| now.duration_since(last) >= QUIET)
    }
}

impl Refusals {
    pub(super) fn note(self: &Arc<Self>, mut refused: Refused, knows: &Arc<Knows>) {
        let now = Instant::now();
        let whose = refused.by.user.clone();
        let turn = {
            let mut paces = self.paces();
            paces.retain(|_, pace| pace.waiting > 0 || !pace.is_quiet(now));
            paces.entry(whose.clone()).or_default().turn(now)
        };
        match turn {
            Turn::Now => tell(refused, knows),
            Turn::Counted => {}
            Turn::At(at) => {
                let (refusals, knows) = (self.clone(), knows.clone());
                tokio::spawn(async move {
                    sleep_until(at).await;
                    let now = Instant::now();
                    let ended = refusals.paces().get_mut(&whose).map(|pace| pace.end(now));
                    if let Some((others @ 1.., within)) = ended {
                        let within = within.as_secs();
                        let told = format!("; {others} more were refused within {within} s");
                        refused.error.message.push_str(&told);
                    }
                    tell(refused, &knows);
                });
            }
        }
    }

    fn paces(&self) -> MutexGuard<'_, HashMap<Option<String>, Pace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(refused: Refused, knows: &Knows) {
    if refused.by.user.is_some() {
        return (knows.refused)(refused);
    }
    let Refused { by, server, error } = refused;
    let server = server.map(|server| server.to_string());
    warn!(%by, server, %error, "[admin] a change was refused");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_of_and_then_ever_fewer_with_a_count() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.turn(start), Turn::Now);
        assert_eq!(pace.turn(start), Turn::At(start + FIRST));
        for _ in 0..1000 {
            assert_eq!(pace.turn(start), Turn::Counted);
        }
        let later = start + FIRST;
        assert_eq!(pace.turn(later), Turn::Counted, "its turn has not ended");
        assert_eq!(pace.end(later), (1001, FIRST));
        assert_eq!(pace.turn(later), Turn::At(later + 2 * FIRST));
        assert_eq!(pace.end(later + 2 * FIRST), (0, 2 * FIRST));
        assert_eq!(pace.turn(later + 6 * FIRST), Turn::Now);
        assert_eq!(pace.turn(later + 6 * FIRST + QUIET), Turn::Now);
        assert_eq!(pace.pause, FIRST);
    }

    #[test]
    fn whoever_goes_on_is_told_of_once_a_minute_whatever_his_pace() {
        for step in [1, 2, 5, 59] {
            let (mut pace, start) = (Pace::default(), Instant::now());
            let (mut told, mut turn) = (0, None);
            for seconds in (0..86_400).step_by(step) {
                let now = start + Duration::from_secs(seconds);
                if turn.take_if(|at| *at <= now).is_some() {
                    pace.end(now);
                    told += 1;
                }
                match pace.turn(now) {
                    Turn::Now => told += 1,
                    Turn::At(at) => turn = Some(at),
                    Turn::Counted => {}
                }
            }
            assert!((700..1450).contains(&told), "{told} each {step} s");
        }
    }
}
