//! A connection by HTTP/2 from its opening to its end: a task each.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::debug;

use super::io::{Pulse, TrunkIo};
use super::{MOST_STREAMS, Opening, Trunk};
use crate::data::connect::Destination;
use crate::data::decode::MAX_HEAD;
use crate::data::fault::Fault;
use crate::data::socket::Socket;
use crate::state::ThreadId;
use lb_proto::os_error::in_words;

/// How much a server may send ahead of what a client took, in bytes: on one stream. Measured on the
/// loopback, a single download is a quarter faster than with 64 KiB, and no faster with 1 MiB. On all
/// streams together it is as much as they may, so that no slow client keeps others from theirs.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;

/// How much memory frames may take beyond their content, in bytes, while clients take none of that. Beyond it the
/// connection ends, with the streams of all others on it: with 100 slow clients, frames of 50 bytes do not come so far.
const FRAME_OVERHEAD: usize = 4 * CONNECTION_WINDOW as usize;

/// How much of an upload is held per stream for a server that takes it slowly, in bytes.
const MOST_UNSENT: usize = 64 * 1024;

/// How long a server that is told that the connection ends is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens a connection within `patience`, and drives it until nobody needs it or it breaks.
pub(super) async fn run(
    opening: Rc<Opening>,
    to: Destination,
    introduction: Vec<u8>,
    thread: ThreadId,
    patience: Duration,
) {
    let (trunk, connection) = match timeout(patience, reach(&to, introduction, thread)).await {
        Ok(Ok(reached)) => reached,
        Ok(Err(Unreached)) => return opening.finish(Err(Fault::ConnectFailed)),
        Err(_) => return opening.finish(Err(Fault::ConnectTimedOut)),
    };
    let pulse = trunk.pulse.clone();
    opening.finish(Ok(trunk));
    drop(opening);
    let ended = drive(connection, &pulse).await;
    pulse.leaving.set(true);
    match ended {
        Err(error) if error.is_library() => {
            pulse.garble();
            let why = format!("{error}; its requests do not share connections for a minute");
            to.complain("what the server sent is not HTTP/2", &why);
        }
        Err(error) => {
            debug!(server = %to.server.id, %error, "HTTP/2 connection to the server broke");
        }
        Ok(()) => {}
    }
}

/// There is no connection; why, was told.
struct Unreached;

type Reached = (Rc<Trunk>, Connection<TrunkIo, Bytes>);

async fn reach(
    to: &Destination,
    mut introduction: Vec<u8>,
    thread: ThreadId,
) -> Result<Reached, Unreached> {
    let opened = to.open(thread, &mut introduction).await;
    let socket = opened.map_err(|_| Unreached)?;
    let greeted = greet(socket, to, &introduction, thread).await;
    greeted.map_err(|error| {
        to.complain("HTTP/2 with the server failed", &in_words(&error));
        Unreached
    })
}

/// Waits for the server's settings: how many streams it takes, and that it speaks HTTP/2 at all.
async fn greet(
    mut socket: Socket,
    to: &Destination,
    introduction: &[u8],
    thread: ThreadId,
) -> io::Result<Reached> {
    socket.write_all(introduction).await?;
    let pulse = Rc::new(Pulse::default());
    let io = TrunkIo::new(socket, to.server.clone(), thread, pulse.clone());
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(MOST_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(MOST_UNSENT)
        .data_frame_budget(FRAME_OVERHEAD)
        .max_header_list_size(MAX_HEAD as u32);
    let (sender, mut connection) = builder.handshake(io).await.map_err(broken)?;
    poll_fn(|cx| match pin!(&mut connection).poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Err(unsaid(ended))),
        Poll::Pending if pulse.is_greeted() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    if sender.current_max_send_streams() == 0 {
        return Err(io::Error::other(
            "it takes no streams: its SETTINGS_MAX_CONCURRENT_STREAMS is 0",
        ));
    }
    let trunk = Rc::new(Trunk {
        sender,
        pulse,
        way: to.way,
        is_secure: to.is_secure(),
        idle: Cell::new(None),
    });
    Ok((trunk, connection))
}

/// The connection ended before there was a greeting. Who gets what it has no use for may close with a
/// reset.
fn unsaid(ended: Result<(), h2::Error>) -> io::Error {
    match ended.map_err(broken) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => error,
        _ => io::Error::other("it closed the connection without a word of HTTP/2"),
    }
}

/// What broke beneath h2, or what it found to be wrong.
fn broken(error: h2::Error) -> io::Error {
    let text = error.to_string();
    error.into_io().unwrap_or_else(|| io::Error::other(text))
}

async fn drive(mut connection: Connection<TrunkIo, Bytes>, pulse: &Pulse) -> Result<(), h2::Error> {
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        () = pulse.released.notified() => {}
    }
    // It says so to the server, which may not listen.
    timeout(PATIENCE, connection).await.unwrap_or(Ok(()))
}
