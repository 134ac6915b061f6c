//! What `/metrics` tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::wire::get;

/// Each sample by its name with its labels.
pub type Metrics = BTreeMap<String, f64>;

/// What `[admin]` at this address tells now.
///
/// # Panics
/// Where a line is no sample.
#[track_caller]
pub fn metrics(admin: SocketAddr) -> Metrics {
    let response = get(admin, "/metrics");
    assert_eq!(response.status, 200);
    let text = response.text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
        (name.to_owned(), value.parse().expect("a value is a number"))
    };
    samples.map(sample).collect()
}

/// Those of a family that have these labels, summed.
pub fn sum(metrics: &Metrics, family: &str, labels: &str) -> f64 {
    let of_it = metrics.iter().filter(|(name, _)| {
        let Some(rest) = name.strip_prefix(family) else {
            return false;
        };
        rest.starts_with('{') && rest.contains(labels)
    });
    of_it.map(|(_, value)| value).sum()
}
