//! Durations as an operator writes and reads them: those of the configuration file.

use std::time::Duration;

/// Reads `"500ms"`, `"90s"`, `"5m"`, `"2h"`.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| form())?;
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(form()),
    };
    number
        .checked_mul(millis_per_unit)
        .map(Duration::from_millis)
        .ok_or_else(|| "that is longer than anybody waits".to_owned())
}

fn form() -> String {
    "a duration is a whole number and a unit, as in 500ms, 90s, 5m or 2h".to_owned()
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
    fn a_duration_has_a_unit() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("2h"), Ok(Duration::from_secs(7200)));
        for wrong in [
            "",
            "5",
            "m",
            "-5m",
            "5 m",
            "1.5h",
            "5d",
            "99999999999999999999s",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("9999999999999999h").is_err());
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
