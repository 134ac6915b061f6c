//! One request and its response on a connection of HTTP/1 (RFC 9112).

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::{Cut, Failed, Far};
use crate::access_log::Cause;
use crate::data::client::Client;
use crate::data::connect::Upstream;
use crate::data::decode::{self, Body, Head, Malformed, Piece};
use crate::data::own_fields::RequestHead;
use crate::data::request_body::RequestBody;
use crate::data::tunnel::Channel;
use crate::data::upload::{Broken, Progress, Upload};
use crate::data::watch::Awaiting;

#[derive(Debug)]
pub(in crate::data) struct Exchange {
    client: Rc<Client>,
    upstream: Box<Upstream>,
    /// `None` once it is sent.
    upload: Option<Upload>,
    /// The server takes no more of the request.
    refused: bool,
    /// Bytes that the connection had carried before.
    sent_before: u64,
    /// What was received and not taken yet.
    received: Bytes,
    body: Body,
    /// The server said something.
    said: bool,
    /// The connection can be used again when the response has ended.
    reusable: bool,
    /// How long the server may be silent.
    timeout: Duration,
}

impl Exchange {
    pub(in crate::data) fn new(
        client: Rc<Client>,
        mut upstream: Box<Upstream>,
        head: &RequestHead,
        body: Option<RequestBody>,
        timeout: Duration,
    ) -> Self {
        let introduction = upstream.take_introduction();
        let upload = Upload::new(&introduction, head, body, client.thread.take_buffer());
        Self {
            client,
            sent_before: upstream.sent(),
            upstream,
            upload: Some(upload),
            refused: false,
            received: Bytes::new(),
            body: Body::Ended,
            said: false,
            reusable: true,
            timeout,
        }
    }

    /// Sends the request and waits for the head of the response. Informational responses are passed
    /// on to the client. The map of `fields` becomes that of the response.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        fields: &mut HeaderMap,
    ) -> Poll<Result<Head, Failed>> {
        match self.poll_upload(cx).map_err(|_| Failed::Client)? {
            Progress::AwaitsClient => self.client.await_client(),
            Progress::AwaitsServer | Progress::Sent => self.await_server(),
        }
        loop {
            while !self.received.is_empty() {
                let head = decode::head(&mut self.received, fields).map_err(|_| Failed::Server)?;
                match head {
                    Some(head) if head.is_informational() => self.client.inform(head),
                    Some(head) => return Poll::Ready(Ok(head)),
                    None => break,
                }
            }
            if !ready!(self.poll_read(cx)).is_ok_and(|more| more) {
                return Poll::Ready(Err(Failed::Server));
            }
            self.client.watch.moved();
        }
    }

    /// Whether the server said nothing at all to the request.
    pub(super) fn is_silent(&self) -> bool {
        !self.said
    }

    /// Whether nothing of the request was sent.
    pub(super) fn is_unsent(&self) -> bool {
        self.upstream.sent() == self.sent_before
    }

    /// Takes back the request's body, if nothing of it was taken.
    pub(super) fn take_back(self) -> Option<RequestBody> {
        let (body, buffer) = self.upload?.take_back();
        self.client.thread.give_buffer(buffer);
        body
    }

    /// Takes note of how the body of the response is framed.
    pub(super) fn expect_body(&mut self, head: &Head, to_head: bool) -> Result<(), Malformed> {
        self.body = head.body(to_head)?;
        self.reusable = head.keeps_connection() && !matches!(self.body, Body::UntilClose);
        Ok(())
    }

    /// The next frame of the response's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.poll_upload(cx).is_err() {
            return Poll::Ready(Some(Err(Cut(Cause::Client))));
        }
        loop {
            match self.body.next(&mut self.received) {
                Ok(Some(Piece::Data(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Some(Piece::Trailers(fields))) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                }
                Ok(None) if self.body.has_ended() => return Poll::Ready(None),
                Ok(None) => {}
                Err(Malformed) => return Poll::Ready(Some(Err(Cut(Cause::Server)))),
            }
            match ready!(self.poll_read(cx)) {
                Ok(true) => {}
                Ok(false) if matches!(self.body, Body::UntilClose) => self.body = Body::Ended,
                _ => return Poll::Ready(Some(Err(Cut(Cause::Server)))),
            }
        }
    }

    pub(super) fn body(&self) -> &Body {
        &self.body
    }

    /// Whether some of the request is still to come from the client.
    pub(super) fn awaits_client(&self) -> bool {
        self.upload.as_ref().is_some_and(Upload::awaits_client)
    }

    /// It is the server's turn.
    pub(super) fn await_server(&self) {
        self.client.watch.expect(Awaiting::Server, self.timeout);
    }

    /// The connection, if another request can use it.
    pub(super) fn into_reusable(self) -> Option<Box<Upstream>> {
        let complete = self.upload.is_none() && self.body.has_ended() && self.received.is_empty();
        (self.reusable && complete).then_some(self.upstream)
    }

    /// The bare socket, and what the server sent on it already.
    pub(super) fn into_tunnel(self) -> Far {
        Far {
            channel: Channel::Socket(self.upstream.into_stream()),
            received: self.received,
            slot: None,
        }
    }

    /// Sends what can be sent of the request. A server that takes no more of it may have answered
    /// all the same (RFC 9112, 9.5).
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Progress, Broken> {
        let Some(upload) = self.upload.as_mut().filter(|_| !self.refused) else {
            return Ok(Progress::Sent);
        };
        let before = self.upstream.sent();
        let progress = upload.poll(cx, &mut self.upstream);
        let stuck = matches!(progress, Ok(Progress::AwaitsServer));
        if self.upstream.sent() != before || stuck && self.upstream.goes_on(&self.client.watch) {
            self.client.watch.moved();
        }
        match progress {
            Ok(Progress::Sent) => {
                let sent = self.upload.take().map(Upload::take_back);
                self.client
                    .thread
                    .give_buffer(sent.map_or_else(Vec::new, |(_, buffer)| buffer));
                Ok(Progress::Sent)
            }
            Err(Broken::Server) => {
                self.refused = true;
                Ok(Progress::Sent)
            }
            other => other,
        }
    }

    /// Receives more; false: there is no more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let expected = self.body.left();
        let (left, spare) = (&mut self.received, &self.client.thread.spare);
        self.received = ready!(self.upstream.poll_read(cx, left, expected, spare))?;
        self.said |= !self.received.is_empty();
        Poll::Ready(Ok(!self.received.is_empty()))
    }
}
