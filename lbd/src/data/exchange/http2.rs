//! One request and its response on a stream of HTTP/2 (RFC 9113, 8.1).

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Error, Reason};
use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Frame;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::{Cut, Failed, Far, translate};
use crate::access_log::Cause;
use crate::data::client::Client;
use crate::data::decode::{Head, Malformed};
use crate::data::inflow::Inflow;
use crate::data::own_fields::RequestHead;
use crate::data::request_body::RequestBody;
use crate::data::stream_upload::StreamUpload;
use crate::data::trunk::Slot;
use crate::data::tunnel::{Channel, Stream};
use crate::data::upload::{Broken, Progress};
use crate::data::watch::Awaiting;
use crate::data::websocket;

/// How long the end of a response is waited for whose length has come.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(in crate::data) struct Exchange {
    client: Rc<Client>,
    upload: StreamUpload,
    response: Response,
    /// `Some`: the client asks for a tunnel.
    tunnel: Option<Tunnel>,
    /// Bytes of the response to come, where that is known.
    left: Option<u64>,
    /// Came already, and are to be passed on.
    trailers: Option<HeaderMap>,
    /// Nothing more of it is to be passed on.
    has_ended: bool,
    said: bool,
    /// The server told that it did not act on the request.
    is_untouched: bool,
    /// The connection ended, or was about to, before the server said anything.
    has_closed: bool,
    /// Bytes that had come on the connection when the server was last heard here.
    heard: u64,
    /// How long the server may be silent.
    timeout: Duration,
    // Last, so that the place is given up after the stream.
    slot: Slot,
}

#[derive(Debug)]
enum Response {
    Awaited(ResponseFuture),
    /// Whoever has no room for it takes it, too: see [`Client::poll_ahead`].
    Came(Rc<RefCell<Inflow>>),
}

/// A tunnel that is asked for (RFC 8441).
#[derive(Debug)]
struct Tunnel {
    protocol: HeaderValue,
    /// What proves to a client of HTTP/1 that its WebSocket was understood.
    accept: Option<HeaderValue>,
}

/// Why a request could not be begun on a connection. Nothing of it was sent.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(in crate::data) enum NotBegun {
    #[error("the connection takes no more requests")]
    Leaving,
    #[error("it has no extended CONNECT, which HTTP/2 needs for WebSockets (RFC 8441)")]
    NoTunnels,
}

impl Exchange {
    /// Begins a stream. The body is taken where that succeeds.
    pub(in crate::data) fn begin(
        client: Rc<Client>,
        slot: Slot,
        head: &RequestHead,
        body: &mut Option<RequestBody>,
        timeout: Duration,
        upgrades: bool,
    ) -> Result<Self, NotBegun> {
        // What asks for a tunnel has no content; with some, it is a request like others (RFC 9110, 7.8).
        let upgrades = upgrades && body.is_none();
        if upgrades && !slot.takes_tunnels() {
            return Err(NotBegun::NoTunnels);
        }
        let tunnel = upgrades.then(|| Tunnel::asked(head));
        let request = translate::request(head, slot.is_secure(), upgrades);
        let ends = body.is_none() && !upgrades;
        let (response, sends) = slot.begin(request, ends).map_err(|_| NotBegun::Leaving)?;
        let upload = match ends {
            true => StreamUpload::sent(),
            false => StreamUpload::new(sends, body.take(), upgrades),
        };
        Ok(Self {
            client,
            upload,
            response: Response::Awaited(response),
            tunnel,
            left: None,
            trailers: None,
            has_ended: false,
            said: false,
            is_untouched: false,
            has_closed: false,
            heard: slot.received(),
            timeout,
            slot,
        })
    }

    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failed>> {
        match self.poll_upload(cx).map_err(|_| Failed::Client)? {
            Progress::AwaitsClient => self.client.await_client(),
            Progress::AwaitsServer | Progress::Sent => self.await_server(),
        }
        let Response::Awaited(response) = &mut self.response else {
            return Poll::Ready(Err(Failed::Server));
        };
        while let Poll::Ready(Some(informed)) = response.poll_informational(cx) {
            let head = informed.map(|response| response.into_parts().0);
            let Ok(head) = head else {
                break;
            };
            self.said = true;
            self.client.watch.moved();
            match translate::response(head, None) {
                Ok(head) => self.client.inform(head),
                Err(Malformed) => return Poll::Ready(Err(Failed::Server)),
            }
        }
        match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => {
                self.heard();
                let (head, receives) = response.into_parts();
                let inflow = Rc::new(RefCell::new(Inflow::new(receives)));
                self.client.note_inflow(&inflow);
                self.response = Response::Came(inflow);
                self.upload.is_heard();
                Poll::Ready(self.head(head).map_err(|Malformed| Failed::Server))
            }
            Err(error) => {
                self.broke(&error);
                Poll::Ready(Err(Failed::Server))
            }
        }
    }

    fn head(&mut self, parts: http::response::Parts) -> Result<Head, Malformed> {
        let protocol = self.tunnel.as_ref().map(|tunnel| &tunnel.protocol);
        let mut head = translate::response(parts, protocol)?;
        match self.tunnel.take() {
            Some(tunnel) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                if let Some(accept) = tunnel.accept {
                    head.headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
                }
            }
            // Nothing is sent where there is no tunnel.
            Some(_) => self.upload.end(),
            None => {}
        }
        Ok(head)
    }

    pub(super) fn is_silent(&self) -> bool {
        !self.said
    }

    pub(super) fn is_untouched(&self) -> bool {
        self.is_untouched
    }

    pub(super) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Takes back the request's body, if all of it is there still, and may be sent again.
    pub(super) fn take_back(self) -> Option<RequestBody> {
        self.upload.take_back(self.is_untouched)
    }

    /// That the body has the length told, h2 sees to (RFC 9113, 8.1.1).
    pub(super) fn expect_body(&mut self, head: &Head, to_head: bool) -> Result<(), Malformed> {
        let bodiless = matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
        // Whatever comes, it is no content (RFC 9110, 6.4.1).
        self.has_ended = to_head || bodiless;
        self.left = match head.headers.get(CONTENT_LENGTH) {
            _ if self.has_ended => Some(0),
            None => None,
            Some(length) => {
                let length = length.to_str().ok().and_then(|length| length.parse().ok());
                Some(length.ok_or(Malformed)?)
            }
        };
        Ok(())
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.poll_upload(cx).is_err() {
            return Poll::Ready(Some(Err(Cut(Cause::Client))));
        }
        if let Some(data) = ready!(self.poll_data(cx)) {
            let Ok(data) = data else {
                return Poll::Ready(Some(Err(Cut(Cause::Server))));
            };
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            self.heard = self.slot.received();
            if self.left == Some(0) {
                // Its end may be here, too, and by HTTP/1 nobody asks for it.
                self.look_for_end(cx);
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.poll_trailers(cx));
        self.has_ended = trailers.is_ok();
        Poll::Ready(match trailers {
            Ok(None) => None,
            Ok(Some(mut trailers)) => {
                translate::response_trailers(&mut trailers);
                Some(Ok(Frame::trailers(trailers)))
            }
            Err(_) => Some(Err(Cut(Cause::Server))),
        })
    }

    fn look_for_end(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(None) = self.poll_data(cx)
            && let Poll::Ready(Ok(trailers)) = self.poll_trailers(cx)
        {
            self.has_ended = trailers.is_none();
            self.trailers = trailers;
        }
    }

    /// The next piece of data; `None`: it was the last.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Response::Came(receives) = &mut self.response else {
            return Poll::Ready(None);
        };
        if self.trailers.is_some() {
            return Poll::Ready(None);
        }
        receives.borrow_mut().poll_data(cx)
    }

    /// What comes after the data.
    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Error>> {
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Ok(Some(trailers)));
        }
        let Response::Came(receives) = &mut self.response else {
            return Poll::Ready(Ok(None));
        };
        receives.borrow_mut().poll_trailers(cx)
    }

    pub(super) fn has_ended(&self) -> bool {
        match &self.response {
            Response::Awaited(_) => false,
            Response::Came(receives) => self.has_ended || receives.borrow().is_end_stream(),
        }
    }

    /// Whether all of the body has come, though the stream may go on.
    pub(super) fn is_complete(&self) -> bool {
        self.left() == Some(0)
    }

    pub(super) fn left(&self) -> Option<u64> {
        match self.has_ended() {
            true => Some(0),
            false => self.left,
        }
    }

    /// Nobody asks for more. A stream that is about to end is not reset: a server would take it for
    /// a client that went away.
    pub(super) fn finish(self) {
        let complete = self.is_complete();
        if let Response::Came(receives) = self.response
            && complete
            && let Some(receives) = Rc::into_inner(receives).map(RefCell::into_inner)
            && !receives.is_end_stream()
        {
            spawn_local(end_of(receives, self.slot));
        }
    }

    pub(super) fn awaits_client(&self) -> bool {
        self.upload.awaits_client()
    }

    pub(super) fn await_server(&self) {
        self.client.watch.expect(Awaiting::Server, self.timeout);
    }

    /// A connection on which nothing came for so long may lead nowhere any more: it gets no more
    /// requests.
    pub(super) fn was_in_vain(&self) {
        if self.slot.received() == self.heard {
            self.slot.give_up();
        }
    }

    pub(super) fn into_tunnel(self) -> Option<Far> {
        let Response::Came(receives) = self.response else {
            return None;
        };
        let receives = Rc::into_inner(receives)?.into_inner();
        let stream = Stream::new(receives, self.upload.into_stream()?);
        Some(Far {
            channel: Channel::Stream(Box::new(stream)),
            received: Bytes::new(),
            slot: Some(self.slot),
        })
    }

    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Progress, Broken> {
        let before = self.upload.sent_bytes();
        let progress = self.upload.poll(cx);
        if self.upload.sent_bytes() != before {
            self.client.watch.moved();
        }
        match progress {
            // It may have answered all the same; that shows when its answer is asked for.
            Err(Broken::Server) => Ok(Progress::Sent),
            other => other,
        }
    }

    /// Takes note of what an error in place of the head tells.
    fn broke(&mut self, error: &Error) {
        // An answer came, and it is none (RFC 9113, 8.1.1), or what came ends the connection, and who
        // is alone on it is who was answered.
        self.said |= error.is_library() && (error.is_reset() || self.slot.is_blamed());
        let left_out = error.is_remote() && error.is_go_away();
        let refused = error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        // Nothing was done about the request (RFC 9113, 8.7).
        self.is_untouched = !self.said && (left_out || refused);
        self.has_closed = !self.said && (left_out || error.is_io());
    }

    fn heard(&mut self) {
        self.said = true;
        self.heard = self.slot.received();
        self.client.watch.moved();
    }
}

impl Tunnel {
    fn asked(head: &RequestHead) -> Self {
        let protocol = head.parts.headers.get(UPGRADE);
        let key = head.parts.headers.get(SEC_WEBSOCKET_KEY);
        Self {
            protocol: protocol.map_or(HeaderValue::from_static(""), HeaderValue::clone),
            accept: key.map(|key| websocket::accept(key.as_bytes())),
        }
    }
}

async fn end_of(mut receives: Inflow, _slot: Slot) {
    let end = poll_fn(|cx| {
        while let Some(Ok(_)) = ready!(receives.poll_data(cx)) {}
        receives.poll_trailers(cx)
    });
    // Too late, it is reset.
    let _ = timeout(PATIENCE, end).await;
}
