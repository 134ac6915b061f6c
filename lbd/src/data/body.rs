//! An answer's body on its way through: nothing is buffered, silence is noticed, the end is told.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::account::Account;
use super::client::Client;
use super::exchange::{Cut, Exchange};
use super::watch::Expired;
use crate::access_log::Cause;

/// An answer's body, on its way to the client. It carries the request's account, and hands it over
/// when the body has ended; dropped before, it closes it.
#[derive(Debug)]
pub(super) struct Answer {
    source: Source,
    /// Who broke it off.
    cut: Option<Cause>,
    client: Rc<Client>,
    account: Option<Box<Account>>,
}

#[derive(Debug)]
enum Source {
    Server(Exchange),
    Own(Option<Bytes>),
}

/// hyper closes the connection, which shows it.
impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's response ended early")
    }
}

impl Error for Cut {}

impl Answer {
    pub(super) fn from_server(
        exchange: Exchange,
        client: Rc<Client>,
        account: Box<Account>,
    ) -> Self {
        client.gives();
        Self {
            source: Source::Server(exchange),
            cut: None,
            client,
            account: Some(account),
        }
    }

    /// Nothing: the connection turns into a tunnel, which holds the account.
    pub(super) fn tunnel(client: Rc<Client>) -> Self {
        Self {
            source: Source::Own(None),
            cut: None,
            client,
            account: None,
        }
    }

    pub(super) fn own(bytes: Bytes, client: Rc<Client>, account: Box<Account>) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            source: Source::Own(bytes),
            cut: None,
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
        if let Source::Server(exchange) = std::mem::replace(&mut self.source, Source::Own(None))
            && let (Some(upstream), Some(lease)) = (exchange.into_reusable(), &account.lease)
        {
            self.client.keep(lease.server(), upstream);
        }
        self.client.answered(account);
    }

    /// Goes on with the request's body while nothing more of the answer is taken. That it broke off
    /// shows when the next frame is asked for.
    pub(super) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        if let Source::Server(exchange) = &mut self.source {
            let _ = exchange.poll_upload(cx);
        }
    }

    fn is_complete(&self) -> bool {
        match &self.source {
            Source::Own(_) => true,
            Source::Server(exchange) => exchange.is_complete(),
        }
    }

    fn poll_server(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Source::Server(exchange) = &mut self.source else {
            return Poll::Ready(None);
        };
        if self.cut.is_some() {
            return self.poll_cut();
        }
        match exchange.poll_frame(cx) {
            Poll::Pending => {
                exchange.await_server();
                match self.client.watch.take_expired() {
                    Some(Expired(awaiting)) => self.cut_by(awaiting.cause()),
                    None => return Poll::Pending,
                }
            }
            Poll::Ready(Some(Err(Cut(by)))) => self.cut_by(by),
            Poll::Ready(frame) => {
                self.client.await_client();
                self.client.gives();
                return Poll::Ready(frame);
            }
        }
        self.poll_cut()
    }

    fn cut_by(&mut self, by: Cause) {
        self.cut = Some(by);
        if let (Source::Server(exchange), Cause::ServerTimeout) = (&self.source, by) {
            exchange.was_in_vain();
        }
        if let Some(account) = &self.account {
            account.cut(by);
            if matches!(by, Cause::Server | Cause::ServerTimeout) {
                account.response_error();
            }
        }
    }

    /// Waits until what came before the cut is written: hyper drops it otherwise. An operator does not
    /// wait for that.
    fn poll_cut(&self) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.client.await_client();
        let killed = self.cut == Some(Cause::Killed);
        let written = self.client.is_written() || self.client.watch.take_expired().is_some();
        match written || killed {
            true => Poll::Ready(self.cut.map(|by| Err(Cut(by)))),
            false => Poll::Pending,
        }
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
            Source::Server(_) => ready!(this.poll_server(cx)),
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
            Source::Server(exchange) => exchange.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Server(exchange) => match exchange.left() {
                Some(left) => SizeHint::with_exact(left),
                None => SizeHint::default(),
            },
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // hyper drops a body that has nothing to send without asking it, and ours also where the
        // request was HEAD.
        if self.is_complete() {
            self.end();
        } else if self.account.is_some() {
            self.client.answer_abandoned();
        }
    }
}
