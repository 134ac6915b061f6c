//! The two bodies on their way through: nothing is buffered, silence is noticed, the end is told.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::account::Account;
use super::conn::Client;
use super::connect::Upstream;
use super::watch::Awaiting;

/// A request's body, on its way to the server.
#[derive(Debug)]
pub(super) struct Upload {
    /// `None`: the request has no body.
    incoming: Option<Incoming>,
    client: Rc<Client>,
    /// Of the server, once the body is out.
    server_timeout: Duration,
}

impl Upload {
    pub(super) fn new(
        incoming: Option<Incoming>,
        client: Rc<Client>,
        server_timeout: Duration,
    ) -> Self {
        Self {
            incoming,
            client,
            server_timeout,
        }
    }

    pub(super) fn into_incoming(self) -> Option<Incoming> {
        self.incoming
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => this.client.await_client(),
            Poll::Ready(Some(Err(_))) => this.client.upload_broke(),
            Poll::Ready(_) => this
                .client
                .watch
                .expect(Awaiting::Server, this.server_timeout),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// An answer's body, on its way to the client. It carries the request's account, and hands it over
/// when the body has ended; dropped before, it closes it.
#[derive(Debug)]
pub(super) struct Answer {
    source: Source,
    client: Rc<Client>,
    account: Option<Account>,
}

#[derive(Debug)]
enum Source {
    Server {
        incoming: Incoming,
        upstream: Option<Upstream>,
        timeout: Duration,
    },
    Own(Option<Bytes>),
}

/// The answer was cut: hyper closes the connection, which shows it.
#[derive(Debug)]
pub(super) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's response ended early")
    }
}

impl Error for Cut {}

impl Answer {
    pub(super) fn from_server(
        incoming: Incoming,
        upstream: Upstream,
        timeout: Duration,
        client: Rc<Client>,
        account: Account,
    ) -> Self {
        let source = Source::Server {
            incoming,
            upstream: Some(upstream),
            timeout,
        };
        Self {
            source,
            client,
            account: Some(account),
        }
    }

    pub(super) fn own(bytes: Bytes, client: Rc<Client>, account: Account) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            source: Source::Own(bytes),
            client,
            account: Some(account),
        }
    }

    /// The body has ended: the connection can serve another request, the account closes when the
    /// client was sent the last byte.
    fn end(&mut self) {
        let Some(account) = self.account.take() else {
            return;
        };
        if let Source::Server { upstream, .. } = &mut self.source
            && let (Some(upstream), Some(lease)) = (upstream.take(), &account.lease)
        {
            self.client.thread.keep(lease.server(), upstream);
        }
        self.client.answered(account);
    }

    fn poll_server(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Source::Server {
            incoming, timeout, ..
        } = &mut self.source
        else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                self.client.watch.expect(Awaiting::Server, *timeout);
                return match self.client.watch.take_expired() {
                    Some(_) => Poll::Ready(Some(Err(self.cut()))),
                    None => Poll::Pending,
                };
            }
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.client.await_client();
                Some(Ok(frame))
            }
            Some(Err(_)) => Some(Err(self.cut())),
            None => None,
        })
    }

    fn cut(&self) -> Cut {
        if let Some(account) = &self.account {
            account.response_error();
        }
        Cut
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let frame = match &mut this.source {
            Source::Own(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Source::Server { .. } => ready!(this.poll_server(cx)),
        };
        let ends = match &frame {
            // hyper asks for nothing after trailers.
            Some(Ok(frame)) => frame.is_trailers() || this.is_end_stream(),
            Some(Err(_)) => false,
            None => true,
        };
        if ends {
            this.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Server { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Server { incoming, .. } => incoming.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // hyper drops a body that has nothing to send without asking it, and ours also where the
        // request was HEAD.
        if self.is_end_stream() || matches!(self.source, Source::Own(_)) {
            self.end();
        } else if self.account.is_some() {
            self.client.answer_abandoned();
        }
    }
}
