//! Clients of the control socket: who may come, and the talk with one of them.
//!
//! A client that sends garbage, sends without end or stops reading costs this process a bounded
//! amount of memory and harms nobody else.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use interprocess::local_socket::traits::StreamCommon;
use lb_proto::error::{ErrorCode, ErrorReply};
use lb_proto::event::Event;
use lb_proto::frame::{Line, Lines, MAX_LINE};
use lb_proto::reply::{Answer, AnswerLine, Greeting};
use lb_proto::request::{Request, RequestLine};
use lb_proto::status::By;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::dispatch::{Answered, dispatch};
use super::places::{Place, Places};
use super::users;
use super::{Control, ControlSocket};
use crate::state::Claim;

pub(super) use interprocess::local_socket::tokio::Stream;

/// Clients at once. Scripts and dashboards come in dozens; more is a leak somewhere.
const MAX_CLIENTS: usize = 256;

/// Clients that found no place and wait for one, or are listened to until they have read why there is none.
const MAX_LATE: usize = 32;

/// How long a client waits for a place.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long one that is sent away may take to read why.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// How long a client may leave a piece of an answer unread.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
const WRITE_PIECE: usize = 64 * 1024;

/// After a failed accept (out of descriptors, usually), so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Takes clients in, without end.
pub(super) async fn accept(control: Arc<Control>, socket: ControlSocket) {
    let places = Places::new(MAX_CLIENTS);
    let late = Arc::new(Semaphore::new(MAX_LATE));
    let mut complained = false;
    loop {
        let stream = match socket.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                if !std::mem::replace(&mut complained, true) {
                    warn!(%error, "cannot accept control clients");
                }
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        complained = false;
        if let Some(place) = places.take(Instant::now()) {
            tokio::spawn(serve(stream, control.clone(), place));
        } else if let Ok(waits) = late.clone().try_acquire_owned() {
            let (control, places) = (control.clone(), places.clone());
            tokio::spawn(async move {
                match timeout(PATIENCE, place(&places)).await {
                    Ok(place) => {
                        drop(waits);
                        serve(stream, control, place).await;
                    }
                    Err(_) => drop(timeout(REFUSAL_LINGER, refuse(stream)).await),
                }
            });
        }
    }
}

/// Waits until somebody leaves, or was idle for long enough.
async fn place(places: &Arc<Places>) -> Place {
    loop {
        sleep(PATIENCE / 20).await;
        if let Some(place) = places.take(Instant::now()) {
            return place;
        }
    }
}

async fn serve(stream: Stream, control: Arc<Control>, place: Place) {
    let session = Session::new(stream, control, place);
    let peer = session.peer.clone();
    match session.run().await {
        Ok(()) => debug!(%peer, "control client left"),
        Err(error) => debug!(%peer, %error, "control client lost"),
    }
}

/// Tells a client that it is one too many, and waits until it has hung up: closing with something
/// unread would reset the connection, and it would never see why.
async fn refuse(mut stream: Stream) -> io::Result<()> {
    let error = ErrorReply::new(
        ErrorCode::Failed,
        format!("{MAX_CLIENTS} clients use the control socket already, and none is idle"),
    )
    .hint("close some: `ss -xp` shows who they are");
    let mut lines = line(&greeting());
    lines.extend(error_line(None, error));
    stream.write_all(&lines).await?;
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// Who asks, as the kernel knows it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
}

impl Peer {
    fn of(stream: &Stream) -> Self {
        let creds = stream.peer_creds().ok();
        Self {
            uid: creds.and_then(|c| c.euid()),
            pid: creds.and_then(|c| c.pid()),
        }
    }
}

impl Peer {
    /// The same, with the name of the user.
    pub(super) async fn by(&self) -> By {
        let name = match self.uid {
            Some(uid) => users::user(uid).await,
            None => None,
        };
        By {
            uid: self.uid,
            pid: self.pid,
            user: name,
            dashboard: None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uid {
            Some(uid) => write!(f, "uid {uid}")?,
            None => f.write_str("unknown uid")?,
        }
        match self.pid {
            Some(pid) => write!(f, ", pid {pid}"),
            None => Ok(()),
        }
    }
}

struct Session {
    stream: Stream,
    place: Place,
    control: Arc<Control>,
    peer: Peer,
    lines: Lines,
    watching: Option<Watching>,
    /// Rolling maintenances that are this client's.
    claims: Vec<Claim>,
}

/// Events go out under the id of the `watch` that asked for them.
struct Watching {
    id: u64,
    events: Receiver<Event>,
}

impl Session {
    fn new(stream: Stream, control: Arc<Control>, place: Place) -> Self {
        Self {
            peer: Peer::of(&stream),
            stream,
            place,
            control,
            lines: Lines::default(),
            watching: None,
            claims: Vec::new(),
        }
    }

    async fn run(mut self) -> io::Result<()> {
        self.write(&line(&greeting())).await?;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            while let Some(line) = self.lines.next_line() {
                self.place.idle(None);
                self.hear(line).await?;
                // Who watches waits for events, and who maintains for what is maintained.
                if self.watching.is_none() && self.claims.is_empty() {
                    self.place.idle(Some(Instant::now()));
                }
            }
            tokio::select! {
                () = self.place.given_away() => return self.give_way().await,
                read = self.stream.read(&mut buffer) => match read? {
                    0 => return Ok(()),
                    n => self.lines.push(&buffer[..n]),
                },
                (id, event) = next_event(&mut self.watching) => {
                    let answer = Answer::Event(event);
                    self.write(&line(&AnswerLine { id: Some(id), answer })).await?;
                }
            }
        }
    }

    async fn give_way(&mut self) -> io::Result<()> {
        let error = ErrorReply::new(
            ErrorCode::Failed,
            "idle for the longest, and others needed the place",
        )
        .hint("connect again");
        let line = error_line(None, error);
        timeout(REFUSAL_LINGER, self.stream.write_all(&line)).await?
    }

    async fn hear(&mut self, input: Line) -> io::Result<()> {
        let Line::Whole(input) = input else {
            let message = format!("a line may have at most {MAX_LINE} bytes");
            let error = ErrorReply::new(ErrorCode::LineTooLong, message);
            return self.write(&error_line(None, error)).await;
        };
        // An empty line asks nothing: people press Enter in socat.
        if input.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let answer = match read(&input) {
            Ok((id, request)) => self.answer(id, request).await,
            Err((id, error)) => error_line(id, error),
        };
        self.write(&answer).await
    }

    async fn answer(&mut self, id: u64, request: Request) -> Vec<u8> {
        if self.watching.is_some() && matches!(request, Request::Watch(_)) {
            let error = ErrorReply::new(ErrorCode::BadRequest, "this connection watches already");
            return error_line(Some(id), error);
        }
        let Answered { line, events } =
            dispatch(id, request, &self.control, &self.peer, &mut self.claims).await;
        if let Some(events) = events {
            self.watching = Some(Watching { id, events });
        }
        line
    }

    /// Writes, as long as the client keeps reading.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(WRITE_PIECE) {
            timeout(WRITE_DEADLINE, self.stream.write_all(piece)).await??;
        }
        Ok(())
    }
}

/// Waits for ever where nothing is watched.
async fn next_event(watching: &mut Option<Watching>) -> (u64, Event) {
    let Some(watching) = watching else {
        return std::future::pending().await;
    };
    let event = match watching.events.recv().await {
        Ok(event) => event,
        Err(RecvError::Lagged(events)) => Event::Missed { events },
        Err(RecvError::Closed) => std::future::pending().await,
    };
    (watching.id, event)
}

/// Reads a call. The error carries the id where one could be read.
fn read(input: &[u8]) -> Result<(u64, Request), (Option<u64>, ErrorReply)> {
    /// For a line that is JSON with an id, though no request.
    #[derive(Deserialize)]
    struct JustId {
        id: u64,
    }
    let request: RequestLine = serde_json::from_slice(input).map_err(|e| {
        let id = serde_json::from_slice::<JustId>(input).ok().map(|l| l.id);
        let error = ErrorReply::new(ErrorCode::BadRequest, format!("not a request: {e}"))
            .hint(r#"one JSON document per line, as in {"id":1,"call":"status"}"#);
        (id, error)
    })?;
    let call = Request::read(&request.call, request.args).map_err(|e| (Some(request.id), e))?;
    Ok((request.id, call))
}

fn greeting() -> Greeting {
    Greeting {
        lbd: lb_proto::VERSION.to_owned(),
        protocol: lb_proto::PROTOCOL,
    }
}

pub(super) fn error_line(id: Option<u64>, error: ErrorReply) -> Vec<u8> {
    line(&AnswerLine {
        id,
        answer: Answer::Error(error),
    })
}

/// A message as a line.
pub(super) fn line(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_else(|error| {
        // No message has keys that are no strings, or writes to anything that fails.
        warn!(%error, "a message does not serialise");
        Vec::new()
    });
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
