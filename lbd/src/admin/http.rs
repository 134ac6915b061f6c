//! Connections to `[admin]`: how long each may take over what.
//!
//! The only file of the admin pages that knows hyper. hyper answers heads that it cannot read (400) or that are too
//! large (431) by itself.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::StreamExt;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::crowd::{Crowd, Place, SOON};
use super::due::Due;
use super::page::{self, Asked, Peer};
use super::response::Body;
use super::sending::{NEXT, PIECE, UNREAD, awake, pieces};
use super::{Site, response};

/// For a TLS handshake, and where others wait for the place: a client that is alone at his address has the whole.
const HANDSHAKE: Duration = Duration::from_secs(5);
const HANDSHAKE_CROWDED: Duration = SOON;

/// To send the first request's head.
const HEAD: Duration = Duration::from_secs(5);

/// To have an answer made.
const ANSWER: Duration = Duration::from_secs(30);

/// To send a request's body.
const BODY: Duration = Duration::from_secs(5);

/// What a body takes at least where others wait for the place.
const BODY_CROWDED: Duration = Duration::from_secs(1);

/// Of a body that is larger than it may be so much is taken, so that the connection is of use afterwards, or ends
/// without a reset that overtakes the answer.
const MOST_IGNORED: u64 = 256 * 1024;

/// A head that is larger than this is no browser's.
const MAX_HEAD: usize = 16 * 1024;

/// After accept(2) fails, which it does again at once where files are short.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts until `stops` says so; its connections then end with what they carry.
pub(super) async fn accept(socket: TcpListener, site: Arc<Site>, mut stops: watch::Receiver<()>) {
    let crowd = Crowd::new();
    loop {
        let next = async {
            let (stream, peer) = socket.accept().await?;
            let from = peer.ip().to_canonical();
            Ok::<_, io::Error>((stream, from, crowd.place(from, HEAD).await))
        };
        let next = tokio::select! {
            next = next => next,
            _ = stops.changed() => return,
        };
        match next {
            Ok((stream, from, Some(place))) => {
                // Who is gone without a word is no longer sent to.
                let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
                let (site, stops) = (site.clone(), stops.clone());
                tokio::spawn(async move { welcome(stream, from, &site, stops, place).await });
            }
            Ok((_, _, None)) => return,
            Err(error) => {
                warn!(%error, "[admin] cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

/// One connection, as it is spoken to by the configuration of now.
async fn welcome(
    stream: TcpStream,
    address: IpAddr,
    site: &Arc<Site>,
    mut stops: watch::Receiver<()>,
    mut place: Place,
) {
    // Where another address is served by now, this one is about to be closed.
    let admin = site.admin();
    let Some(admin) = admin.filter(|admin| admin.listener.uid == site.listener.uid) else {
        return;
    };
    let secure = admin.terminator.is_some();
    let peer = Peer { address, secure };
    let Some(terminator) = admin.terminator else {
        return serve(stream, peer, site, stops, place).await;
    };
    let due = Due::from_slow(HANDSHAKE, HANDSHAKE_CROWDED);
    place.due.send_replace(due);
    let acceptor = terminator.acceptor().clone();
    let shaken = tokio::select! {
        shaken = site.handshakes.accept(acceptor, stream) => shaken,
        () = sleep_until(due.at) => Err(io::Error::other("it did not come to an end in time")),
        () = place.given_up() => Err(io::Error::other("it was slow, and others wait")),
        _ = stops.changed() => return,
    };
    match shaken {
        Ok(stream) => serve(stream, peer, site, stops, place).await,
        Err(cause) => debug!(peer = %address, %cause, "TLS handshake with [admin] failed"),
    }
}

/// One connection, to its end or its deadline.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    site: &Arc<Site>,
    mut stops: watch::Receiver<()>,
    mut place: Place,
) {
    let deadline = place.due.clone();
    deadline.send_replace(Due::from_client(HEAD));
    let mut until = deadline.subscribe();
    let ends = stops.clone();
    let service =
        service_fn(|request| answer(request, peer, site.clone(), deadline.clone(), ends.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT)
        // Who has said all it wants to is answered.
        .half_close(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        let due = *until.borrow_and_update();
        tokio::select! {
            // Who breaks off is his own business.
            _ = connection.as_mut() => return,
            () = sleep_until(due.at) => return,
            _ = until.changed() => {}
            () = place.given_up() => return,
            _ = stops.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: Peer,
    site: Arc<Site>,
    deadline: watch::Sender<Due>,
    ends: watch::Receiver<()>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    deadline.send_replace(Due::from_us(ANSWER));
    let (head, body) = request.into_parts();
    let mut upload = Upload {
        rest: Some(body).filter(|body| !body.is_end_stream()),
        deadline: deadline.clone(),
    };
    let asked = Asked { head: &head, peer };
    let mut response = page::answer(asked, &mut upload, &site).await;
    response::harden(response.headers_mut());
    if upload.rest.is_some() {
        // Nothing is read behind a body that was not.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    deadline.send_replace(Due::from_client(NEXT));
    if let Body::Whole(bytes, _) = response.body()
        && bytes.len() > PIECE
    {
        let length = HeaderValue::from(bytes.len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
    }
    let frame = |piece| Ok(Frame::data(piece));
    Ok(response.map(|body| match body {
        Body::Whole(bytes, held) if bytes.len() > PIECE => {
            StreamBody::new(pieces(bytes, held, deadline).map(frame)).boxed_unsync()
        }
        Body::Whole(bytes, _) => Full::new(bytes).boxed_unsync(),
        Body::Stream(pieces) => {
            StreamBody::new(awake(pieces, deadline, ends).map(frame)).boxed_unsync()
        }
    }))
}

/// The body of a request, which few pages take.
pub(super) struct Upload {
    /// `None`: all of it was taken.
    rest: Option<Incoming>,
    deadline: watch::Sender<Due>,
}

/// Why it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoUpload {
    TooLarge,
    TooSlow,
    Broken,
}

impl Upload {
    /// All of it, if it has so many bytes at most.
    pub(super) async fn read(&mut self, most: usize) -> Result<Vec<u8>, NoUpload> {
        let due = Due::from_slow(ANSWER, BODY_CROWDED);
        self.deadline.send_replace(due);
        let read = timeout(BODY, whole(&mut self.rest, most)).await;
        self.deadline.send_replace(Due::from_us(ANSWER));
        read.unwrap_or(Err(NoUpload::TooSlow))
    }
}

async fn whole(rest: &mut Option<Incoming>, most: usize) -> Result<Vec<u8>, NoUpload> {
    let (mut taken, mut size) = (Vec::new(), 0);
    while let Some(body) = rest {
        if size as u64 > MOST_IGNORED || body.size_hint().lower() > MOST_IGNORED {
            return Err(NoUpload::TooLarge);
        }
        let Some(frame) = body.frame().await else {
            *rest = None;
            break;
        };
        let frame = frame.map_err(|_| NoUpload::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        size += data.len();
        if size <= most {
            taken.extend_from_slice(&data);
        }
    }
    match size <= most {
        true => Ok(taken),
        false => Err(NoUpload::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use futures_util::FutureExt;
    use lb_proto::error::{ErrorCode, ErrorReply};
    use lb_proto::event::Event;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;
    use tokio::time::Instant;

    use super::*;
    use crate::admin::login::Logins;
    use crate::admin::sending::AWAKE;
    use crate::admin::{Knows, Token};
    use crate::state::Shared;

    const EVENTS: &str = "/api/v1/events";

    fn site() -> Arc<Site> {
        site_of(1)
    }

    fn site_of(servers: usize) -> Arc<Site> {
        let server = |n| format!("{{ name = \"s{n}\", address = \"127.0.0.1:9\" }}, ");
        let servers: String = (0..servers).map(server).collect();
        let shared = Shared::of(&format!(
            "[admin]\nbind = \"127.0.0.1:0\"\n[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
             [backend.app]\nservers = [{servers}]\n"
        ));
        let refused = || ErrorReply::new(ErrorCode::Failed, "not in this test");
        let knows = Knows {
            last_reload: Box::new(|| None),
            trial: Box::new(|| None),
            status: Box::new(move || async move { Err(refused()) }.boxed()),
            set_state: Box::new(move |_, _| async move { Err(refused()) }.boxed()),
            refused: Box::new(|_| {}),
        };
        let listener = shared.snapshot().admin.as_ref().unwrap().listener.clone();
        let token = Arc::new(Token::new(Path::new("/nonexistent")));
        let logins = Arc::new(Logins::new());
        Arc::new(Site::new(shared, Arc::new(knows), token, logins, listener))
    }

    /// A client that takes few bytes at once and has asked for this, and when its connection ended.
    async fn reader(
        site: &Arc<Site>,
        target: &str,
    ) -> (
        TcpStream,
        watch::Sender<()>,
        watch::Receiver<Option<Instant>>,
    ) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        let mut client = client.connect(socket.local_addr().unwrap()).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let (stream, peer) = socket.accept().await.unwrap();
        let (stop, stops) = watch::channel(());
        let (ended, end) = watch::channel(None);
        let site = site.clone();
        let place = Crowd::new().place(peer.ip(), HEAD).await.unwrap();
        tokio::spawn(async move {
            welcome(stream, peer.ip(), &site, stops, place).await;
            ended.send_replace(Some(Instant::now()));
        });
        (client, stop, end)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_goes_on_for_as_long_as_it_is_read() {
        let (mut client, _stop, end) = reader(&site(), EVENTS).await;
        let begun = Instant::now();
        let (mut read, mut bytes) = (Vec::new(), [0; 1024]);
        while Instant::now() < begun + 4 * NEXT {
            let n = client.read(&mut bytes).await.unwrap();
            assert!(n > 0, "it ended after {:?}", begun.elapsed());
            read.extend_from_slice(&bytes[..n]);
        }
        assert_eq!(*end.borrow(), None);
        let awake = String::from_utf8_lossy(&read).matches(":\n\n").count();
        assert!(awake >= 15, "{awake} signs of life");
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_of_a_stream_loses_it() {
        let site = site();
        let (client, _stop, mut end) = reader(&site, EVENTS).await;
        let begun = Instant::now();
        // More than both ends of a connection take.
        for generation in 0..400 {
            sleep(Duration::from_millis(1)).await;
            site.shared.emit(Event::Config {
                at: String::new(),
                generation,
                reason: "x".repeat(64 * 1024),
            });
        }
        let ended = end.wait_for(Option::is_some).await.unwrap().unwrap();
        assert!(ended - begun < UNREAD + AWAKE, "{:?}", ended - begun);
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn large_answers_are_few_at_once_and_health_is_told() {
        let site = site();
        let others = site.large.clone().acquire_many_owned(8).await.unwrap();
        let says = async |target: &str| {
            let (mut client, _stop, _end) = reader(&site, target).await;
            let mut answer = [0; 4096];
            let n = client.read(&mut answer).await.unwrap();
            String::from_utf8_lossy(&answer[..n]).into_owned()
        };
        for target in ["/", "/metrics", "/api/v1/status"] {
            let refused = says(target).await;
            assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
            assert!(refused.contains("retry-after: 5"), "{refused}");
        }
        assert!(says("/healthz").await.starts_with("HTTP/1.1 200 "));
        drop(others);
        assert!(says("/metrics").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_answer_counts_as_one_until_it_is_read() {
        let site = site_of(1000);
        let all = site.large.available_permits();
        let (mut client, _stop, mut end) = reader(&site, "/metrics").await;
        client.read_exact(&mut [0; 4096]).await.unwrap();
        assert_eq!(site.large.available_permits(), all - 1);
        drop(client);
        end.wait_for(Option::is_some).await.unwrap();
        assert_eq!(site.large.available_permits(), all);
    }
}
