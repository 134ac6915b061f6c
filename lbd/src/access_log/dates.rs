//! Dates as the log writes them, made once a second and not once a line. Pure: `now` is an argument.

use std::io::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// One thread's.
#[derive(Debug)]
pub(crate) struct Dates {
    zone: TimeZone,
    /// What comes after the date in a syslog line.
    program: String,
    syslog: Cached,
    accept: Cached,
    iso: Cached,
}

/// The text of a second.
#[derive(Debug, Default)]
struct Cached {
    second: Option<i64>,
    text: Vec<u8>,
}

impl Cached {
    fn of(&mut self, second: i64, write: impl FnOnce(&mut Vec<u8>, Timestamp)) -> &[u8] {
        if self.second != Some(second) {
            self.second = Some(second);
            self.text.clear();
            write(
                &mut self.text,
                Timestamp::from_second(second).unwrap_or_default(),
            );
        }
        &self.text
    }
}

impl Dates {
    /// `zone` is the one that the text format is in, as HAProxy's is in local time.
    pub(crate) fn new(zone: TimeZone, host: &str, pid: u32) -> Self {
        Self {
            zone,
            program: format!(" {host} lbd[{pid}]: "),
            syslog: Cached::default(),
            accept: Cached::default(),
            iso: Cached::default(),
        }
    }

    /// `Nov 23 10:11:12 lb1 lbd[14389]: `, as rsyslog writes it (RFC 3164, 4.1).
    pub(super) fn syslog(&mut self, milliseconds: i64) -> &[u8] {
        let (zone, program) = (&self.zone, &self.program);
        self.syslog.of(milliseconds.div_euclid(1000), |text, at| {
            let at = at.to_zoned_datetime(zone.clone());
            let date = at.strftime("%b %e %H:%M:%S");
            let _ = write!(text, "{date}{program}");
        })
    }

    /// `23/Nov/2026:10:11:12`, what stands before the milliseconds.
    pub(super) fn accept(&mut self, milliseconds: i64) -> &[u8] {
        let zone = &self.zone;
        self.accept.of(milliseconds.div_euclid(1000), |text, at| {
            let at = at.to_zoned_datetime(zone.clone());
            let _ = write!(text, "{}", at.strftime("%d/%b/%Y:%H:%M:%S"));
        })
    }

    /// `2026-11-23T10:11:12`, in UTC, what stands before the milliseconds.
    pub(super) fn iso(&mut self, milliseconds: i64) -> &[u8] {
        self.iso.of(milliseconds.div_euclid(1000), |text, at| {
            let _ = write!(text, "{}", at.strftime("%Y-%m-%dT%H:%M:%S"));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_told_in_the_zone_of_the_host_and_follows_its_clock() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let mut dates = Dates::new(zone, "lb1", 14389);
        // 2026-11-03T23:59:59.999Z, and a millisecond later.
        let at = 1_793_750_399_999;
        assert_eq!(dates.syslog(at), b"Nov  4 01:59:59 lb1 lbd[14389]: ");
        assert_eq!(dates.accept(at), b"04/Nov/2026:01:59:59");
        assert_eq!(dates.iso(at), b"2026-11-03T23:59:59");
        assert_eq!(dates.accept(at + 1), b"04/Nov/2026:02:00:00");
        assert_eq!(dates.iso(at + 1), b"2026-11-04T00:00:00");
        assert_eq!(dates.iso(at), b"2026-11-03T23:59:59");
    }
}
