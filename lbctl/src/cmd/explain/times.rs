//! Times as the reader's clock has them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// The zone, and today's date there.
#[derive(Debug)]
pub(super) struct Clock {
    now: ZonedDateTime,
}

impl Clock {
    /// That of this machine, or of `TZ`.
    pub(super) fn here() -> Self {
        Self::at(Timestamp::now(), TimeZone::system())
    }

    pub(super) fn at(now: Timestamp, zone: TimeZone) -> Self {
        Self {
            now: now.to_zoned_datetime(zone),
        }
    }

    /// `14:02:11`, or with its date where that is not today; what is no RFC 3339 as it came.
    pub(super) fn time(&self, rfc3339: &str) -> String {
        let Ok(time) = rfc3339.parse::<Timestamp>() else {
            return rfc3339.to_owned();
        };
        let time = time.to_zoned_datetime(self.now.time_zone().clone());
        let format = match time.date() == self.now.date() {
            true => "%H:%M:%S",
            false => "%Y-%m-%d %H:%M:%S",
        };
        time.strftime(format).to_string()
    }

    /// `CET, UTC+01:00`
    pub(super) fn zone(&self) -> String {
        let (short, offset) = (self.now.strftime("%Z"), self.now.strftime("%:z"));
        match self.now.offset().is_zero() {
            true => "UTC".to_owned(),
            false => format!("{short}, UTC{offset}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_today_have_no_date_and_the_zone_is_told() {
        let now = "2026-11-27T23:30:00Z".parse().unwrap();
        let utc = Clock::at(now, TimeZone::UTC);
        assert_eq!(utc.time("2026-11-27T14:02:11.123Z"), "14:02:11");
        assert_eq!(utc.time("2026-11-26T14:02:11Z"), "2026-11-26 14:02:11");
        assert_eq!(utc.time("yesterday"), "yesterday");
        assert_eq!(utc.zone(), "UTC");
        let east = Clock::at(now, TimeZone::fixed(jiff::tz::offset(1)));
        assert_eq!(east.time("2026-11-27T23:02:11Z"), "00:02:11");
        assert!(east.zone().ends_with("UTC+01:00"), "{}", east.zone());
    }
}
