//! A client connection by HTTP/2 (RFC 9113): its streams are accepted here, each goes its own way.
//!
//! One task drives the connection with all its streams, and owns its only timer; each stream has a
//! [`Client`] as a connection of HTTP/1 has.

mod budget;
mod frames;
mod io;
mod preface;
mod request;
mod response;
mod stream;
mod streams;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::debug;

use self::io::StreamIo;
pub(super) use self::preface::{Spoken, look};
use self::streams::{Stream, Streams};
use super::client::Client;
use super::framing::MAX_HEAD;
use super::linger::{self, Unread};
use super::socket::Socket;
use super::watch::{Awaiting, LOOK, Look};
use crate::access_log::{Cause, Phase, Termination};

/// Streams a client may have open at once, as HAProxy's `tune.h2.fe.max-concurrent-streams`.
const MOST_STREAMS: u32 = 100;

/// How much a client may send ahead of what was taken, in bytes: on one stream, and on all of its
/// streams together. The latter bounds what lies here of its uploads.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How much memory frames may take beyond their content, in bytes, while nobody takes that: some 8000 small ones.
const FRAME_OVERHEAD: usize = 2 * CONNECTION_WINDOW as usize;

/// How much of an answer is held per stream for a client that takes it slowly, in bytes.
const MOST_UNSENT: usize = 64 * 1024;

/// How long a client that is told that the connection ends is waited for, once no stream is left: as one of
/// HTTP/1 that connected as we stop.
const PATIENCE: Duration = LOOK;

/// Serves a connection that speaks HTTP/2, from its preface to its end.
pub(super) async fn serve(stream: Socket, client: Rc<Client>) {
    client.note_local(stream.tcp());
    let socket = Rc::new(RefCell::new(stream));
    let streams = Streams::new(client.clone());
    let io = StreamIo::new(socket.clone(), streams.clone());
    let mut driver = Driver::new(io, streams.clone(), stream::serve);
    let end = driver.run().await;
    log_end(&client, &streams, &end);
    streams.give_up(end.cause());
    driver.finish().await;
    let unread = match end {
        End::Silent(Awaiting::Request) if !streams.frames.in_head() => Unread::Nothing,
        _ => Unread::Something,
    };
    if let Ok(socket) = Rc::try_unwrap(socket) {
        linger::close(socket.into_inner(), unread).await;
    }
}

/// Why a connection is over.
enum End {
    /// One side said so, and nothing was left to do.
    Closed,
    Broken(h2::Error),
    /// The client was told to calm down.
    Flooded,
    /// Nothing came in time, or nobody is waited for: lbd stops.
    Silent(Awaiting),
}

impl End {
    /// Whose doing it was, for what was not finished.
    fn cause(&self) -> Cause {
        match self {
            Self::Silent(awaiting) => awaiting.cause(),
            Self::Closed | Self::Broken(_) | Self::Flooded => Cause::Client,
        }
    }
}

/// What was no request, or never became one, has a line in the access log, as by HTTP/1.
fn log_end(client: &Client, streams: &Streams, end: &End) {
    let (cause, phase) = match end {
        End::Silent(Awaiting::Head) => (Cause::ClientTimeout, Phase::Request),
        End::Silent(Awaiting::Nobody) if streams.frames.in_head() => {
            (Cause::Killed, Phase::Request)
        }
        End::Broken(error) if error.is_io() => {
            debug!(peer = %client.peer, %error, "HTTP/2 connection broke");
            match streams.frames.in_head() {
                true => (Cause::Client, Phase::Request),
                false => return,
            }
        }
        End::Broken(error) if !error.is_remote() => {
            debug!(peer = %client.peer, %error, "HTTP/2 connection refused");
            (Cause::Proxy, Phase::Request)
        }
        End::Flooded => (Cause::Proxy, Phase::Request),
        End::Closed if streams.frames.in_head() => (Cause::Client, Phase::Request),
        End::Silent(_) | End::Broken(_) | End::Closed => return,
    };
    client.count_bad_request(None);
    client.log_bad_request(None, Termination::at(cause, phase), 0);
}

enum State {
    Greeting(Handshake<StreamIo, Bytes>),
    Open(Connection<StreamIo, Bytes>),
}

/// `serve` is what becomes of a stream.
struct Driver<S, F> {
    state: State,
    streams: Rc<Streams>,
    serve: S,
    /// Not tasks of the runtime: those cost more, and another poll of the connection for what they send.
    running: FuturesUnordered<F>,
    /// When the client was told that no more streams are taken.
    leaving: Option<Instant>,
    /// It was told to calm down.
    flooded: bool,
}

impl<S, F> Driver<S, F>
where
    S: Fn(Stream, Request<RecvStream>, SendResponse<Bytes>) -> F,
    F: Future<Output = ()>,
{
    fn new(io: StreamIo, streams: Rc<Streams>, serve: S) -> Self {
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(MOST_STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(MOST_UNSENT)
            .data_frame_budget(FRAME_OVERHEAD)
            // Of those that came together; see `budget` for the others.
            .max_pending_accept_reset_streams(MOST_STREAMS as usize)
            // Room beyond our own bound, so that it is ours that is met.
            .max_header_list_size(2 * MAX_HEAD as u32)
            .enable_connect_protocol();
        Self {
            state: State::Greeting(builder.handshake(io)),
            streams,
            serve,
            running: FuturesUnordered::new(),
            leaving: None,
            flooded: false,
        }
    }

    async fn run(&mut self) -> End {
        let client = self.streams.client.clone();
        let mut timer = pin!(sleep_until(client.watch.next_look(Instant::now())));
        poll_fn(|cx| {
            client.set_waker(cx);
            self.streams.heed_kills();
            loop {
                if client.thread.is_cutting() {
                    return Poll::Ready(End::Silent(Awaiting::Nobody));
                }
                self.poll_streams(cx);
                if let Poll::Ready(end) = self.poll_connection(cx) {
                    return Poll::Ready(end);
                }
                if self.streams.take_begun() {
                    continue;
                }
                if client.watch.take_expired().is_some() {
                    return Poll::Ready(End::Silent(client.watch.awaiting()));
                }
                if self.leaving.is_none() && client.thread.leaves(client.listener) {
                    self.leave();
                    continue;
                }
                match self.look(timer.as_mut(), cx) {
                    Poll::Ready(()) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Lets streams come to their ends after the connection is gone.
    async fn finish(self) {
        let Self { state, running, .. } = self;
        drop(state);
        running.collect().await
    }

    fn poll_streams(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
        self.streams.frames.are_taken();
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let is_deaf = self.is_deaf();
        loop {
            match &mut self.state {
                State::Greeting(handshake) => match Pin::new(handshake).poll(cx) {
                    Poll::Ready(Ok(connection)) => self.state = State::Open(connection),
                    Poll::Ready(Err(error)) => return Poll::Ready(End::Broken(error)),
                    Poll::Pending => return Poll::Pending,
                },
                State::Open(connection) => match connection.poll_accept(cx) {
                    // It was told in time that no more are taken.
                    Poll::Ready(Some(Ok((_, mut respond)))) if is_deaf => {
                        respond.send_reset(Reason::REFUSED_STREAM);
                    }
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        let stream = self.streams.begin();
                        self.running.push((self.serve)(stream, request, respond));
                        if self.streams.budget.is_spent() {
                            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(End::Broken(error)),
                    Poll::Ready(None) => {
                        self.streams.polled();
                        let end = match self.flooded {
                            true => End::Flooded,
                            false => End::Closed,
                        };
                        return Poll::Ready(end);
                    }
                    Poll::Pending if !self.flooded && self.streams.is_flooded() => {
                        self.flooded = true;
                        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    }
                    Poll::Pending => {
                        self.streams.polled();
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// Tells the client that the connection ends (RFC 9113, 6.8). What it asked for is answered.
    fn leave(&mut self) {
        self.leaving = Some(Instant::now());
        self.streams.bound_leaving();
        if let State::Open(connection) = &mut self.state {
            connection.graceful_shutdown();
        }
    }

    /// Whether the client must have heard that.
    fn is_deaf(&self) -> bool {
        self.leaving.is_some_and(|since| since.elapsed() > PATIENCE)
    }

    /// Looks at the deadlines of the connection and its streams if it is time to. Ready: what they
    /// are about may have changed.
    fn look(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
        let client = &self.streams.client;
        if self.streams.take_sooner() {
            let next = self.streams.next_look(Instant::now());
            timer.as_mut().reset(next);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let now = Instant::now();
        let next = self.streams.look(now);
        timer.as_mut().reset(next.min(now + LOOK));
        match client.watch.look(now) {
            Look::Expired(Awaiting::Request) if self.leaving.is_none() => self.leave(),
            Look::Expired(_) => client.watch.expire(),
            Look::Quiet(_) | Look::Moving(_) => {}
        }
        Poll::Ready(())
    }
}
