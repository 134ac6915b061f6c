//! The same question by HTTP/2, on a connection of its own: with prior knowledge, or under TLS.

use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use h2::client::Builder;
use http::{Request as HttpRequest, Uri, uri};
use lb_proto::config::CheckKind;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Seen;
use super::probe_http::{MAX_HEAD, Request, USER_AGENT, answer};

/// Sends the request and judges the answer, as `probe_http` does. The timeout is the caller's.
pub(super) async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &Request<'_>,
    kind: &CheckKind,
    secure: bool,
) -> Seen {
    answer(request, kind, exchange(stream, request, secure).await)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &Request<'_>,
    secure: bool,
) -> Result<u16, Box<dyn Error + Send + Sync>> {
    let message = HttpRequest::builder()
        .method(request.method)
        .uri(uri(request, secure)?)
        .header("user-agent", USER_AGENT)
        .body(())?;
    let greeting = Builder::new()
        .enable_push(false)
        // Nothing is asked before its settings came, which say how many streams it takes, as by `data/trunk`.
        .initial_max_send_streams(0)
        .max_header_list_size(MAX_HEAD as u32)
        .handshake::<_, Bytes>(stream);
    let (mut sender, connection) = greeting.await?;
    let (response, _) = sender.send_request(message, true)?;
    let mut response = pin!(response);
    let answer = tokio::select! {
        biased;
        answer = &mut response => answer,
        // Why it broke off says more than that it did.
        ended = connection => match ended {
            Ok(()) => response.await,
            Err(error) => Err(error),
        },
    };
    let is_greeted = sender.current_max_send_streams() > 0;
    let answer = answer.map_err(|error| why(error, is_greeted))?;
    Ok(answer.status().as_u16())
}

/// `is_greeted`: its settings came.
fn why(error: h2::Error, is_greeted: bool) -> Box<dyn Error + Send + Sync> {
    match error.is_library() && !is_greeted {
        true => format!("it does not speak HTTP/2: `protocol` may be \"http1\" ({error})").into(),
        false => error.into(),
    }
}

fn uri(request: &Request<'_>, secure: bool) -> Result<Uri, http::Error> {
    let scheme = if secure { "https" } else { "http" };
    let uri = uri::Builder::new().scheme(scheme);
    uri.authority(request.host)
        .path_and_query(request.path)
        .build()
}
