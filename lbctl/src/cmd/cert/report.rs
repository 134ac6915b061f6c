//! Certificates in words and as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use lb_proto::document::cert::Certificate;
use lb_proto::pem::{File, Leaf, Validity};
use lb_proto::status::CertificateState;

use crate::ui::{expiry, words};

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// `89 days left`, as long as it is valid.
pub(super) fn left(leaf: &Leaf, now: i64) -> String {
    let validity = leaf.validity(now);
    let text = expiry::left(validity).text;
    match validity {
        Validity::Days(_) => format!("{text} left"),
        Validity::Expired(_) | Validity::NotYet => text,
    }
}

/// `2027-02-22 03:19:38 UTC`
pub(super) fn until(leaf: &Leaf) -> String {
    words::time(&time(leaf.not_after))
}

/// What programs are told of a certificate. `days_left` is negative from the moment of expiry.
pub(super) fn certificate(leaf: &Leaf, now: i64) -> Certificate {
    Certificate {
        days_left: leaf.days_left(now),
        fingerprint: leaf.fingerprint.clone(),
        issuer: leaf.issuer.clone(),
        names: leaf.names.clone(),
        not_after: time(leaf.not_after),
        not_before: time(leaf.not_before),
        state: match leaf.validity(now) {
            Validity::Days(_) => CertificateState::Valid,
            Validity::Expired(_) => CertificateState::Expired,
            Validity::NotYet => CertificateState::NotYetValid,
        },
    }
}

/// Until when the OCSP response beside a certificate holds.
pub(super) fn ocsp_next_update(file: &File) -> Option<String> {
    Some(time(file.ocsp.as_ref()?.period.next_update))
}

/// RFC 3339; what lies beyond the year 9999 ends with it.
fn time(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds);
    time.unwrap_or(Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_certificate_has_less_than_no_days_left() {
        let leaf = Leaf {
            names: vec!["a.test".to_owned()],
            not_before: 0,
            not_after: 1_000_000,
            fingerprint: String::new(),
            issuer: String::new(),
        };
        let told = |now| {
            let told = certificate(&leaf, now);
            (told.days_left, told.state)
        };
        assert_eq!(told(1_000_000), (0, CertificateState::Valid));
        assert_eq!(told(1_000_001), (-1, CertificateState::Expired));
        assert_eq!(told(-1).1, CertificateState::NotYetValid);
    }

    #[test]
    fn times_beyond_the_calendar_are_told_as_its_end() {
        assert_eq!(time(1_800_000_000), "2027-01-15T08:00:00Z");
        assert!(time(i64::MAX).starts_with("9999-12-30T"));
    }
}
