//! Numbers, times and people in few words. Pure.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lb_proto::status::{By, Override};

use crate::admin::history::Quantile;

/// What stands where there is nothing to tell.
pub(super) const NOTHING: &str = "–";

/// `1 session`, `3 sessions`
pub(super) fn count(count: u64, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", number(count)),
    }
}

/// In groups of three: `12 345 678`, with spaces that do not break.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `0 B`, `812 B`, `1.2 MiB`, `34 GiB`
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{} {}", short(value), UNITS[unit])
}

/// `0/s`, `0.2/s`, `7.5/s`, `1 204/s`
pub(super) fn rate(rate: Option<f64>) -> String {
    rate.map_or_else(|| NOTHING.to_owned(), |rate| format!("{}/s", short(rate)))
}

/// `0 %`, `<0.1 %`, `2.5 %`; nothing of nothing.
pub(super) fn share(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / whole as f64;
    match (part, whole) {
        (_, 0) => NOTHING.to_owned(),
        (0, _) => "0 %".to_owned(),
        _ if percent < 0.1 => "<0.1 %".to_owned(),
        _ => format!("{} %", short(percent)),
    }
}

/// A digit after the point where there is only one before it.
fn short(value: f64) -> String {
    match value {
        none if none <= 0.0 => "0".to_owned(),
        tiny if tiny < 0.05 => "<0.1".to_owned(),
        small if small < 9.95 => format!("{small:.1}"),
        large => number(large.round() as u64),
    }
}

/// `<5 ms`, `37 ms`, `1.2 s`, `>10 s`
pub(super) fn quantile(quantile: Quantile) -> String {
    let (sign, time) = match quantile {
        Quantile::Under(time) => ("<", time),
        Quantile::About(time) => ("", time),
        Quantile::Over(time) => (">", time),
    };
    format!("{sign}{}", latency(time.as_secs_f64() * 1e3))
}

/// `0.9 ms`, `37 ms`, `1.2 s`
pub(super) fn latency(millis: f64) -> String {
    if millis < 999.5 {
        return match millis {
            whole if whole >= 9.95 || whole.fract() == 0.0 => format!("{whole:.0} ms"),
            small => format!("{small:.1} ms"),
        };
    }
    let seconds = millis / 1e3;
    match seconds {
        small if small < 9.95 && (small * 10.0).round() % 10.0 != 0.0 => format!("{small:.1} s"),
        large => format!("{large:.0} s"),
    }
}

/// Two units at most: `4s`, `2m 10s`, `3h 5m`, `12d 4h`.
pub(super) fn seconds(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let Some(first) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else {
        return "0s".to_owned();
    };
    let (unit, name) = UNITS[first];
    let whole = format!("{}{name}", seconds / unit);
    match UNITS.get(first + 1) {
        Some((smaller, name)) if seconds % unit >= *smaller => {
            format!("{whole} {}{name}", seconds % unit / smaller)
        }
        _ => whole,
    }
}

/// A moment by the clock of the daemon's machine.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
}

impl Clock {
    /// `14:02:11` of today, `27 Nov 14:02:11` of another day; what is no time, as it came.
    pub(super) fn time(&self, rfc3339: &str) -> String {
        let Ok(at) = rfc3339.parse::<Timestamp>() else {
            return rfc3339.to_owned();
        };
        let (at, now) = (
            at.to_zoned_datetime(self.zone.clone()),
            self.now.to_zoned_datetime(self.zone.clone()),
        );
        match at.date() == now.date() {
            true => at.strftime("%H:%M:%S").to_string(),
            false => at.strftime("%-d %b %H:%M:%S").to_string(),
        }
    }

    /// `27 Nov 2026`
    pub(super) fn date(&self, rfc3339: &str) -> String {
        let Ok(at) = rfc3339.parse::<Timestamp>() else {
            return rfc3339.to_owned();
        };
        let at = at.to_zoned_datetime(self.zone.clone());
        at.strftime("%-d %b %Y").to_string()
    }
}

/// `by ops: kernel update, until 14:32:11`
pub(super) fn set(set: &Override, clock: &Clock) -> String {
    let reason = set.reason.as_deref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let until = set.until.as_deref();
    let until = until.map_or_else(String::new, |at| format!(", until {}", clock.time(at)));
    format!("by {}{reason}{until}", who(&set.by))
}

/// `ops`; `uid 1000` where that has no name.
pub(super) fn who(by: &By) -> String {
    by.user.clone().unwrap_or_else(|| by.to_string())
}

/// Whole milliseconds of a duration, for what is sorted by it.
pub(super) fn millis(quantile: Quantile) -> u128 {
    let (Quantile::Under(time) | Quantile::About(time) | Quantile::Over(time)) = quantile;
    let below = Duration::from_millis(u64::from(matches!(quantile, Quantile::Under(_))));
    time.saturating_sub(below).as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(12_345_678), "12\u{202f}345\u{202f}678");
        assert_eq!((number(0), number(999)), ("0".into(), "999".into()));
        assert_eq!(count(1, "session"), "1 session");
        assert_eq!(count(1_000, "session"), "1\u{202f}000 sessions");
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (10 << 30, "10 GiB"),
        ];
        for (value, text) in cases {
            assert_eq!(bytes(value), text);
        }
        let rates = [0.0, 0.01, 0.25, 9.94, 9.96, 1204.4].map(|value| rate(Some(value)));
        assert_eq!(
            rates,
            ["0/s", "<0.1/s", "0.2/s", "9.9/s", "10/s", "1\u{202f}204/s"]
        );
        let shares = [(0, 0), (0, 9), (1, 9_999), (1, 40), (1, 1)].map(|(a, b)| share(a, b));
        assert_eq!(shares, ["–", "0 %", "<0.1 %", "2.5 %", "100 %"]);
    }

    #[test]
    fn times_have_two_units_at_most() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_661, "1h 1m"),
            (3_601, "1h"),
            (1_051_200, "12d 4h"),
        ];
        for (value, text) in cases {
            assert_eq!(seconds(value), text);
        }
        let cases = [
            (0.94, "0.9 ms"),
            (5.0, "5 ms"),
            (37.4, "37 ms"),
            (999.6, "1 s"),
            (1_240.0, "1.2 s"),
        ];
        for (value, text) in cases {
            assert_eq!(latency(value), text);
        }
        let ms = Duration::from_millis;
        assert_eq!(quantile(Quantile::Under(ms(5))), "<5 ms");
        assert_eq!(quantile(Quantile::Over(ms(10_000))), ">10 s");
        assert!(millis(Quantile::Under(ms(5))) < millis(Quantile::About(ms(5))));
    }

    #[test]
    fn a_time_of_another_day_says_so() {
        let clock = Clock {
            now: "2026-11-27T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
        };
        assert_eq!(clock.time("2026-11-27T09:08:07.123Z"), "09:08:07");
        assert_eq!(clock.time("2026-11-26T09:08:07Z"), "26 Nov 09:08:07");
        assert_eq!(clock.time("<b>"), "<b>");
        assert_eq!(clock.date("2026-11-26T09:08:07Z"), "26 Nov 2026");
    }
}
