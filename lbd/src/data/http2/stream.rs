//! A stream: one request and its answer, from the head to the last frame.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response};

use super::request::{self as asked, Asked, Connect, Refused};
use super::response;
use super::streams::Stream;
use crate::access_log::Phase;
use crate::data::body::Answer;
use crate::data::decode::Head;
use crate::data::fault::Fault;
use crate::data::watch::Expired;
use crate::data::{reply, request};

/// The stream is over before its answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The client reset it, or its connection is gone.
    Client,
    /// It is ours to reset.
    Ours(Reason),
}

/// What a client asked for, begun.
struct Begun {
    request: request::Begun,
    /// It asks for a tunnel.
    connect: Option<Box<Connect>>,
}

/// Answers a request. Dropping what it awaits closes its account.
pub(super) fn serve(
    stream: Stream,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> impl Future<Output = ()> {
    let to_head = request.method() == Method::HEAD;
    let asked = begin(&stream, request, to_head, &mut respond);
    async move {
        if let Err(Lost::Ours(reason)) = exchange(&stream, asked, to_head, &mut respond).await {
            respond.send_reset(reason);
        }
    }
}

/// Begins what was asked for. `None`: it is answered already.
fn begin(
    stream: &Stream,
    request: Request<RecvStream>,
    to_head: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<Option<Begun>, Lost> {
    let Asked { request, connect } = match asked::read(request) {
        Ok(asked) => asked,
        Err(Refused { fault, accept }) => {
            let page = reply::fault(fault, accept.as_ref());
            return refuse(stream, fault, page, to_head, respond).map(|()| None);
        }
    };
    // Nobody serves this frontend any more: another connection may find who does.
    let request = request::begin(&stream.client, request);
    let request = request.map_err(|_| Lost::Ours(Reason::REFUSED_STREAM))?;
    Ok(Some(Begun { request, connect }))
}

async fn exchange(
    stream: &Stream,
    asked: Result<Option<Begun>, Lost>,
    to_head: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Lost> {
    let Some(Begun { request, connect }) = asked? else {
        return Ok(());
    };
    let answer = answer(stream, request, respond).await.inspect_err(|lost| {
        if *lost == Lost::Client {
            stream.streams.budget.took_back();
        }
    })?;
    if let (Some(connect), Some(upgrade)) = (connect, stream.client.take_upgrade()) {
        let tunnel = response::tunnel(stream, answer, *connect, upgrade, respond);
        return Box::pin(tunnel).await;
    }
    if let Some((mut body, mut sends)) = response::begin(stream, answer, to_head, respond)? {
        response::send_body(stream, &mut body, &mut sends).await?;
    }
    stream.answered();
    Ok(())
}

/// Waits for the answer, and passes on what is said before it.
async fn answer(
    stream: &Stream,
    request: request::Begun,
    respond: &mut SendResponse<Bytes>,
) -> Result<Response<Answer>, Lost> {
    let client = &stream.client;
    let mut answer = pin!(request.answer(client));
    poll_fn(|cx| {
        let polled = answer.as_mut().poll(cx);
        for head in client.take_informed() {
            inform(head, respond);
        }
        if let Poll::Ready(answer) = polled {
            return Poll::Ready(Ok(answer));
        }
        let is_reset = respond.poll_reset(cx).is_ready();
        look(stream, cx, is_reset)?;
        Poll::Pending
    })
    .await
}

/// To be asked whenever a stream waits: whether it is lost.
pub(super) fn look(stream: &Stream, cx: &Context<'_>, is_reset: bool) -> Result<(), Lost> {
    let client = &stream.client;
    client.set_waker(cx);
    if is_reset || client.is_abandoned() {
        return Err(Lost::Client);
    }
    // Whoever could make something of it had its turn.
    if let Some(Expired(awaiting)) = client.watch.take_expired() {
        client.flow.will_be_cut(awaiting.cause());
        return Err(Lost::Ours(Reason::CANCEL));
    }
    if client.watch.is_sooner() {
        stream.streams.hurry();
    }
    Ok(())
}

fn inform(head: Head, respond: &mut SendResponse<Bytes>) {
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    // A client that is gone is noticed elsewhere.
    let _ = respond.send_informational(response);
}

/// Answers a head that is beyond our bounds.
fn refuse(
    stream: &Stream,
    fault: Fault,
    page: Response<Bytes>,
    to_head: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Lost> {
    let client = &stream.client;
    client.count_bad_request(Some(fault));
    let sent = response::send_page(stream, page, to_head, respond);
    let end = fault.termination(Phase::Request);
    client.log_bad_request(Some(fault.status()), end, sent.unwrap_or_default());
    sent.map(drop)
}
