//! Spans as OTLP has them, by the semantic conventions for HTTP servers. Pure.

use bytes::Bytes;
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as proto, ResourceSpans, ScopeSpans, Status};
use prost::Message;

use super::{Asked, Ended, Span};

/// Flags of a span beside those of `traceparent`: it is known whether the parent is another process's,
/// and it is.
const REMOTE_KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// What is said of the process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) host: &'a str,
}

/// The body of an export.
pub(super) fn body(spans: &[Span], service: Service<'_>) -> Bytes {
    let scope = InstrumentationScope {
        name: "lbd".to_owned(),
        version: lb_proto::VERSION.to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: vec![
            text("service.name", service.name),
            text("service.version", lb_proto::VERSION),
            text("host.name", service.host),
        ],
        ..Resource::default()
    };
    let ended = spans.iter().filter_map(|span| {
        let end = span.end.as_ref()?;
        Some(told(span, end))
    });
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: ended.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    request.encode_to_vec().into()
}

/// How many spans a collector did not take of those it was sent, and why. `None`: it took all, or says
/// nothing that can be read.
pub(super) fn refused(answer: &[u8]) -> Option<(u64, String)> {
    let answer = ExportTraceServiceResponse::decode(answer).ok()?;
    let partial = answer.partial_success?;
    let rejected = u64::try_from(partial.rejected_spans).ok()?;
    (rejected > 0).then_some((rejected, partial.error_message))
}

fn told(span: &Span, end: &Ended) -> proto::Span {
    let remote = span.parent.map_or(0, |_| REMOTE);
    let failed = end.failed().then(|| Status {
        code: StatusCode::Error.into(),
        ..Status::default()
    });
    proto::Span {
        trace_id: span.trace.into(),
        span_id: span.id.into(),
        parent_span_id: span.parent.map_or_else(Vec::new, Vec::from),
        trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
        flags: u32::from(span.flags) | REMOTE_KNOWN | remote,
        name: name(&span.asked, end),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: end.began,
        end_time_unix_nano: end.ended,
        attributes: attributes(&span.asked, end),
        status: failed,
        ..proto::Span::default()
    }
}

/// One of few: a client may invent methods and paths.
fn name(asked: &Asked, end: &Ended) -> String {
    let method = known(&asked.method).unwrap_or("HTTP");
    match &end.backend {
        Some(backend) => format!("{method} {backend}"),
        None => method.to_owned(),
    }
}

/// A method of RFC 9110 or 5789.
fn known(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}

fn attributes(asked: &Asked, end: &Ended) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(24);
    match known(&asked.method) {
        Some(method) => all.push(text("http.request.method", method)),
        None => {
            all.push(text("http.request.method", "_OTHER"));
            all.push(text("http.request.method_original", asked.method.as_str()));
        }
    }
    all.push(text("url.scheme", asked.scheme));
    all.push(text("url.path", &asked.path));
    if let Some(host) = &asked.host {
        let (host, port) = split(host);
        all.push(text("server.address", host));
        all.extend(port.map(|port| number("server.port", port)));
    }
    all.push(text("network.protocol.version", asked.version));
    all.push(text(
        "network.peer.address",
        &asked.peer.ip().to_canonical().to_string(),
    ));
    all.push(number("network.peer.port", asked.peer.port()));
    all.push(text("client.address", &asked.client.to_string()));
    if let Some(status) = end.status {
        all.push(number("http.response.status_code", status));
    }
    let letters = end.termination.letters();
    let letters = str::from_utf8(&letters).unwrap_or_default();
    if end.failed() {
        // The status says it where it is one, or else how the request ended.
        let status = end.status.filter(|status| *status >= 500);
        let kind = status.map_or_else(|| letters.to_owned(), |status| status.to_string());
        all.push(text("error.type", &kind));
    }
    all.push(text("lb.frontend", &end.frontend));
    all.extend(end.backend.iter().map(|name| text("lb.backend", name)));
    if let Some((name, address)) = &end.server {
        all.push(text("lb.server", name));
        all.extend(address.map(|address| text("lb.server.address", &address.to_string())));
    }
    all.push(number("lb.retries", end.retries));
    all.push(text("lb.termination_state", letters));
    all.extend(asked.request_id.iter().map(|id| text("lb.request_id", id)));
    all
}

/// A host and its port, if it has one.
fn split(authority: &str) -> (&str, Option<u16>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    (host, port)
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: impl Into<i64>) -> KeyValue {
    attribute(key, Value::IntValue(value.into()))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
