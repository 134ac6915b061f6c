//! Certificates that are about to expire are told of once a day, until somebody renews them. At the
//! start, at a reload and where they are read again, whoever reads them tells of it at once.

use std::sync::Arc;
use std::time::Duration;

use lb_proto::config::{Certificates, Fault, expiry};
use tokio::time::sleep;
use tracing::warn;

use super::reload::advice;
use crate::state::{Shared, unix_now};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks every day, without end.
pub(crate) async fn warn_daily(shared: Arc<Shared>) {
    daily(|| {
        for fault in due(&shared.snapshot().certificates, unix_now()) {
            warn!("{}", advice(&fault));
        }
    })
    .await;
}

async fn daily(mut look: impl FnMut()) {
    loop {
        sleep(DAY).await;
        look();
    }
}

/// What is to be told at `now`, in seconds since 1970: a line a file.
fn due(certificates: &Certificates, now: i64) -> Vec<Fault> {
    let files = certificates.all().into_iter();
    files.filter_map(|file| expiry(file, now)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lb_proto::config;
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
            let due = due(&certificates, end.as_second() - before);
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

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_once_a_day() {
        let mut looks = 0;
        let _ = timeout(3 * DAY + DAY / 2, daily(|| looks += 1)).await;
        assert_eq!(looks, 3);
    }
}
