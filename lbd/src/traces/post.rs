//! One export: a POST to the collector, on the connection of the last one where that still works. The
//! caller bounds the time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use lb_proto::config::Address;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::otlp::refused;
use super::target::Target;
use crate::causes::in_full;

/// Of an answer: a collector has little to say.
const MOST_READ: usize = 64 * 1024;

/// How long one address of several may keep the others waiting.
const CONNECT: Duration = Duration::from_secs(3);

/// What a collector answered.
#[derive(Debug)]
pub(super) enum Answer {
    Taken,
    /// It took some, but not so many, because of this.
    Partly(u64, String),
}

/// Why it did not take any.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) why: String,
    /// It may take them another time, after this if it said so.
    pub(super) again: Option<Option<Duration>>,
}

/// A connection to a collector.
#[derive(Debug)]
pub(super) struct Connection {
    to: Arc<Target>,
    sender: SendRequest<Full<Bytes>>,
    /// What drives it; ends with it.
    _driver: JoinSet<()>,
}

/// Sends a body. `kept`: the connection of the last time, and of the next.
pub(super) async fn post(
    kept: &mut Option<Connection>,
    target: &Arc<Target>,
    body: Bytes,
) -> Result<Answer, Failed> {
    let old = kept.take().filter(|old| Arc::ptr_eq(&old.to, target));
    if let Some(old) = old.filter(|old| !old.sender.is_closed())
        && let Ok(answer) = ask(old, kept, body.clone()).await
    {
        return answer;
    }
    let new = Connection::open(target).await.map_err(Failed::of_way)?;
    ask(new, kept, body).await.map_err(Failed::of_way)?
}

/// Asks, and keeps the connection if it can be used again. An error is one of the connection.
async fn ask(
    mut connection: Connection,
    kept: &mut Option<Connection>,
    body: Bytes,
) -> Result<Result<Answer, Failed>, String> {
    let otlp = &connection.to.config.otlp;
    let request = Request::post(format!("{}/v1/traces", otlp.path))
        .header(HOST, &otlp.authority)
        .header(USER_AGENT, concat!("lbd/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/x-protobuf")
        .body(Full::new(body))
        .map_err(|error| error.to_string())?;
    connection
        .sender
        .ready()
        .await
        .map_err(|error| in_words(&error))?;
    let answer = connection.sender.send_request(request).await;
    let (head, body) = answer.map_err(|error| in_words(&error))?.into_parts();
    let read = Limited::new(body, MOST_READ).collect().await;
    let read = read.map_err(|error| format!("its answer broke off: {error}"))?;
    kept.replace(connection);
    Ok(judge(head.status, &head.headers, &read.to_bytes()))
}

/// Where the connection is gone before it is used, hyper tells of its own channel.
fn in_words(error: &hyper::Error) -> String {
    match error.is_closed() || error.is_canceled() {
        true => "it closes the connection without an answer".to_owned(),
        false => in_full(error),
    }
}

/// What an answer means (OTLP specification, OTLP/HTTP response).
fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Answer, Failed> {
    if status.is_success() {
        return Ok(refused(body).map_or(Answer::Taken, |(count, why)| Answer::Partly(count, why)));
    }
    let may_pass = matches!(status.as_u16(), 429 | 502..=504);
    let after = headers
        .get(RETRY_AFTER)
        .and_then(|after| after.to_str().ok());
    let after = after
        .and_then(|after| after.parse().ok())
        .map(Duration::from_secs);
    Err(Failed {
        why: format!("it answers {status}"),
        again: may_pass.then_some(after),
    })
}

impl Failed {
    /// Nobody is there, or does not answer as he should.
    fn of_way(why: String) -> Self {
        Self {
            why,
            again: Some(None),
        }
    }
}

impl Connection {
    async fn open(target: &Arc<Target>) -> Result<Self, String> {
        let stream = connect(&target.config.otlp.address).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let Some(originator) = &target.originator else {
            return Self::over(target, stream).await;
        };
        let shaken = originator.connector().connect(originator.name(), stream);
        let stream = shaken.await.map_err(|error| originator.why(&error))?;
        Self::over(target, stream).await
    }

    async fn over<S>(target: &Arc<Target>, stream: S) -> Result<Self, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| in_full(&error))?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Whoever asks on it is told of errors.
            let _ = connection.await;
        });
        Ok(Self {
            to: target.clone(),
            sender,
            _driver: driver,
        })
    }
}

async fn connect(address: &Address) -> io::Result<TcpStream> {
    let (host, port) = match address {
        Address::Ip(address) => return TcpStream::connect(address).await,
        Address::Name { host, port } => (host.as_str(), *port),
    };
    let mut failed = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in lookup_host((host, port)).await? {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}
