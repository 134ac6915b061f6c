//! The answer on a stream: its head, then its body as fast as the client takes it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;

use super::request::Connect;
use super::stream::{Lost, look};
use super::streams::Stream;
use crate::data::body::Answer;
use crate::data::headers;
use crate::data::inflow::Inflow;
use crate::data::reply;
use crate::data::tunnel::{self, Channel};
use crate::data::upgrade::Upgrade;

/// A frame of DATA and its head in one TLS record (RFC 8446, 5.1; RFC 9113, 4.1): nine bytes more
/// would be a record of their own.
const MOST_DATA: usize = 16 * 1024 - 9;

/// Sends an answer's head; its body, unless it is complete, is to follow. `to_head`: without its body,
/// whatever that is.
pub(super) fn begin(
    stream: &Stream,
    answer: Response<Answer>,
    to_head: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<Option<(Answer, SendStream<Bytes>)>, Lost> {
    let (mut head, body) = answer.into_parts();
    prepare(stream, &mut head.headers);
    if let Some(length) = body.size_hint().exact()
        && needs_length(head.status, to_head, length)
    {
        let length = || length.into();
        head.headers.entry(CONTENT_LENGTH).or_insert_with(length);
    }
    let ends = to_head || body.is_end_stream();
    let sends = send_head(stream, Response::from_parts(head, ()), ends, respond)?;
    Ok((!ends).then_some((body, sends)))
}

/// A response without a body says so by its end, unless its length is about something else.
fn needs_length(status: StatusCode, to_head: bool, length: u64) -> bool {
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    length > 0 || !bodiless && !to_head
}

/// Fields as HTTP/2 has them. Those of a server were freed of what belongs to its connection.
fn prepare(stream: &Stream, headers: &mut HeaderMap) {
    headers.remove(CONNECTION);
    let date = || stream.client.thread.date();
    headers.entry(DATE).or_insert_with(date);
}

fn send_head(
    stream: &Stream,
    head: Response<()>,
    ends: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<SendStream<Bytes>, Lost> {
    // About what it would take by HTTP/1, as HAProxy counts it.
    let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let size: usize = head.headers().iter().map(field).sum();
    stream.client.await_client();
    let sends = respond.send_response(head, ends).map_err(lost)?;
    stream.client.flow.wrote(size as u64 + 19);
    stream.client.written();
    Ok(sends)
}

/// Sends an answer's body to its end.
pub(super) async fn send_body(
    stream: &Stream,
    body: &mut Answer,
    sends: &mut SendStream<Bytes>,
) -> Result<(), Lost> {
    loop {
        let frame = poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(Ok(frame));
            }
            let is_reset = sends.poll_reset(cx).is_ready();
            look(stream, cx, is_reset)?;
            Poll::Pending
        });
        let Some(frame) = frame.await? else {
            return sends.send_data(Bytes::new(), true).map_err(lost);
        };
        let Ok(frame) = frame else {
            stream.is_sent(sends).await?;
            return Err(Lost::Ours(Reason::INTERNAL_ERROR));
        };
        match frame.into_data() {
            Ok(data) => {
                let last = body.is_end_stream();
                send_data(stream, body, sends, data, last).await?;
                if last {
                    return Ok(());
                }
            }
            Err(frame) => {
                let mut trailers = frame.into_trailers().unwrap_or_default();
                headers::keep_only_trailing(&mut trailers);
                return sends.send_trailers(trailers).map_err(lost);
            }
        }
        stream.client.written();
    }
}

/// Sends a piece of the body as the client makes room for it. Meanwhile its upload goes on.
async fn send_data(
    stream: &Stream,
    body: &mut Answer,
    sends: &mut SendStream<Bytes>,
    mut data: Bytes,
    last: bool,
) -> Result<(), Lost> {
    loop {
        sends.reserve_capacity(data.len());
        let room = match sends.capacity() {
            room if room > 0 || data.is_empty() => room,
            _ => poll_fn(|cx| poll_room(stream, body, sends, cx)).await?,
        };
        let piece = data.split_to(room.min(data.len()).min(MOST_DATA));
        stream.client.flow.wrote(piece.len() as u64);
        stream.client.answer_moved();
        let ends = last && data.is_empty();
        sends.send_data(piece, ends).map_err(lost)?;
        if data.is_empty() {
            return Ok(());
        }
    }
}

fn poll_room(
    stream: &Stream,
    body: &mut Answer,
    sends: &mut SendStream<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Result<usize, Lost>> {
    let is_reset = sends.poll_reset(cx).is_ready();
    look(stream, cx, is_reset)?;
    body.poll_upload(cx);
    stream.client.poll_ahead(cx);
    match sends.poll_capacity(cx) {
        Poll::Ready(Some(Ok(room))) => Poll::Ready(Ok(room)),
        Poll::Ready(_) => Poll::Ready(Err(Lost::Client)),
        Poll::Pending => Poll::Pending,
    }
}

/// The stream goes over to another protocol (RFC 8441, 5), until both sides are done.
pub(super) async fn tunnel(
    stream: &Stream,
    answer: Response<Answer>,
    connect: Connect,
    upgrade: Upgrade,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Lost> {
    let mut headers = answer.into_parts().0.headers;
    if !connect.is_proved(&mut headers) {
        let (fault, _account) = upgrade.refuse();
        let page = reply::fault(fault, None);
        return send_page(stream, page, false, respond).map(drop);
    }
    prepare(stream, &mut headers);
    let mut head = Response::new(());
    *head.headers_mut() = headers;
    let sends = send_head(stream, head, false, respond)?;
    stream.client.watch.release();
    let channel = tunnel::Stream::new(Inflow::new(connect.from_client), sends);
    let channel = Channel::Stream(Box::new(channel));
    upgrade.run(&stream.client, channel, Bytes::new()).await;
    Ok(())
}

/// Sends an answer of our own that is nobody's account; how much.
pub(super) fn send_page(
    stream: &Stream,
    page: Response<Bytes>,
    to_head: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<u64, Lost> {
    let (mut head, body) = page.into_parts();
    prepare(stream, &mut head.headers);
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    let mut sends = send_head(stream, Response::from_parts(head, ()), to_head, respond)?;
    let length = body.len() as u64;
    match to_head {
        true => Ok(0),
        false => sends.send_data(body, true).map(|()| length).map_err(lost),
    }
}

fn lost(_: h2::Error) -> Lost {
    Lost::Client
}
