//! One request and its response on a connection to a server, driven by whoever awaits either.

pub(super) mod http1;
pub(super) mod http2;
mod translate;

use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use super::connect::Upstream;
use super::decode::{Head, Malformed};
use super::request_body::RequestBody;
use super::trunk::Slot;
use super::tunnel::Channel;
use super::upload::{Broken, Progress};
use crate::access_log::Cause;

#[derive(Debug)]
pub(super) enum Exchange {
    Http1(Box<http1::Exchange>),
    Http2(Box<http2::Exchange>),
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// The client's body broke off or does not parse.
    Client,
    /// The server closed the connection, or what it said is no response.
    Server,
}

/// The response broke off, because of one side or the other.
#[derive(Debug)]
pub(super) struct Cut(pub(super) Cause);

/// What a tunnel needs of a server.
pub(super) struct Far {
    pub(super) channel: Channel,
    /// What it sent already.
    pub(super) received: Bytes,
    /// Its stream's place, to be kept as long as it is open.
    pub(super) slot: Option<Slot>,
}

impl Exchange {
    /// Sends the request and waits for the head of the response. Informational responses are passed
    /// on to the client. `fields`: the request's, whose map, which is large, may be used again for the
    /// response.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        fields: &mut HeaderMap,
    ) -> Poll<Result<Head, Failed>> {
        match self {
            Self::Http1(exchange) => exchange.poll_head(cx, fields),
            Self::Http2(exchange) => exchange.poll_head(cx),
        }
    }

    /// Takes note of how the body of the response is framed.
    pub(super) fn expect_body(&mut self, head: &Head, to_head: bool) -> Result<(), Malformed> {
        match self {
            Self::Http1(exchange) => exchange.expect_body(head, to_head),
            Self::Http2(exchange) => exchange.expect_body(head, to_head),
        }
    }

    /// The next frame of the response's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self {
            Self::Http1(exchange) => exchange.poll_frame(cx),
            Self::Http2(exchange) => exchange.poll_frame(cx),
        }
    }

    /// Sends what can be sent of the request. A server that takes no more of it may have answered
    /// all the same (RFC 9112, 9.5).
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Progress, Broken> {
        match self {
            Self::Http1(exchange) => exchange.poll_upload(cx),
            Self::Http2(exchange) => exchange.poll_upload(cx),
        }
    }

    /// Whether the response has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.body().has_ended(),
            Self::Http2(exchange) => exchange.has_ended(),
        }
    }

    /// Whether all of the response's body has come.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.body().has_ended(),
            Self::Http2(exchange) => exchange.is_complete(),
        }
    }

    /// Bytes of the response to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Http1(exchange) => exchange.body().left(),
            Self::Http2(exchange) => exchange.left(),
        }
    }

    /// Whether some of the request is still to come from the client.
    pub(super) fn awaits_client(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.awaits_client(),
            Self::Http2(exchange) => exchange.awaits_client(),
        }
    }

    /// It is the server's turn.
    pub(super) fn await_server(&self) {
        match self {
            Self::Http1(exchange) => exchange.await_server(),
            Self::Http2(exchange) => exchange.await_server(),
        }
    }

    /// The server was silent for as long as it may be.
    pub(super) fn was_in_vain(&self) {
        match self {
            Self::Http1(_) => {}
            Self::Http2(exchange) => exchange.was_in_vain(),
        }
    }

    /// Whether the request can be sent again because no server has acted on it.
    pub(super) fn is_untouched(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_silent() && exchange.is_unsent(),
            Self::Http2(exchange) => exchange.is_untouched(),
        }
    }

    /// Whether the server said nothing at all to the request.
    pub(super) fn is_silent(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_silent(),
            Self::Http2(exchange) => exchange.is_silent(),
        }
    }

    /// Whether the server closed the connection, or left the request out, without a word of an answer.
    pub(super) fn has_closed(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_silent(),
            Self::Http2(exchange) => exchange.has_closed(),
        }
    }

    /// Takes back the request's body, if all of it is there still.
    pub(super) fn take_back(self) -> Option<RequestBody> {
        match self {
            Self::Http1(exchange) => exchange.take_back(),
            Self::Http2(exchange) => exchange.take_back(),
        }
    }

    /// The connection, if another request can use it and it is not shared anyway.
    pub(super) fn into_reusable(self) -> Option<Box<Upstream>> {
        match self {
            Self::Http1(exchange) => exchange.into_reusable(),
            Self::Http2(exchange) => {
                exchange.finish();
                None
            }
        }
    }

    /// What goes on as a tunnel; `None`: there is none.
    pub(super) fn into_tunnel(self) -> Option<Far> {
        match self {
            Self::Http1(exchange) => Some(exchange.into_tunnel()),
            Self::Http2(exchange) => exchange.into_tunnel(),
        }
    }
}
