//! Durations as operators write them: `"500ms"`, `"2s"`, `"10m"`, `"1h"`, `"1d"`.

use std::time::Duration;

use super::problem::Fault;

/// Timers of HAProxy end at 2^31 ms, a little over 24 days; nothing sensible waits longer.
const LONGEST: Duration = Duration::from_secs(24 * 24 * 60 * 60);

const LONGEST_KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);

const HOW: &str = "write a whole number and a unit (ms, s, m, h or d), as in \"500ms\" or \"2s\"";

/// A number and a unit, nothing else: `"1h30m"`, `"1.5s"` and a number without unit are refused.
pub fn duration(text: &str) -> Result<Duration, Fault> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || Fault::new(format!("`{text}` is not a duration"), HOW);
    if number.is_empty() {
        return Err(wrong());
    }
    if unit.is_empty() {
        return Err(Fault::new(
            format!("`{text}` has no unit"),
            format!("write \"{text}s\" for seconds or \"{text}ms\" for milliseconds"),
        ));
    }
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 60 * 60 * 1_000,
        "d" => 24 * 60 * 60 * 1_000,
        _ => return Err(wrong()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(milliseconds))
        .map(Duration::from_millis)
        .ok_or_else(too_long)
}

/// A duration that something may wait for: above zero, and not for ever.
pub fn timeout(text: &str) -> Result<Duration, Fault> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err(Fault::new(
            "the duration is zero",
            "every timeout and interval is above zero; the shortest is \"1ms\"",
        ));
    }
    if duration > LONGEST {
        return Err(too_long());
    }
    Ok(duration)
}

/// How long a client keeps something, in whole seconds; browsers keep nothing longer than 400 days
/// (RFC 6265bis, 5.5).
pub fn max_age(text: &str) -> Result<Duration, Fault> {
    let duration = duration(text)?;
    if duration.is_zero() || duration.subsec_nanos() != 0 {
        return Err(Fault::new(
            format!("`{text}` is not a whole number of seconds above zero"),
            "write one such as \"1h\" or \"30d\"",
        ));
    }
    if duration > LONGEST_KEPT {
        return Err(Fault::new(
            format!("`{text}` is longer than browsers keep a cookie"),
            "the longest is \"400d\"",
        ));
    }
    Ok(duration)
}

/// The shortest way to write it: what [`duration`] reads back, to the millisecond.
pub fn words(duration: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [
        (24 * 60 * 60 * 1_000, "d"),
        (60 * 60 * 1_000, "h"),
        (60 * 1_000, "m"),
        (1_000, "s"),
    ];
    let milliseconds = duration.as_millis();
    let whole = |(unit, _): &&(u128, &str)| milliseconds > 0 && milliseconds.is_multiple_of(*unit);
    match UNITS.iter().find(whole) {
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}

fn too_long() -> Fault {
    Fault::new(
        "the duration is longer than 24 days",
        "the longest is \"24d\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3_600)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_duration_is_written_as_it_may_be_read() {
        for text in ["0ms", "1ms", "1500ms", "2s", "90s", "10m", "36h", "1d"] {
            assert_eq!(words(duration(text).unwrap()), text);
        }
        assert_eq!(words(Duration::from_secs(60)), "1m");
    }

    #[test]
    fn anything_else_is_refused_and_told_what_is_allowed() {
        for text in [
            "", "s", "ms", "-1s", "1.5s", "1h30m", "2 s", " 2s", "2S", "2sec", "٢s", "1é",
        ] {
            assert_eq!(duration(text).unwrap_err().remedy, HOW, "{text:?}");
        }
        let unitless = duration("30").unwrap_err();
        assert!(unitless.remedy.contains("\"30s\"") && unitless.remedy.contains("\"30ms\""));
        assert!(duration("99999999999999999999s").is_err());
        assert!(duration("18446744073709551615d").is_err());
    }

    #[test]
    fn a_timeout_is_above_zero_and_ends() {
        assert!(timeout("1ms").is_ok() && timeout("24d").is_ok());
        assert!(timeout("0s").is_err() && timeout("0ms").is_err() && timeout("25d").is_err());
    }

    #[test]
    fn an_age_is_in_whole_seconds_and_no_longer_than_browsers_keep_it() {
        assert_eq!(max_age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert!(max_age("1500ms").is_err() && max_age("0s").is_err() && max_age("401d").is_err());
    }
}
