//! Backends: their queues.

use std::sync::atomic::AtomicU64;

use super::histogram;
use super::text::{Kind, Text, labels};
use crate::state::{Backend, QueueTally, Snapshot};

/// A counter of every backend's queue.
type Reading = (&'static str, &'static str, fn(&QueueTally) -> &AtomicU64);

const QUEUE: &[Reading] = &[
    (
        "lbd_backend_queue_refusals",
        "Requests that found the queue full.",
        |t| &t.refused,
    ),
    (
        "lbd_backend_queue_timeouts",
        "Requests that waited in the queue for as long as they may.",
        |t| &t.timeouts,
    ),
];

pub(super) fn write(text: &mut Text, snapshot: &Snapshot) {
    let name = |backend: &Backend| labels(&[("backend", backend.config.name.as_str())]);
    text.family(
        Kind::Gauge,
        "lbd_backend_queue",
        "Requests that wait for a server with room.",
    );
    for backend in snapshot.backends.iter() {
        text.sample(&name(backend), backend.pool.queue.len());
    }
    text.family(
        Kind::Gauge,
        "lbd_backend_queue_limit",
        "How many may wait at once.",
    );
    for backend in snapshot.backends.iter() {
        text.sample(&name(backend), backend.config.queue_max);
    }
    text.family(
        Kind::Histogram,
        "lbd_backend_queue_seconds",
        "Time in the queue of the requests that had to wait, whatever came of it.",
    );
    for backend in snapshot.backends.iter() {
        histogram(text, &name(backend), &backend.pool.waits, |t| &t.times);
    }
    for (family, help, read) in QUEUE {
        text.family(Kind::Counter, family, help);
        for backend in snapshot.backends.iter() {
            text.sample(&name(backend), backend.pool.waits.sum(read));
        }
    }
}
