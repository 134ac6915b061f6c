//! Certificates in words and as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use lb_proto::pem::{Leaf, Validity};
use serde_json::{Value, json};

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
pub(super) fn certificate(leaf: &Leaf, now: i64) -> Value {
    let state = match leaf.validity(now) {
        Validity::Days(_) => "valid",
        Validity::Expired(_) => "expired",
        Validity::NotYet => "not_yet_valid",
    };
    json!({
        "names": leaf.names,
        "issuer": leaf.issuer,
        "not_before": time(leaf.not_before),
        "not_after": time(leaf.not_after),
        "days_left": leaf.days_left(now),
        "state": state,
        "fingerprint": leaf.fingerprint,
    })
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
            (
                told["days_left"].as_i64(),
                told["state"].as_str().map(str::to_owned),
            )
        };
        assert_eq!(told(1_000_000), (Some(0), Some("valid".to_owned())));
        assert_eq!(told(1_000_001), (Some(-1), Some("expired".to_owned())));
        assert_eq!(told(-1).1.as_deref(), Some("not_yet_valid"));
    }

    #[test]
    fn times_beyond_the_calendar_are_told_as_its_end() {
        assert_eq!(time(1_800_000_000), "2027-01-15T08:00:00Z");
        assert!(time(i64::MAX).starts_with("9999-12-30T"));
    }
}
