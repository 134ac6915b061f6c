//! Certificates that are about to expire, and OCSP responses that are not sent, are told of once a day,
//! until somebody renews them; of a response that ends, within the hour. At the start, at a reload and
//! where they are read again, whoever reads them tells of it at once.

use std::sync::Arc;
use std::time::Duration;

use lb_proto::config::{Fault, expiry, staple};
use lb_proto::pem::File;
use tokio::time::sleep;
use tracing::warn;

use super::reload::advice;
use crate::state::{Shared, unix_now};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// Of a day.
const HOURS: u32 = 24;

/// Looks every hour, without end.
pub(crate) async fn warn_daily(shared: Arc<Shared>) {
    let mut before = unix_now();
    hourly(|a_day_is_over| {
        let snapshot = shared.snapshot();
        let (files, now) = (snapshot.certificates.all(), unix_now());
        let faults = match a_day_is_over {
            true => due(&files, now),
            false => ended(&files, before, now),
        };
        for fault in faults {
            warn!("{}", advice(&fault));
        }
        before = now;
    })
    .await;
}

async fn hourly(mut look: impl FnMut(bool)) {
    loop {
        for hour in 1..=HOURS {
            sleep(HOUR).await;
            look(hour == HOURS);
        }
    }
}

/// What is to be told at `now`, in seconds since 1970.
fn due(files: &[&Arc<File>], now: i64) -> Vec<Fault> {
    let files = files.iter();
    let told = files.flat_map(|file| expiry(file, now).into_iter().chain(staple(file, now)));
    told.collect()
}

/// Of the responses that held at `before` and do no longer.
fn ended(files: &[&Arc<File>], before: i64, now: i64) -> Vec<Fault> {
    let has_ended = |file: &&&Arc<File>| {
        let period = file.ocsp.as_ref().map(|ocsp| ocsp.period);
        period.is_some_and(|period| (before..now).contains(&period.next_update))
    };
    let files = files.iter().filter(has_ended);
    files.filter_map(|file| staple(file, now)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lb_proto::config::{self, Certificates};
    use lb_proto::pem::{Bundle, Ocsp, Period};
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tokio::time::timeout;

    use super::*;

    /// One that is good for the whole of January 2030, named twice.
    fn certificates() -> Certificates {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2030, 2, 1);
        let pem = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        let file = folder.path().join("a.pem");
        fs::write(&file, pem).unwrap();
        let text = format!(
            "[frontend.web]\nbind = {{ address = \"127.0.0.1:0\", tls = {{ certs = [{file:?}, {file:?}] }} }}\n\
             default_backend = \"app\"\n\
             [backend.app]\nservers = [{{ name = \"a\", address = \"127.0.0.1:1\" }}]\n"
        );
        let config = folder.path().join("lbd.toml");
        fs::write(&config, text).unwrap();
        config::load(&config).unwrap().certificates
    }

    #[test]
    fn a_certificate_is_told_of_from_a_week_before_its_end() {
        const HOUR: i64 = 60 * 60;
        const DAY: i64 = 24 * HOUR;
        let certificates = certificates();
        let end = "2030-02-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap();
        let told = |before: i64| {
            let due = due(&certificates.all(), end.as_second() - before);
            let mut told = due.into_iter().map(|fault| fault.message);
            let line = told.next();
            assert_eq!(told.next(), None, "one line a file");
            line.map(|line| line.rsplit_once(") ").unwrap().1.to_owned())
        };
        assert_eq!(told(40 * DAY).as_deref(), Some("is not valid yet"));
        assert_eq!(told(7 * DAY), None);
        assert_eq!(told(7 * DAY - 1).as_deref(), Some("expires in 6 days"));
        assert_eq!(told(DAY).as_deref(), Some("expires in 1 day"));
        assert_eq!(told(HOUR).as_deref(), Some("expires in less than a day"));
        assert_eq!(told(-HOUR).as_deref(), Some("expired less than a day ago"));
        assert_eq!(told(-3 * DAY).as_deref(), Some("expired 3 days ago"));
    }

    /// A certificate that is good for long, with a response that holds until `next_update`.
    fn stapled(next_update: i64) -> Arc<File> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let pem = params.self_signed(&key).unwrap().pem() + &key.serialize_pem();
        Arc::new(File {
            path: "/certs/a.pem".into(),
            bundle: Bundle::read(pem.as_bytes()).unwrap(),
            ocsp: Some(Ocsp {
                response: Vec::new(),
                period: Period {
                    this_update: next_update - 1000,
                    next_update,
                },
                revoked: false,
            }),
            ocsp_unfit: None,
            open_to_all: None,
        })
    }

    #[test]
    fn a_response_is_told_of_when_it_ends_and_then_daily() {
        // 2026-12-05 07:48:11 UTC.
        const END: i64 = 1_796_456_891;
        let file = stapled(END);
        let files = [&file];
        let said = "the OCSP response beside /certs/a.pem ended at 2026-12-05 07:48:11 UTC and is not sent";
        let told = |faults: Vec<Fault>| {
            faults
                .into_iter()
                .map(|fault| fault.message)
                .collect::<Vec<_>>()
        };
        assert!(told(due(&files, END)).is_empty());
        assert_eq!(told(due(&files, END + 1)), [said]);
        assert_eq!(told(due(&files, END + 1_000_000)), [said]);
        assert!(told(ended(&files, END - 3600, END)).is_empty());
        assert_eq!(told(ended(&files, END, END + 3600)), [said]);
        assert!(told(ended(&files, END + 1, END + 3601)).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_every_hour_and_once_a_day_at_everything() {
        let (mut looks, mut whole) = (0, 0);
        let look = |a_day_is_over| {
            looks += 1;
            whole += u32::from(a_day_is_over);
        };
        let _ = timeout(3 * HOURS * HOUR + HOUR / 2, hourly(look)).await;
        assert_eq!((looks, whole), (3 * HOURS, 3));
    }
}
