//! A frontend's `rate_limit`: how often one client may ask.

use std::time::Duration;

use super::table::{Shape, Value};
use crate::config::problem::Fault;
use crate::config::{RateLimit, units};

const RATE_LIMIT: Shape = Shape {
    what: "a rate limit",
    example: "{ requests = 100, per = \"10s\" }",
    keys: &["requests", "per", "key"],
    later: &[],
};

/// Beyond a million in the shortest time nothing is limited in earnest, and microseconds no longer
/// tell one request from the next.
const MOST_REQUESTS: u32 = 1_000_000;

const SHORTEST: Duration = Duration::from_secs(1);

pub(super) fn read(value: Value<'_>) -> Option<RateLimit> {
    let table = value.table(&RATE_LIMIT)?;
    let requests = table
        .require("requests", "`requests = 100`")
        .and_then(|value| value.number(1, MOST_REQUESTS));
    let per = table
        .require("per", "`per = \"10s\"`")
        .and_then(|value| value.parse(per));
    if let Some(key) = table.get("key") {
        key.choice(&[("ip", ())], |_| false);
    }
    Some(RateLimit {
        requests: requests?,
        per: per?,
    })
}

fn per(text: &str) -> Result<Duration, Fault> {
    let per = units::timeout(text)?;
    if per < SHORTEST {
        return Err(Fault::new(
            format!("`{text}` is too short a time to limit a rate over"),
            "write \"1s\" or more, and as many requests as that time may have",
        ));
    }
    Ok(per)
}
