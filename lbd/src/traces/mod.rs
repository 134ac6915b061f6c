//! Spans of requests, sent to a collector by OTLP (HTTP, protobuf).
//!
//! Data threads hand a span over when its request is over, through a bounded queue; they never wait.
//! What the queue has no room for, because the collector is slow or gone, is dropped and counted. A
//! thread of its own sends them in batches; there is none, and no queue to speak of, before the
//! configuration has `[traces]`.

mod export;
mod otlp;
mod post;
mod target;
mod trouble;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use http::Method;
use tokio::sync::Notify;

pub(crate) use export::run;
pub(crate) use target::Target;

use crate::access_log::{Cause, Termination};

/// Spans that wait for the exporter: with the longest texts some 16 MiB, commonly 2 MiB.
const QUEUE: usize = 4096;

/// Of a text that a client chose, in bytes.
pub(crate) const LONGEST: usize = 1024;

/// A request that is over, or is being served.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) trace: [u8; 16],
    pub(crate) id: [u8; 8],
    /// The span that the request came from.
    pub(crate) parent: Option<[u8; 8]>,
    /// Of the `traceparent` that servers get.
    pub(crate) flags: u8,
    /// `tracestate`, as it came.
    pub(crate) state: Option<Box<str>>,
    pub(crate) asked: Asked,
    /// `None`: it is being served.
    pub(crate) end: Option<Ended>,
}

/// What was asked for, and by whom.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Without the query.
    pub(crate) path: Box<str>,
    pub(crate) scheme: &'static str,
    /// Of HTTP.
    pub(crate) version: &'static str,
    /// As the client named it, perhaps with a port.
    pub(crate) host: Option<Box<str>>,
    pub(crate) peer: SocketAddr,
    /// The peer, or whom a trusted proxy names.
    pub(crate) client: IpAddr,
    pub(crate) request_id: Option<Box<str>>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Ended {
    /// In nanoseconds since 1970.
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) status: Option<u16>,
    pub(crate) frontend: Box<str>,
    pub(crate) backend: Option<Box<str>>,
    /// With its address.
    pub(crate) server: Option<(Box<str>, Option<SocketAddr>)>,
    pub(crate) retries: u32,
    pub(crate) termination: Termination,
}

impl Ended {
    /// Whether the request failed on this side of the client, as far as a span tells of failures.
    fn failed(&self) -> bool {
        let by_server = matches!(
            self.termination,
            Termination(Some((Cause::Server | Cause::ServerTimeout, _)))
        );
        by_server || self.status.is_some_and(|status| status >= 500)
    }
}

/// Those of the process.
#[derive(Debug)]
pub(crate) struct Spans {
    queue: SyncSender<Box<Span>>,
    /// The exporter's, once there is one.
    waiting: Mutex<Option<Receiver<Box<Span>>>>,
    dropped: AtomicU64,
    exported: AtomicU64,
    failures: AtomicU64,
    exporting: AtomicBool,
    finishing: AtomicBool,
    finish: Notify,
}

impl Spans {
    pub(crate) fn new() -> Self {
        let (queue, waiting) = sync_channel(QUEUE);
        Self {
            queue,
            waiting: Mutex::new(Some(waiting)),
            dropped: AtomicU64::new(0),
            exported: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            exporting: AtomicBool::new(false),
            finishing: AtomicBool::new(false),
            finish: Notify::new(),
        }
    }

    /// Hands over a span, or drops it where there is no room.
    pub(crate) fn push(&self, span: Box<Span>) {
        if self.queue.try_send(span).is_err() {
            self.drop(1);
        }
    }

    fn drop(&self, spans: u64) {
        self.dropped.fetch_add(spans, Ordering::Relaxed);
    }

    /// Spans that no collector took.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Spans that a collector took.
    pub(crate) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// How often it could not be given any.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Tells the exporter to send what there is, and to end.
    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        self.finish.notify_one();
    }

    fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Acquire)
    }

    /// Whether all was sent, or given up, or there was nothing to send.
    pub(crate) fn is_finished(&self) -> bool {
        !self.exporting.load(Ordering::Acquire)
    }

    /// What waits to be exported; once.
    fn take_waiting(&self) -> Option<Receiver<Box<Span>>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Box<Span> {
        Box::new(Span {
            trace: [1; 16],
            id: [2; 8],
            parent: None,
            flags: 1,
            state: None,
            asked: Asked {
                method: Method::GET,
                path: "/".into(),
                scheme: "http",
                version: "1.1",
                host: None,
                peer: ([127, 0, 0, 1], 1).into(),
                client: [127, 0, 0, 1].into(),
                request_id: None,
            },
            end: None,
        })
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_counted() {
        let spans = Spans::new();
        for _ in 0..QUEUE {
            spans.push(span());
        }
        assert_eq!(spans.dropped(), 0);
        for _ in 0..3 {
            spans.push(span());
        }
        assert_eq!(spans.dropped(), 3);
        let waiting = spans.take_waiting().unwrap();
        assert_eq!(waiting.try_iter().count(), QUEUE);
        spans.push(span());
        assert_eq!((spans.dropped(), waiting.try_iter().count()), (3, 1));
    }
}
