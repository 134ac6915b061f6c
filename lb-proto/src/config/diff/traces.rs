//! `[traces]`: counts for the requests that come from then on.

use super::Differ;
use crate::config::Traces;
use crate::plan::{Change, Effect, Section};

pub(super) fn compare(old: &Option<Traces>, new: &Option<Traces>, changes: &mut Vec<Change>) {
    const EFFECT: Effect = Effect::NewRequests;
    let mut at = Differ::new(Section::Traces, "", changes);
    let words = |traces: &Traces| traces.otlp.to_string();
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) => at.added(words(new), EFFECT),
        (Some(old), None) => at.removed(words(old), EFFECT),
        (Some(old), Some(new)) => {
            let Traces {
                otlp,
                tls,
                sample,
                service_name,
            } = old;
            let ca = |traces: &Traces| traces.tls.as_ref().and_then(|tls| tls.ca.clone());
            at.key("otlp", otlp, &new.otlp, EFFECT);
            // What else there is of it follows from the URL.
            if tls != &new.tls {
                at.key("ca", &ca(old), &ca(new), EFFECT);
            }
            at.key("sample", sample, &new.sample, EFFECT);
            at.key("service_name", service_name, &new.service_name, EFFECT);
        }
    }
}
