//! A request on its way to the server: its head, then its body as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::Body;

use super::connect::Upstream;
use super::encode::{Framing, Outbox};
use super::own_fields::RequestHead;
use super::request_body::RequestBody;

#[derive(Debug)]
pub(super) struct Upload {
    outbox: Outbox,
    /// `None`: the body has been taken to its end, or there is none.
    incoming: Option<RequestBody>,
    framing: Framing,
    /// Some of the body was taken: it cannot be sent again.
    begun: bool,
}

/// Why a request could not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client's body broke off or does not parse.
    Client,
    /// The server takes no more.
    Server,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    AwaitsClient,
    AwaitsServer,
    Sent,
}

impl Upload {
    /// `introduction` goes before the head; `buffer` is one to be used again.
    pub(super) fn new(
        introduction: &[u8],
        head: &RequestHead,
        incoming: Option<RequestBody>,
        buffer: Vec<u8>,
    ) -> Self {
        let sized = |body: &RequestBody| body.size_hint().exact().is_some();
        let mut outbox = Outbox::new(buffer);
        outbox.introduction(introduction);
        outbox.head(head);
        Self {
            outbox,
            framing: match incoming.as_ref().is_none_or(sized) {
                true => Framing::Sized,
                false => Framing::Chunked,
            },
            incoming,
            begun: false,
        }
    }

    /// Sends what can be sent now.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
    ) -> Result<Progress, Broken> {
        loop {
            let waits = self.outbox.takes_data() && self.take_some(cx)?;
            match upstream.poll_write(cx, &mut self.outbox) {
                Poll::Pending => {
                    self.incoming
                        .iter_mut()
                        .for_each(|body| body.poll_ahead(cx));
                    return Ok(Progress::AwaitsServer);
                }
                Poll::Ready(Err(_)) => return Err(Broken::Server),
                Poll::Ready(Ok(())) if self.incoming.is_none() => return Ok(Progress::Sent),
                Poll::Ready(Ok(())) if waits => return Ok(Progress::AwaitsClient),
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    /// Takes the next piece of the body, if it is there; true: it is not.
    fn take_some(&mut self, cx: &mut Context<'_>) -> Result<bool, Broken> {
        let Some(incoming) = &mut self.incoming else {
            return Ok(false);
        };
        let frame = match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Pending => return Ok(true),
            Poll::Ready(Some(Err(_))) => return Err(Broken::Client),
            Poll::Ready(Some(Ok(frame))) => Some(frame),
            Poll::Ready(None) => None,
        };
        let last = incoming.is_end_stream();
        self.begun = true;
        match frame.map(|frame| frame.into_data()) {
            None => self.outbox.end(self.framing),
            Some(Ok(data)) => {
                self.outbox.data(self.framing, data, last);
                if !last {
                    return Ok(false);
                }
            }
            Some(Err(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.outbox.trailers(self.framing, trailers);
                }
            }
        }
        self.incoming = None;
        Ok(false)
    }

    /// Whether some of the body is still to come.
    pub(super) fn awaits_client(&self) -> bool {
        self.incoming
            .as_ref()
            .is_some_and(|body| !body.is_end_stream())
    }

    /// Takes back the body, if nothing of it was taken, and the buffer.
    pub(super) fn take_back(self) -> (Option<RequestBody>, Vec<u8>) {
        let body = self.incoming.filter(|_| !self.begun);
        (body, self.outbox.into_buffer())
    }
}
