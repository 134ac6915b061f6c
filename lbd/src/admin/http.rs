//! Connections to `[admin]`: how many there are, and how long each may take over what.
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
use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::due::{CROWDED, Due};
use super::page::{self, Asked, Peer};
use super::response::Body;
use super::{Site, response};

/// A few browsers, a few Prometheus servers and whoever asks for `/healthz`: more wait until one closes.
const MOST_CONNECTIONS: usize = 64;

/// For a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// To send the first request's head.
const HEAD: Duration = Duration::from_secs(5);

/// To have an answer made.
const ANSWER: Duration = Duration::from_secs(30);

/// To send a request's body.
const BODY: Duration = Duration::from_secs(5);

/// Of a body that is larger than it may be so much is taken, so that the connection is of use afterwards, or ends
/// without a reset that overtakes the answer.
const MOST_IGNORED: u64 = 256 * 1024;

/// To take an answer, and to ask for the next one: longer than most scrape intervals.
const NEXT: Duration = Duration::from_secs(75);

/// How often something is sent on a stream where nothing happens, so that both ends see that the other lives.
const AWAKE: Duration = Duration::from_secs(15);

/// What the reader of a stream takes no notice of.
const NOTHING: &[u8] = b":\n\n";

/// How long the client of a stream may leave what it was sent unread, or unacknowledged.
const UNREAD: Duration = Duration::from_secs(45);

/// A head that is larger than this is no browser's.
const MAX_HEAD: usize = 16 * 1024;

/// After accept(2) fails, which it does again at once where files are short.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts until `stops` says so; its connections then end with what they carry.
pub(super) async fn accept(socket: TcpListener, site: Arc<Site>, mut stops: watch::Receiver<()>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let crowd = watch::Sender::new(());
    loop {
        let next = async {
            let accepted = socket.accept().await;
            (place(&room, &crowd).await, accepted)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = stops.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Who is gone without a word is no longer sent to.
                let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNREAD));
                let (site, stops, crowd) = (site.clone(), stops.clone(), crowd.subscribe());
                tokio::spawn(async move {
                    let _place = place;
                    let from = peer.ip().to_canonical();
                    welcome(stream, from, &site, stops, crowd).await;
                });
            }
            Err(error) => {
                warn!(%error, "[admin] cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

/// A place for one more connection, whose want of it ends those that are silent.
async fn place(room: &Arc<Semaphore>, crowd: &watch::Sender<()>) -> Option<OwnedSemaphorePermit> {
    loop {
        match timeout(CROWDED, room.clone().acquire_owned()).await {
            Ok(place) => return place.ok(),
            Err(_) => crowd.send_replace(()),
        }
    }
}

/// One connection, as it is spoken to by the configuration of now.
async fn welcome(
    stream: TcpStream,
    address: IpAddr,
    site: &Arc<Site>,
    mut stops: watch::Receiver<()>,
    mut crowd: watch::Receiver<()>,
) {
    // Where another address is served by now, this one is about to be closed.
    let admin = site.admin();
    let Some(admin) = admin.filter(|admin| admin.listener.uid == site.listener.uid) else {
        return;
    };
    let secure = admin.terminator.is_some();
    let peer = Peer { address, secure };
    let Some(terminator) = admin.terminator else {
        return serve(stream, peer, site, stops, crowd).await;
    };
    let due = Due::from_client(HANDSHAKE);
    let acceptor = terminator.acceptor().clone();
    let shaken = tokio::select! {
        shaken = site.handshakes.accept(acceptor, stream) => shaken,
        () = sleep_until(due.at) => Err(io::Error::other("it did not come to an end in time")),
        () = due.crowded_out(&mut crowd) => Err(io::Error::other("it was slow, and others wait")),
        _ = stops.changed() => return,
    };
    match shaken {
        Ok(stream) => serve(stream, peer, site, stops, crowd).await,
        Err(cause) => debug!(peer = %address, %cause, "TLS handshake with [admin] failed"),
    }
}

/// One connection, to its end or its deadline.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    site: &Arc<Site>,
    mut stops: watch::Receiver<()>,
    mut crowd: watch::Receiver<()>,
) {
    let (deadline, mut until) = watch::channel(Due::from_client(HEAD));
    let ends = stops.clone();
    let service =
        service_fn(|request| answer(request, peer, site.clone(), deadline.clone(), ends.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT)
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
            Ok(()) = crowd.changed() => {
                if Instant::now() >= due.crowded {
                    return;
                }
            }
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
    let upload = Upload {
        body,
        deadline: deadline.clone(),
    };
    let asked = Asked { head: &head, peer };
    let mut response = page::answer(asked, upload, &site).await;
    response::harden(response.headers_mut());
    deadline.send_replace(Due::from_client(NEXT));
    Ok(response.map(|body| match body {
        Body::Whole(bytes) => Full::new(bytes).boxed_unsync(),
        Body::Stream(pieces) => StreamBody::new(awake(pieces, deadline, ends)).boxed_unsync(),
    }))
}

/// The pieces of a stream, until the site is closed. hyper asks for one when it has room, so a client that reads
/// nothing comes to its deadline.
fn awake(
    pieces: BoxStream<'static, Bytes>,
    deadline: watch::Sender<Due>,
    ends: watch::Receiver<()>,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    unfold(
        (pieces, deadline, ends),
        |(mut pieces, deadline, mut ends)| async move {
            deadline.send_replace(Due::from_reader(UNREAD));
            let piece = tokio::select! {
                piece = pieces.next() => piece?,
                () = sleep(AWAKE) => Bytes::from_static(NOTHING),
                _ = ends.changed() => return None,
            };
            Some((Ok(Frame::data(piece)), (pieces, deadline, ends)))
        },
    )
}

/// The body of a request, which few pages take.
pub(super) struct Upload {
    body: Incoming,
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
    pub(super) async fn read(self, most: usize) -> Result<Vec<u8>, NoUpload> {
        self.deadline.send_replace(Due::from_client(ANSWER));
        let read = timeout(BODY, whole(self.body, most)).await;
        self.deadline.send_replace(Due::from_us(ANSWER));
        read.unwrap_or(Err(NoUpload::TooSlow))
    }
}

async fn whole(mut body: Incoming, most: usize) -> Result<Vec<u8>, NoUpload> {
    let (mut taken, mut size) = (Vec::new(), 0);
    if body.size_hint().lower() > MOST_IGNORED {
        return Err(NoUpload::TooLarge);
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| NoUpload::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        size += data.len();
        if size <= most {
            taken.extend_from_slice(&data);
        } else if size as u64 > MOST_IGNORED {
            break;
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

    use super::*;
    use crate::admin::login::Logins;
    use crate::admin::{Knows, Token};
    use crate::state::Shared;

    fn site() -> Arc<Site> {
        let shared = Shared::of(
            "[admin]\nbind = \"127.0.0.1:0\"\n[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
             [backend.app]\nservers = [{ name = \"a\", address = \"127.0.0.1:9\" }]\n",
        );
        let refused = || ErrorReply::new(ErrorCode::Failed, "not in this test");
        let knows = Knows {
            last_reload: Box::new(|| None),
            trial: Box::new(|| None),
            status: Box::new(move || async move { Err(refused()) }.boxed()),
            set_state: Box::new(move |_, _| async move { Err(refused()) }.boxed()),
        };
        let listener = shared.snapshot().admin.as_ref().unwrap().listener.clone();
        let token = Arc::new(Token::new(Path::new("/nonexistent")));
        let logins = Arc::new(Logins::new());
        Arc::new(Site::new(shared, Arc::new(knows), token, logins, listener))
    }

    /// A client that takes few bytes at once and has asked for events, and when its connection ended.
    async fn reader(
        site: &Arc<Site>,
    ) -> (
        TcpStream,
        watch::Sender<()>,
        watch::Receiver<Option<Instant>>,
    ) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        let mut client = client.connect(socket.local_addr().unwrap()).await.unwrap();
        let request = b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
        let (stream, peer) = socket.accept().await.unwrap();
        let (stop, stops) = watch::channel(());
        let (ended, end) = watch::channel(None);
        let (site, crowd) = (site.clone(), stops.clone());
        tokio::spawn(async move {
            welcome(stream, peer.ip(), &site, stops, crowd).await;
            ended.send_replace(Some(Instant::now()));
        });
        (client, stop, end)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_goes_on_for_as_long_as_it_is_read() {
        let (mut client, _stop, end) = reader(&site()).await;
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
        let (client, _stop, mut end) = reader(&site).await;
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
}
