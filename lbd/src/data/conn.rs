//! A client connection, from its first byte to its last.
//!
//! Busy, it is a hyper connection. Idle for a moment, it gives its buffers back and only waits for
//! the socket to become readable: ten thousand idle clients cost little more than their sockets.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lb_proto::config::ClientTimeouts;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::account::Account;
use super::client_io::ClientIo;
use super::fault::Fault;
use super::linger::{self, Unread};
use super::request;
use super::thread::{Place, Thread};
use super::watch::{Awaiting, LOOK, Look, Watch};
use crate::state::{FrontendRecord, FrontendTally, Listener, add};

/// What is known of a connection as long as it is open; the parts of a request share it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) thread: Rc<Thread>,
    /// The listener's uid.
    pub(super) listener: u64,
    /// Of the frontend that accepted it: counts its bytes.
    record: Arc<FrontendRecord>,
    pub(super) peer: SocketAddr,
    /// The peer's address as a field value.
    pub(super) address: HeaderValue,
    /// The address that is listened on.
    pub(super) local: SocketAddr,
    /// The port it connected to, as a field value.
    pub(super) port: HeaderValue,
    pub(super) watch: Watch,
    timeouts: Cell<ClientTimeouts>,
    /// No part of a request is unread.
    pub(super) between: Cell<bool>,
    /// From the call of the service until the answer is out.
    exchange: Cell<bool>,
    /// The account of an answer that is complete but not out yet.
    answered: RefCell<Option<Account>>,
    refused: Cell<Option<Fault>>,
    /// The body of the request broke off or does not parse.
    upload_broken: Cell<bool>,
    /// The answer's end is the connection's end (RFC 9112, 6.3): only a reset shows that it is cut.
    unframed: Cell<bool>,
    /// The answer's body was given up before its end.
    abandoned: Cell<bool>,
    /// It has asked for something.
    served: Cell<bool>,
    waker: RefCell<Waker>,
}

/// How a busy connection goes on.
enum Next {
    Park(TcpStream),
    Refuse(TcpStream, Fault),
    /// Nothing more will be sent.
    Close(TcpStream, Unread),
    /// The answer broke off.
    Cut(TcpStream),
}

impl Client {
    pub(super) fn new(
        thread: Rc<Thread>,
        listener: &Listener,
        place: &Place,
        peer: SocketAddr,
    ) -> Rc<Self> {
        let frontend = &place.view.snapshot.frontends[place.frontend];
        let timeouts = frontend.config.timeouts;
        let client = Rc::new(Self {
            thread,
            listener: listener.uid,
            record: frontend.record.clone(),
            peer,
            address: text_value(peer.ip().to_canonical()),
            local: listener.address,
            port: text_value(listener.address.port()),
            watch: Watch::new(Awaiting::Request, timeouts.request, Instant::now()),
            timeouts: Cell::new(timeouts),
            between: Cell::new(true),
            exchange: Cell::new(false),
            answered: RefCell::new(None),
            refused: Cell::new(None),
            upload_broken: Cell::new(false),
            unframed: Cell::new(false),
            abandoned: Cell::new(false),
            served: Cell::new(false),
            waker: RefCell::new(Waker::noop().clone()),
        });
        add(&client.tally().connections, 1);
        client
    }

    pub(super) fn tally(&self) -> &FrontendTally {
        self.record.tallies.of(self.thread.id)
    }

    /// The service was called with a request of this frontend.
    pub(super) fn begin_exchange(&self, timeouts: ClientTimeouts) {
        self.exchange.set(true);
        self.served.set(true);
        self.timeouts.set(timeouts);
    }

    pub(super) fn in_exchange(&self) -> bool {
        self.exchange.get()
    }

    /// The first byte of a head has come.
    pub(super) fn head_began(&self) {
        self.watch
            .expect(Awaiting::Head, self.timeouts.get().request);
    }

    /// It is the client's turn to send or to take.
    pub(super) fn await_client(&self) {
        self.watch
            .expect(Awaiting::Client, self.timeouts.get().client);
    }

    /// The client took some of the answer.
    pub(super) fn answer_moved(&self) {
        if self.watch.awaiting() == Awaiting::Client {
            self.watch.moved();
        }
    }

    pub(super) fn upload_broke(&self) {
        self.upload_broken.set(true);
    }

    pub(super) fn upload_is_broken(&self) -> bool {
        self.upload_broken.get()
    }

    /// The answer has no length of its own.
    pub(super) fn answer_is_unframed(&self) {
        self.unframed.set(true);
    }

    /// The answer is complete; the account closes when it is out.
    pub(super) fn answered(&self, account: Account) {
        self.await_client();
        self.answered.replace(Some(account));
    }

    /// The answer's body was given up before its end: nothing can follow it.
    pub(super) fn answer_abandoned(&self) {
        self.abandoned.set(true);
    }

    /// All that was to be written is written: if the answer was complete, it is out now.
    pub(super) fn answer_is_out(&self) -> bool {
        if self.answered.take().is_none() {
            return false;
        }
        self.exchange.set(false);
        self.watch
            .expect(Awaiting::Request, self.timeouts.get().keep_alive);
        true
    }

    /// The head that is coming in is not one to read any further.
    pub(super) fn refuse(&self, fault: Fault) {
        self.refused.set(Some(fault));
    }

    /// Lets the connection look at what changed around it.
    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    fn is_idle(&self) -> bool {
        self.between.get() && !self.exchange.get() && self.watch.awaiting() == Awaiting::Request
    }

    fn is_leaving(&self) -> bool {
        self.is_idle() && self.served.get() && self.thread.is_stopping()
    }

    fn set_waker(&self, cx: &Context<'_>) {
        self.waker.borrow_mut().clone_from(cx.waker());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        add(&self.tally().connections, 1u64.wrapping_neg());
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(mut stream: TcpStream, client: Rc<Client>) {
    while readable(&stream, &client).await {
        stream = match Box::pin(busy(stream, client.clone())).await {
            Next::Park(stream) => {
                client.thread.parked();
                stream
            }
            Next::Refuse(stream, fault) => {
                linger::refuse(stream, &client, fault).await;
                break;
            }
            Next::Close(stream, unread) => {
                linger::close(stream, unread).await;
                break;
            }
            Next::Cut(stream) => {
                linger::reset(stream);
                break;
            }
        };
    }
}

/// Waits, holding nothing but the socket, until a request begins. False: it never will.
async fn readable(stream: &TcpStream, client: &Client) -> bool {
    let mut timer = pin!(sleep_until(client.watch.deadline()));
    let mut hurried = false;
    poll_fn(|cx| {
        client.set_waker(cx);
        if let Poll::Ready(ready) = stream.poll_read_ready(cx) {
            return Poll::Ready(ready.is_ok());
        }
        if client.is_leaving() {
            return Poll::Ready(false);
        }
        // Who connected as we stop may have a request on its way.
        if client.thread.is_stopping() && !std::mem::replace(&mut hurried, true) {
            timer
                .as_mut()
                .reset(client.watch.deadline().min(Instant::now() + LOOK));
        }
        timer.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// Serves requests until the connection is idle or at its end.
async fn busy(stream: TcpStream, client: Rc<Client>) -> Next {
    let io = TokioIo::new(ClientIo::new(stream, client.clone()));
    let service = service_fn(|request| request::serve(client.clone(), request));
    let mut conn = client.thread.http.serve_connection(io, service);
    let mut timer = pin!(sleep_until(client.watch.next_look(Instant::now())));
    let end = poll_fn(|cx| {
        client.set_waker(cx);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut conn).poll(cx) {
                return Poll::Ready(End::Done(result));
            }
            if let Some(fault) = client.refused.take() {
                return Poll::Ready(End::Refused(fault));
            }
            // hyper had its turn to notice; whoever did not leaves nothing to go on with.
            if client.abandoned.get() || client.watch.take_expired().is_some() {
                return Poll::Ready(End::Cut);
            }
            if client.is_leaving() {
                return Poll::Ready(End::Idle { expired: true });
            }
            if let Some(end) = look(&client, timer.as_mut(), cx) {
                return end;
            }
        }
    })
    .await;
    let io = conn.into_parts().io.into_inner();
    let unread = io.unread();
    let stream = io.stream;
    match end {
        End::Done(Err(e)) if e.is_parse() && !client.in_exchange() => {
            let large = e.is_parse_too_large();
            Next::Refuse(
                stream,
                if large {
                    Fault::HeadTooLarge
                } else {
                    Fault::Malformed
                },
            )
        }
        End::Done(Err(_)) if client.in_exchange() && client.unframed.get() => Next::Cut(stream),
        End::Done(_) => Next::Close(stream, unread),
        End::Refused(fault) => Next::Refuse(stream, fault),
        End::Idle { expired: false } => Next::Park(stream),
        End::Idle { expired: true } => Next::Close(stream, Unread::Nothing),
        End::Cut => Next::Cut(stream),
    }
}

/// Why the busy phase of a connection is over.
enum End {
    /// hyper is done with it.
    Done(hyper::Result<()>),
    Refused(Fault),
    Idle {
        expired: bool,
    },
    /// Silent for too long, in the middle of something.
    Cut,
}

/// Looks at the deadline if it is time to. `None`: hyper is to be polled once more.
fn look(client: &Client, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Option<Poll<End>> {
    if timer.as_mut().poll(cx).is_pending() {
        return Some(Poll::Pending);
    }
    match client.watch.look(Instant::now()) {
        Look::Quiet(_) if client.is_idle() => Some(Poll::Ready(End::Idle { expired: false })),
        Look::Quiet(next) | Look::Moving(next) => {
            timer.as_mut().reset(next);
            None
        }
        Look::Expired(Awaiting::Request) => Some(Poll::Ready(End::Idle { expired: true })),
        Look::Expired(Awaiting::Head) => Some(Poll::Ready(End::Refused(Fault::HeadTooSlow))),
        Look::Expired(_) => {
            client.watch.expire();
            None
        }
    }
}

fn text_value(value: impl ToString) -> HeaderValue {
    HeaderValue::try_from(value.to_string()).unwrap_or(HeaderValue::from_static(""))
}
