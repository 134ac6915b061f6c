//! Changes that are refused before the control plane hears of them: which of them go on record. One a second, with a
//! count of those beside it: whoever floods fills no disk.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_proto::error::ErrorReply;
use lb_proto::status::By;
use tokio::time::{Instant, sleep_until};

use super::Knows;

const PAUSE: Duration = Duration::from_secs(1);

/// A change that somebody may not make.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) by: By,
    /// Whose state was to be set, as it was asked for.
    pub(crate) server: String,
    pub(crate) error: ErrorReply,
}

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Pace>);

#[derive(Debug, Default)]
struct Pace {
    next: Option<Instant>,
    /// Since the last one went on record: the first waits for its turn, the others are counted.
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
        let next = self.next.filter(|next| now < *next);
        let Some(next) = next.or(self.next.filter(|_| self.waiting > 0)) else {
            self.next = Some(now + PAUSE);
            return Turn::Now;
        };
        self.waiting += 1;
        match self.waiting {
            1 => Turn::At(next),
            _ => Turn::Counted,
        }
    }

    /// How many were counted beside the one whose turn has come.
    fn end(&mut self, now: Instant) -> u64 {
        self.next = Some(now + PAUSE);
        std::mem::take(&mut self.waiting).saturating_sub(1)
    }
}

impl Refusals {
    pub(super) fn note(self: &Arc<Self>, mut refused: Refused, knows: &Arc<Knows>) {
        let turn = self.pace().turn(Instant::now());
        match turn {
            Turn::Now => (knows.refused)(refused),
            Turn::Counted => {}
            Turn::At(at) => {
                let (refusals, knows) = (self.clone(), knows.clone());
                tokio::spawn(async move {
                    sleep_until(at).await;
                    let others = refusals.pace().end(Instant::now());
                    if others > 0 {
                        let told = format!("; {others} more were refused within the same second");
                        refused.error.message.push_str(&told);
                    }
                    (knows.refused)(refused);
                });
            }
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_goes_on_record_and_the_others_are_counted() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.turn(start), Turn::Now);
        assert_eq!(pace.turn(start), Turn::At(start + PAUSE));
        for _ in 0..1000 {
            assert_eq!(pace.turn(start), Turn::Counted);
        }
        let later = start + PAUSE;
        assert_eq!(pace.turn(later), Turn::Counted, "its turn has not ended");
        assert_eq!(pace.end(later), 1001);
        assert_eq!(pace.turn(later), Turn::At(later + PAUSE));
        assert_eq!(pace.end(later + PAUSE), 0);
        assert_eq!(pace.turn(later + 2 * PAUSE), Turn::Now);
    }
}
