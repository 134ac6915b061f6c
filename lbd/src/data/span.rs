//! A request's span: whether there is one, what servers are told of it, and how it ends.

use std::time::{Instant, SystemTime};

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use lb_proto::config::Share;

use super::client::Client;
use super::client_address::client_address;
use super::outcome::Outcome;
use super::request_id::REQUEST_ID;
use super::thread::Place;
use super::trace::Trace;
use super::traceparent::{Parent, SAMPLED, TRACEPARENT};
use crate::state::Snapshot;
use crate::traces::{Asked, Ended, LONGEST, Span};

const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Takes part in the request's trace, or begins one. `None`: it is not recorded. What is not recorded
/// by whoever began it passes as it came.
pub(super) fn begin<B>(
    sample: Share,
    client: &Client,
    place: &Place,
    request: &mut Request<B>,
) -> Option<Box<Span>> {
    let from = Parent::of(request.headers());
    let parent = match from {
        Some(parent) if !parent.is_sampled() => return None,
        parent => parent.map(|parent| parent.span),
    };
    let mine = match from {
        Some(parent) => Parent {
            span: random(),
            ..parent
        },
        None => {
            // It is about a trace that is none.
            request.headers_mut().remove(TRACESTATE);
            Parent {
                trace: random_trace(),
                span: random(),
                flags: if sample.takes(fastrand::u64(..)) {
                    SAMPLED
                } else {
                    0
                },
            }
        }
    };
    request.headers_mut().insert(TRACEPARENT, mine.value());
    mine.is_sampled().then(|| {
        Box::new(Span {
            trace: mine.trace,
            id: mine.span,
            parent,
            flags: mine.flags,
            state: state(request.headers()),
            asked: asked(client, place, request),
            end: None,
        })
    })
}

/// The span of a request that is over.
pub(super) fn end(
    mut span: Box<Span>,
    trace: &Trace,
    outcome: &Outcome,
    snapshot: &Snapshot,
    frontend: usize,
) -> Box<Span> {
    let ended = SystemTime::now();
    let took = Instant::now().saturating_duration_since(trace.began());
    let backend = trace.backend.map(|backend| &snapshot.backends[backend]);
    let server = backend.zip(trace.server()).map(|(backend, server)| {
        let name = backend.config.servers[server].name.as_str().into();
        (name, backend.servers[server].location.address())
    });
    span.end = Some(Ended {
        began: nanos(ended.checked_sub(took).unwrap_or(ended)),
        ended: nanos(ended),
        status: outcome.status().map(|status| status.as_u16()),
        frontend: snapshot.frontends[frontend].config.name.as_str().into(),
        backend: backend.map(|backend| backend.config.name.as_str().into()),
        server,
        retries: trace.retries(),
        termination: trace.end(outcome),
    });
    span
}

fn asked<B>(client: &Client, place: &Place, request: &Request<B>) -> Asked {
    let (uri, headers) = (request.uri(), request.headers());
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| text(headers.get(HOST)?));
    // What stands before it may be a password. Such a request is refused, but has its span.
    let host = host.and_then(|host| host.rsplit('@').next());
    let frontend = &place.view.snapshot.frontends[place.frontend].config;
    Asked {
        method: request.method().clone(),
        path: cut(uri.path()),
        scheme: client.origin.scheme,
        version: match request.version() {
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            _ => "1.1",
        },
        host: host.map(cut),
        peer: client.peer,
        client: client_address(client.peer.ip(), &frontend.trusted_proxies, headers),
        request_id: headers.get(REQUEST_ID).and_then(text).map(cut),
    }
}

/// All of it, in one.
fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let all = headers.get_all(TRACESTATE).iter().filter_map(text);
    let all: Vec<&str> = all.filter(|one| !one.is_empty()).collect();
    let all = all.join(",");
    // Cut it would say something else.
    (!all.is_empty() && all.len() <= LONGEST).then(|| all.into())
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn cut(text: &str) -> Box<str> {
    let most = text.len().min(LONGEST);
    let end = (0..=most).rfind(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].into()
}

/// In nanoseconds since 1970.
fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// An id: zero is none.
fn random() -> [u8; 8] {
    fastrand::u64(1..).to_ne_bytes()
}

fn random_trace() -> [u8; 16] {
    fastrand::u128(1..).to_ne_bytes()
}
