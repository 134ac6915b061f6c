//! A request's body on its way to the server on a stream of HTTP/2: as fast as the server takes it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use http_body::{Body, Frame};

use super::headers;
use super::request_body::RequestBody;
use super::upload::{Broken, Progress};

/// How much of a body that was sent is kept, in bytes, until it is clear that the server acts on the
/// request. Of most servers nobody may send more before that: it is the initial window (RFC 9113, 6.9.2).
const MOST_KEPT: u64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct StreamUpload {
    state: State,
    /// `None`: the body has been taken to its end, or there is none.
    incoming: Option<RequestBody>,
    /// Taken and not sent yet.
    piece: Bytes,
    /// Nothing follows the piece.
    is_last: bool,
    sent_bytes: u64,
    kept: Kept,
}

#[derive(Debug)]
enum State {
    Sending(SendStream<Bytes>),
    /// A tunnel may follow: the stream is not to be ended.
    Open(SendStream<Bytes>),
    Sent,
}

/// What was sent of a body, as long as it may have to be sent again.
#[derive(Debug, Default)]
struct Kept {
    data: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// It was too much, or is not needed any more.
    is_gone: bool,
}

impl Kept {
    /// `all`: bytes sent so far.
    fn keep(&mut self, piece: &Bytes, all: u64) {
        if all > MOST_KEPT {
            self.forget();
        } else if !self.is_gone && !piece.is_empty() {
            self.data.push(piece.clone());
        }
    }

    fn forget(&mut self) {
        *self = Self {
            is_gone: true,
            ..Self::default()
        };
    }
}

impl StreamUpload {
    /// `open`: there is no body, and the stream is for a tunnel.
    pub(super) fn new(sends: SendStream<Bytes>, incoming: Option<RequestBody>, open: bool) -> Self {
        Self {
            state: match open {
                true => State::Open(sends),
                false => State::Sending(sends),
            },
            incoming,
            ..Self::sent()
        }
    }

    /// That of a request without a body.
    pub(super) fn sent() -> Self {
        Self {
            state: State::Sent,
            incoming: None,
            piece: Bytes::new(),
            is_last: false,
            sent_bytes: 0,
            kept: Kept::default(),
        }
    }

    /// Bytes sent so far: tells whether something moves.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Sends what can be sent now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<Progress, Broken> {
        loop {
            if matches!(self.state, State::Open(_) | State::Sent) {
                return Ok(Progress::Sent);
            }
            if !self.piece.is_empty() || self.is_last {
                match self.poll_send(cx) {
                    Poll::Pending => {
                        if let Some(body) = &mut self.incoming {
                            body.poll_ahead(cx);
                        }
                        return Ok(Progress::AwaitsServer);
                    }
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => {
                        self.state = State::Sent;
                        return Err(Broken::Server);
                    }
                }
            } else if !self.take_some(cx)? {
                return Ok(Progress::AwaitsClient);
            }
        }
    }

    /// Sends as much of the piece as the server makes room for.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        let State::Sending(sends) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let mut room = 0;
        if !self.piece.is_empty() {
            sends.reserve_capacity(self.piece.len());
            room = sends.capacity();
            if room == 0 {
                room = match ready!(sends.poll_capacity(cx)) {
                    Some(room) => room?,
                    None => return Poll::Ready(Err(h2::Reason::STREAM_CLOSED.into())),
                };
            }
        }
        let piece = self.piece.split_to(room.min(self.piece.len()));
        let ends = self.is_last && self.piece.is_empty();
        self.sent_bytes += piece.len() as u64;
        self.kept.keep(&piece, self.sent_bytes);
        sends.send_data(piece, ends)?;
        if ends {
            self.state = State::Sent;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the next piece of the body; false: it is not there yet.
    fn take_some(&mut self, cx: &mut Context<'_>) -> Result<bool, Broken> {
        let Some(incoming) = &mut self.incoming else {
            self.is_last = true;
            return Ok(true);
        };
        let frame = match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Pending => return Ok(false),
            Poll::Ready(frame) => frame.transpose().map_err(|_| Broken::Client)?,
        };
        let is_last = incoming.is_end_stream();
        match frame.map(Frame::into_data) {
            None => self.is_last = true,
            Some(Ok(data)) => {
                self.piece = data;
                self.is_last = is_last;
            }
            Some(Err(frame)) => self.send_trailers(frame)?,
        }
        if self.is_last {
            self.incoming = None;
        }
        Ok(true)
    }

    fn send_trailers(&mut self, frame: Frame<Bytes>) -> Result<(), Broken> {
        let Ok(mut trailers) = frame.into_trailers() else {
            return Ok(());
        };
        headers::keep_only_trailing(&mut trailers);
        self.incoming = None;
        if !self.kept.is_gone {
            self.kept.trailers = Some(trailers.clone());
        }
        match std::mem::replace(&mut self.state, State::Sent) {
            State::Sending(mut sends) => sends.send_trailers(trailers).map_err(|_| Broken::Server),
            _ => Ok(()),
        }
    }

    /// The server acts on the request: it is not sent again.
    pub(super) fn is_heard(&mut self) {
        self.kept.forget();
    }

    /// Sends nothing more, where a tunnel could have been.
    pub(super) fn end(&mut self) {
        if let State::Open(mut sends) = std::mem::replace(&mut self.state, State::Sent) {
            // A stream that is over already needs no end.
            let _ = sends.send_data(Bytes::new(), true);
        }
    }

    /// Whether some of the body is still to come.
    pub(super) fn awaits_client(&self) -> bool {
        self.incoming
            .as_ref()
            .is_some_and(|body| !body.is_end_stream())
    }

    /// Takes back the body as it was, if that can be; `again`: also where some of it was sent.
    pub(super) fn take_back(self, again: bool) -> Option<RequestBody> {
        if self.kept.is_gone || self.sent_bytes > 0 && !again {
            return None;
        }
        let unsent = Some(self.piece).filter(|piece| !piece.is_empty());
        let data = self.kept.data.into_iter().chain(unsent).map(Frame::data);
        let trailers = self.kept.trailers.map(Frame::trailers);
        let frames: Vec<_> = data.chain(trailers).collect();
        match frames.is_empty() {
            true => self.incoming,
            false => Some(RequestBody::again(frames, self.incoming)),
        }
    }

    /// For a tunnel.
    pub(super) fn into_stream(self) -> Option<SendStream<Bytes>> {
        match self.state {
            State::Open(sends) => Some(sends),
            State::Sending(_) | State::Sent => None,
        }
    }
}
