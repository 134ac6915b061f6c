//! A request's body as it comes from the client, by HTTP/1 or on a stream of HTTP/2.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::inflow::Inflow;

#[derive(Debug)]
pub(super) enum RequestBody {
    Http1(Incoming),
    Http2(StreamBody),
    Again(Box<Again>),
    None,
}

/// A body that begins with what was taken of it before.
#[derive(Debug)]
pub(super) struct Again {
    frames: VecDeque<Frame<Bytes>>,
    rest: RequestBody,
}

/// What comes on a stream. A client may send as much more as was taken of it.
#[derive(Debug)]
pub(super) struct StreamBody {
    stream: Inflow,
    /// How much is still to come, where the client said.
    left: Option<u64>,
    has_ended: bool,
}

/// The body broke off or does not parse.
pub(super) type BadBody = Box<dyn Error + Send + Sync>;

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self::Http1(body)
    }
}

impl RequestBody {
    /// One of which these frames were taken; `rest` is what was not.
    pub(super) fn again(frames: Vec<Frame<Bytes>>, rest: Option<Self>) -> Self {
        Self::Again(Box::new(Again {
            frames: frames.into(),
            rest: rest.unwrap_or(Self::None),
        }))
    }

    /// Takes what has come while the server has no room for it, where that must not be left to lie.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Http2(body) => body.stream.poll_ahead(cx),
            Self::Again(again) => again.rest.poll_ahead(cx),
            Self::Http1(_) | Self::None => {}
        }
    }
}

impl StreamBody {
    /// `headers`: the request's. That the body has the length they tell, h2 sees to (RFC 9113, 8.1.1).
    pub(super) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok());
        Self {
            left: length.and_then(|length| length.parse().ok()),
            stream: Inflow::new(stream),
            has_ended: false,
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Some(data) = ready!(self.stream.poll_data(cx)).transpose()? {
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.stream.poll_trailers(cx))?;
        self.has_ended = true;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BadBody;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BadBody>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Http2(body) => body.poll_frame(cx).map_err(Into::into),
            Self::Again(again) => match again.frames.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => Pin::new(&mut again.rest).poll_frame(cx),
            },
            Self::None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.has_ended || body.stream.is_end_stream(),
            Self::Again(again) => again.frames.is_empty() && again.rest.is_end_stream(),
            Self::None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body
                .left
                .map_or_else(SizeHint::default, SizeHint::with_exact),
            // It goes on a stream, where its end tells it.
            Self::Again(_) => SizeHint::default(),
            Self::None => SizeHint::with_exact(0),
        }
    }
}
