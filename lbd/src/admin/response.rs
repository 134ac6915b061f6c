//! Answers as they leave: whole ones, and refusals, which are text for people and JSON for programs.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use lb_proto::error::{ErrorCode, ErrorReply};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

/// What an answer holds.
pub(super) enum Body {
    /// What is held is let go when it was taken.
    Whole(Bytes, Option<OwnedSemaphorePermit>),
    /// Server-sent events, for as long as they come.
    Stream(BoxStream<'static, Bytes>),
}

impl Body {
    pub(super) fn holding(self, held: OwnedSemaphorePermit) -> Self {
        match self {
            Self::Whole(bytes, _) => Self::Whole(bytes, Some(held)),
            stream @ Self::Stream(_) => stream,
        }
    }
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// What a browser may do with whatever is served here: show it, with what belongs to it, and nothing from elsewhere,
/// nowhere else and to nobody else. Scripts and styles are files of their own; none stands in a page.
const STRICT: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// For every answer.
pub(super) fn harden(headers: &mut HeaderMap) {
    for (name, value) in STRICT {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A sentence for whoever reads it.
pub(super) fn text(status: StatusCode, sentence: &str) -> Response<Body> {
    whole(status, TEXT, format!("{sentence}\n"))
}

pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(document) {
        Ok(mut json) => {
            json.push(b'\n');
            whole(status, JSON, json)
        }
        Err(error) => {
            let sentence = format!("the answer cannot be written: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, &sentence)
        }
    }
}

/// Nothing here is worth keeping.
pub(super) fn whole(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(Body::Whole(body.into(), None));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Why somebody does not get what was asked for.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: ErrorReply,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            error: ErrorReply::new(code(status), message),
            headers: Vec::new(),
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error = self.error.hint(hint);
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn error(&self) -> &ErrorReply {
        &self.error
    }

    /// `no such page: /healthz is one`
    pub(super) fn in_text(self) -> Response<Body> {
        let ErrorReply { message, hint, .. } = &self.error;
        let sentence = match hint {
            Some(hint) => format!("{message}: {hint}"),
            None => message.clone(),
        };
        let response = text(self.status, &sentence);
        self.with_headers(response)
    }

    /// As `lbctl --json` tells of errors.
    pub(super) fn in_json(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Document<'a> {
            error: &'a ErrorReply,
        }
        let error = &self.error;
        let response = json(self.status, &Document { error });
        self.with_headers(response)
    }

    fn with_headers(self, mut response: Response<Body>) -> Response<Body> {
        response.headers_mut().extend(self.headers);
        response
    }
}

/// What the control plane says of it.
impl From<ErrorReply> for Refusal {
    fn from(error: ErrorReply) -> Self {
        let status = match error.code {
            ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
            ErrorCode::NoSuchFrontend | ErrorCode::NoSuchBackend | ErrorCode::NoSuchServer => {
                StatusCode::NOT_FOUND
            }
            ErrorCode::Busy => StatusCode::CONFLICT,
            ErrorCode::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            error,
            headers: Vec::new(),
        }
    }
}

fn code(status: StatusCode) -> ErrorCode {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            ErrorCode::NotAllowed
        }
        StatusCode::REQUEST_TIMEOUT => ErrorCode::TimedOut,
        status if status.is_server_error() => ErrorCode::Failed,
        _ => ErrorCode::BadRequest,
    }
}
