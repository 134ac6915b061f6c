//! A backend's `outlier`: how often a server may fail before it is left alone for a while.

use std::time::Duration;

use super::table::{Shape, Value};
use crate::config::{Outlier, units};

const OUTLIER: Shape = Shape {
    what: "an outlier rule",
    example: "{ errors = 10, window = \"10s\", eject = \"30s\" }",
    keys: &["errors", "window", "eject"],
    later: &[],
};

/// Each is remembered with its time, for every server.
const MOST_ERRORS: u32 = 10_000;

fn built_in() -> Outlier {
    Outlier {
        errors: 10,
        window: Duration::from_secs(10),
        eject: Duration::from_secs(30),
    }
}

pub(super) fn read(value: Value<'_>) -> Option<Outlier> {
    let table = value.table(&OUTLIER)?;
    let defaults = built_in();
    let duration = |key, default| table.parse(key, units::timeout).unwrap_or(default);
    let errors = table.get("errors").and_then(|v| v.number(1, MOST_ERRORS));
    Some(Outlier {
        errors: errors.unwrap_or(defaults.errors),
        window: duration("window", defaults.window),
        eject: duration("eject", defaults.eject),
    })
}
