//! A client connection, from its first byte to its last.
//!
//! Busy, it is a hyper connection. Idle for a moment, it gives its buffers back and only waits for
//! the socket to become readable: ten thousand idle clients cost little more than their sockets.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::client::Client;
use super::client_io::ClientIo;
use super::fault::Fault;
use super::linger::{self, Unread};
use super::request::{self, Gone};
use super::request_body::RequestBody;
use super::socket::Socket;
use super::tunnel::Channel;
use super::upgrade::Upgrade;
use super::watch::{Awaiting, Expired, LOOK, Look};
use crate::access_log::{Cause, Phase, Termination};

/// How a busy connection goes on.
enum Next {
    Park(Socket),
    /// With another protocol, and what the client sent of it already.
    Upgrade(Socket, Upgrade, Bytes),
    Refuse(Socket, Fault),
    /// Nothing more will be sent.
    Close(Socket, Unread),
    /// The answer broke off.
    Cut(Socket),
}

/// Serves a connection until it ends. What is large and comes to few is boxed: an idle connection is as
/// large as the largest thing that may become of it.
pub(super) async fn serve(mut stream: Socket, client: Rc<Client>) {
    while stream.holds_bytes() || readable(stream.tcp(), &client).await {
        stream = match Box::pin(busy(stream, client.clone())).await {
            Next::Park(stream) => {
                client.parked();
                stream
            }
            Next::Upgrade(stream, upgrade, sent) => {
                Box::pin(upgrade.run(&client, Channel::Socket(stream), sent)).await;
                break;
            }
            Next::Refuse(stream, fault) => {
                Box::pin(linger::refuse(stream, &client, fault)).await;
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

/// Waits, holding nothing but the socket, until something comes. False: it never will, or too late.
pub(super) async fn readable(stream: &TcpStream, client: &Client) -> bool {
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
async fn busy(stream: Socket, client: Rc<Client>) -> Next {
    client.note_local(stream.tcp());
    let io = TokioIo::new(ClientIo::new(stream, client.clone()));
    let service = service_fn(|request: Request<Incoming>| {
        let begun = request::begin(&client, request.map(RequestBody::from));
        let client = &client;
        async move { Ok::<_, Gone>(begun?.answer(client).await) }
    });
    let mut conn = client.thread.http.serve_connection(io, service);
    let mut timer = pin!(sleep_until(client.watch.next_look(Instant::now())));
    let end = poll_fn(|cx| {
        client.set_waker(cx);
        loop {
            if client.thread.is_cutting() {
                client.flow.will_be_cut(Cause::Killed);
                return Poll::Ready(End::Cut);
            }
            if let Poll::Ready(result) = Pin::new(&mut conn).poll(cx) {
                return Poll::Ready(End::Done(result));
            }
            if let Some(fault) = client.take_refused() {
                client.flow.will_be_refused(fault);
                return Poll::Ready(End::Refused(fault));
            }
            // hyper had its turn to notice; whoever did not leaves nothing to go on with.
            if let Some(Expired(awaiting)) = client.watch.take_expired() {
                client.flow.will_be_cut(awaiting.cause());
                return Poll::Ready(End::Cut);
            }
            if client.is_abandoned() {
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
    let parts = conn.into_parts();
    let io = parts.io.into_inner();
    let unread = io.unread();
    let gone = match end {
        End::Done(_) => Some(Cause::Client),
        End::Cut if client.thread.is_cutting() => Some(Cause::Killed),
        End::Cut | End::Refused(_) | End::Idle { .. } => None,
    };
    if let Some(by) = gone.filter(|_| io.in_head() && !client.in_exchange()) {
        client.count_bad_request(None);
        client.log_bad_request(None, Termination::at(by, Phase::Request), 0);
    }
    let upgrade = client.take_upgrade();
    if let (End::Done(Ok(())), Some(upgrade)) = (&end, upgrade) {
        let (stream, held) = io.into_parts();
        let sent = [&parts.read_buf, held.as_slice()].concat();
        return Next::Upgrade(stream, upgrade, sent.into());
    }
    let (stream, _) = io.into_parts();
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
        End::Done(Err(_)) if client.in_exchange() && client.is_unframed() => Next::Cut(stream),
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
    /// Silent for too long in the middle of something, or lbd stops.
    Cut,
}

/// Looks at the deadline if it is time to. `None`: hyper is to be polled once more.
fn look(client: &Client, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Option<Poll<End>> {
    if client.watch.is_sooner() {
        let next = client.watch.next_look(Instant::now());
        timer.as_mut().reset(next);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_request_takes_little() {
        fn size<F>(_: fn(Socket, Rc<Client>) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(serve) <= 768, "{} bytes", size(serve));
    }
}
