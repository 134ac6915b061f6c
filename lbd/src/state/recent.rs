//! What happened lately: so many events, the oldest are forgotten first.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use lb_proto::event::Event;

/// Some hundred bytes each. A day of an ordinary site, an hour of one where much goes up and down.
const MOST: usize = 4096;

/// Only the control plane writes and reads it.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<Event>>);

impl Recent {
    pub(super) fn add(&self, event: Event) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == MOST {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// Those that are not older, oldest first.
    pub(super) fn since(&self, since: Option<Timestamp>) -> Vec<Event> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |event: &Event| event.at()?.parse::<Timestamp>().ok();
        let wanted =
            |event: &&Event| since.is_none_or(|since| at(event).is_none_or(|at| at >= since));
        events.iter().filter(wanted).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_those_since_a_time_are_found() {
        let recent = Recent::default();
        for generation in 0..MOST as u64 + 10 {
            let at = Timestamp::from_second(generation as i64)
                .unwrap()
                .to_string();
            recent.add(Event::Config {
                at,
                generation,
                reason: String::new(),
            });
        }
        let all = recent.since(None);
        assert_eq!(all.len(), MOST);
        assert!(matches!(all[0], Event::Config { generation: 10, .. }));
        let last = Timestamp::from_second(MOST as i64 + 8).unwrap();
        assert_eq!(recent.since(Some(last)), all[MOST - 2..]);
    }
}
