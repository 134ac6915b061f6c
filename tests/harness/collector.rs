//! A collector of traces: takes OTLP by HTTP, as far as lbd speaks it, and keeps what it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::raw_origin::{Peer, RawOrigin};

/// What it does with an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Take,
    /// Takes all but so many.
    Refuse(i64),
    /// Answers with a status, and takes nothing.
    Answer(u16),
    /// Reads it and never answers.
    Hang,
}

/// A running one.
#[derive(Debug)]
pub struct Collector {
    origin: RawOrigin,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    does: Does,
    exports: u64,
    taken: Vec<Told>,
}

/// A span, and the service that it is of.
#[derive(Debug, Clone)]
pub struct Told {
    pub service: String,
    pub span: Span,
}

impl Collector {
    pub fn start() -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            does: Does::Take,
            exports: 0,
            taken: Vec::new(),
        }));
        let of_script = shared.clone();
        Self {
            origin: RawOrigin::start(move |peer| while serve(peer, &of_script) {}),
            shared,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.origin.addr()
    }

    /// `[traces]` that leads here, with these lines.
    pub fn section(&self, lines: &str) -> String {
        format!("[traces]\notlp = \"http://{}\"\n{lines}\n", self.addr())
    }

    pub fn does(&self, does: Does) {
        self.lock().does = does;
    }

    /// Exports so far, whatever became of them.
    pub fn exports(&self) -> u64 {
        self.lock().exports
    }

    /// The spans that it took so far.
    pub fn taken(&self) -> Vec<Told> {
        self.lock().taken.clone()
    }

    /// How many connections it was sent them on.
    pub fn connections(&self) -> u64 {
        self.origin.connections()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one export; false: the connection is to be closed.
fn serve(peer: &mut Peer, shared: &Mutex<Shared>) -> bool {
    let head = peer.head().to_ascii_lowercase();
    if head.is_empty() {
        return false;
    }
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"));
    let length = head.split("\r\ncontent-length: ").nth(1);
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
    let body = peer.bytes(length.expect("it has a length"));
    let request = ExportTraceServiceRequest::decode(&*body).expect("it is an export");
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.exports += 1;
    let refused = match shared.does {
        Does::Take => 0,
        Does::Refuse(refused) => refused,
        Does::Answer(status) => {
            peer.send(format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n"));
            return true;
        }
        Does::Hang => {
            drop(shared);
            peer.closed();
            return false;
        }
    };
    let all = request.resource_spans.into_iter().flat_map(|resource| {
        let about = resource.resource.expect("it is of a service").attributes;
        let service = text(&about, "service.name").expect("the service has a name");
        let spans = resource.scope_spans.into_iter().flat_map(|of| of.spans);
        spans.map(move |span| Told {
            service: service.clone(),
            span,
        })
    });
    shared.taken.extend(all);
    let answer = ExportTraceServiceResponse {
        partial_success: (refused > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: refused,
            error_message: "too\nmany".to_owned(),
        }),
    };
    let answer = answer.encode_to_vec();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: ";
    peer.send(format!("{head}{}\r\n\r\n", answer.len()));
    peer.send(answer);
    true
}

impl Told {
    /// An attribute, in words.
    pub fn says(&self, key: &str) -> Option<String> {
        text(&self.span.attributes, key)
    }

    /// As servers are told of it.
    pub fn traceparent(&self) -> String {
        let Span {
            trace_id, span_id, ..
        } = &self.span;
        let flags = self.span.flags & 0xff;
        format!("00-{}-{}-{flags:02x}", hex(trace_id), hex(span_id))
    }

    /// Which span it came from; empty: from none.
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
