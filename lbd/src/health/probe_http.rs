//! Asks a server one HTTP/1.1 question and looks at the head of its answer.
//!
//! The only file of `health` that knows hyper.

use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lb_proto::config::CheckKind;
use lb_proto::status::CheckResult;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Seen;
use crate::causes::causes;

/// The largest answer head that is read. No health endpoint has reason for a larger one.
pub(super) const MAX_HEAD: usize = 16 * 1024;

pub(super) const USER_AGENT: &str = concat!("lbd/", env!("CARGO_PKG_VERSION"));

pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) host: &'a str,
}

/// Sends the request and judges the answer by what `kind` expects. Takes as long as the server
/// takes: the timeout is the caller's.
pub(super) async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &Request<'_>,
    kind: &CheckKind,
) -> Seen {
    answer(request, kind, exchange(stream, request).await)
}

/// What is seen by a status, or by that there is none.
pub(super) fn answer(
    request: &Request<'_>,
    kind: &CheckKind,
    status: Result<u16, Box<dyn Error + Send + Sync>>,
) -> Seen {
    let what = format!("{} {}", request.method, request.path);
    match status {
        Ok(status) => judge(&what, status, kind),
        Err(error) => Seen::new(
            CheckResult::L7RSP,
            format!("{what} got no valid answer: {}", chain(error.as_ref())),
        ),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &Request<'_>,
) -> Result<u16, Box<dyn Error + Send + Sync>> {
    let message = http::Request::builder()
        .method(request.method)
        .uri(request.path)
        .header("host", request.host)
        .header("user-agent", USER_AGENT)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut answer = pin!(sender.send_request(message));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It ends by itself only when the server is done; what it leaves is in `answer` then.
        _ = connection => answer.await,
    }?;
    Ok(answer.status().as_u16())
}

fn judge(what: &str, status: u16, kind: &CheckKind) -> Seen {
    let (result, detail) = if kind.expects(status) {
        (CheckResult::L7OK, format!("{what} answered {status}"))
    } else {
        let expected = kind.expected();
        let detail = format!("{what} answered {status}, expected {expected}");
        (CheckResult::L7STS, detail)
    };
    Seen {
        result,
        status: Some(status),
        detail,
    }
}

/// An error and its causes in one line; hyper says what happened only in the cause.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts = causes(error);
    parts.dedup();
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_says_what_was_expected_as_the_file_says_it() {
        let kind = CheckKind::Http {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            expect: vec![200..=299, 304..=304],
        };
        assert_eq!(
            judge("GET /", 404, &kind).detail,
            "GET / answered 404, expected 200-299,304"
        );
        assert_eq!(judge("GET /", 304, &kind).result, CheckResult::L7OK);
    }
}
