//! Counts successes and failures in a row until they change a server's health. Pure.

use lb_proto::state::Health;

/// The judge of one server.
///
/// | health    | what changes it                            |
/// |-----------|--------------------------------------------|
/// | unchecked | the first result, at once                  |
/// | up        | `fall` failures in a row                   |
/// | down      | `rise` successes in a row                  |
#[derive(Debug)]
pub(super) struct Verdict {
    health: Health,
    rise: u32,
    fall: u32,
    /// Results in a row that speak against `health`.
    against: u32,
}

/// A change of health, and how many results in a row made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) health: Health,
    pub(super) results: u32,
}

impl Verdict {
    /// Starts from `health`, with no results seen.
    pub(super) fn new(health: Health, rise: u32, fall: u32) -> Self {
        Self {
            health,
            rise,
            fall,
            against: 0,
        }
    }

    /// Results in a row that speak against the server's health.
    pub(super) fn against(&self) -> u32 {
        self.against
    }

    /// Hears a result; says so when it changes the server's health.
    pub(super) fn hear(&mut self, ok: bool) -> Option<Change> {
        let (health, needed) = match (self.health, ok) {
            (Health::Up, true) | (Health::Down, false) => {
                self.against = 0;
                return None;
            }
            (Health::Unchecked, true) => (Health::Up, 1),
            (Health::Unchecked, false) => (Health::Down, 1),
            (Health::Up, false) => (Health::Down, self.fall),
            (Health::Down, true) => (Health::Up, self.rise),
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        let results = std::mem::take(&mut self.against);
        self.health = health;
        Some(Change { health, results })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Results as `+` and `-`; the health after each as `u` and `d`, `?` for unchecked.
    #[test]
    fn health_follows_results_in_a_row() {
        let table = [
            // start, results, health after each (rise 2, fall 3)
            (Health::Unchecked, "+", "u"),
            (Health::Unchecked, "-", "d"),
            (Health::Unchecked, "+---", "uuud"),
            (Health::Unchecked, "-++", "ddu"),
            (Health::Up, "--+--+---", "uuuuuuuud"),
            (Health::Down, "+-+-++", "dddddu"),
            (Health::Down, "++---++", "duuuddu"),
        ];
        for (start, results, expected) in table {
            let mut verdict = Verdict::new(start, 2, 3);
            let after: String = results
                .chars()
                .map(|result| {
                    verdict.hear(result == '+');
                    match verdict.health {
                        Health::Up => 'u',
                        Health::Down => 'd',
                        Health::Unchecked => '?',
                    }
                })
                .collect();
            assert_eq!(after, expected, "{start} {results}");
        }
    }

    #[test]
    fn a_change_says_how_many_results_made_it() {
        let mut verdict = Verdict::new(Health::Up, 2, 2);
        assert_eq!(verdict.hear(false), None);
        assert_eq!(verdict.against(), 1);
        let change = verdict.hear(false).unwrap();
        assert_eq!((change.health, change.results), (Health::Down, 2));
        assert_eq!(verdict.hear(false), None);
    }
}
