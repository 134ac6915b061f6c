//! Waiting for a condition by its name.

use std::fmt::{Debug, Display};
use std::time::{Duration, Instant};

/// How long a condition may take. Nothing needs a tenth of it on an idle machine; it is long so that
/// a busy one does not fail, and finite so that a hang is reported by what was waited for.
pub const LIMIT: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(5);

/// Asks `look` again and again until it gives a value; panics with what it saw last after [`LIMIT`].
#[track_caller]
pub fn eventually<T, E: Display>(what: &str, look: impl FnMut() -> Result<T, E>) -> T {
    within(LIMIT, what, look)
}

/// [`eventually()`], for what may take longer than [`LIMIT`].
#[track_caller]
pub fn within<T, E: Display>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if started.elapsed() > limit => {
                panic!("waited {limit:?} for this: {what}\nlast seen: {seen}")
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// Whether `seen` is what is wanted; if not, says what was seen, for [`eventually()`].
pub fn is<T: PartialEq + Debug>(seen: T, wanted: T) -> Result<(), String> {
    if seen == wanted {
        Ok(())
    } else {
        Err(format!("{seen:?}, wanted {wanted:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_until_the_condition_holds() {
        let mut seen = 0;
        eventually("three", || {
            seen += 1;
            is(seen, 3)
        });
        assert_eq!(seen, 3);
    }

    #[test]
    #[should_panic(expected = "last seen: 1, wanted 2")]
    fn it_reports_what_it_saw_last() {
        within(Duration::ZERO, "two", || is(1, 2));
    }
}
