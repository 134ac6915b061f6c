//! Durations as an operator writes and reads them: those of the configuration file.

use std::time::Duration;

use lb_proto::config::units;
use lb_proto::request::{MAX_CONFIRM_WITHIN_S, MAX_FOR_S};

/// Reads `"500ms"`, `"90s"`, `"5m"`, `"2h"`, in the very words of the configuration file.
///
/// # Errors
/// What is wrong and how to write it, in one sentence.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|fault| format!("{}; {}", fault.message, fault.remedy))
}

/// How long somebody may take to confirm: whole seconds, up to a day.
///
/// # Errors
/// As [`parse`].
pub(crate) fn confirm_within(text: &str) -> Result<Duration, String> {
    let within = parse(text)?;
    let whole = within.subsec_nanos() == 0;
    match whole && (1..=MAX_CONFIRM_WITHIN_S).contains(&within.as_secs()) {
        true => Ok(within),
        false => Err("write whole seconds from \"1s\" to \"1d\", as in \"2m\"".to_owned()),
    }
}

/// How long servers may stay out by themselves: from a second to as long as a configuration can say.
///
/// # Errors
/// As [`parse`].
pub(crate) fn lasts(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(MAX_FOR_S);
    let lasts = parse(text)?;
    match bounds.contains(&lasts) {
        true => Ok(lasts),
        false => Err("write \"1s\" to \"24d\", as in \"2h\"".to_owned()),
    }
}

/// `3.2s` below ten seconds, then `14s`, `5m`, `3m12s`, `2h05m`, `3d04h`: two units are enough.
pub(crate) fn words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 if duration.subsec_millis() >= 50 => format!("{:.1}s", duration.as_secs_f64()),
        0..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, 'm', seconds % 60, 's'),
        3_600..86_400 => two(seconds / 3_600, 'h', seconds / 60 % 60, 'm'),
        _ => two(seconds / 86_400, 'd', seconds / 3_600 % 24, 'h'),
    }
}

fn two(many: u64, unit: char, rest: u64, rest_unit: char) -> String {
    match rest {
        0 => format!("{many}{unit}"),
        _ => format!("{many}{unit}{rest:02}{rest_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_duration_is_told_how_to_write_one() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        let told = parse("5").unwrap_err();
        assert!(told.contains("5s"), "{told}");
    }

    #[test]
    fn servers_stay_out_for_a_second_to_24_days() {
        assert_eq!(lasts("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(lasts("24d"), Ok(Duration::from_secs(MAX_FOR_S)));
        for bad in ["0s", "999ms"] {
            let told = lasts(bad).unwrap_err();
            assert!(told.contains("1s") && told.contains("24d"), "{told}");
        }
        assert!(lasts("25d").is_err());
    }

    #[test]
    fn a_duration_reads_in_two_units_at_most() {
        let of = |millis| words(Duration::from_millis(millis));
        assert_eq!(of(0), "0s");
        assert_eq!(of(3_240), "3.2s");
        assert_eq!(of(3_000), "3s");
        assert_eq!(of(14_900), "14s");
        assert_eq!(of(300_000), "5m");
        assert_eq!(of(192_000), "3m12s");
        assert_eq!(of(7_500_000), "2h05m");
        assert_eq!(of(273_600_000), "3d04h");
    }
}
