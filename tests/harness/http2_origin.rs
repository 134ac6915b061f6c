//! An origin that speaks HTTP/2, with prior knowledge: a script for each stream, on a thread of its own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::thread;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::eventually::LIMIT;
use crate::origin::hash;
use crate::pattern::pattern;
use crate::port::Port;

#[derive(Debug)]
pub struct Http2Origin {
    port: Port,
    counts: Arc<Counts>,
    leave: watch::Sender<()>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    open: AtomicU64,
    streams: AtomicU64,
}

/// A stream that was begun here.
#[derive(Debug)]
pub struct Asked {
    pub head: Parts,
    /// How many streams of all connections came before.
    pub nth: u64,
    handle: Handle,
    receives: RecvStream,
    responds: SendResponse<Bytes>,
    sends: Option<SendStream<Bytes>>,
}

impl Http2Origin {
    pub fn start(script: impl Fn(&mut Asked) + Send + Sync + 'static) -> Self {
        Self::start_as(Builder::new(), script)
    }

    /// Answers everything with its name; `/bytes?n=N` with N bytes of a pattern, `/echo` with what
    /// came.
    pub fn named(name: &'static str) -> Self {
        Self::start(move |asked| asked.answer_as(name))
    }

    /// With settings of its own.
    pub fn start_as(builder: Builder, script: impl Fn(&mut Asked) + Send + Sync + 'static) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let port = Port::new();
        let listener = port.listen().expect("the port is kept for us");
        listener.set_nonblocking(true).expect("it is a socket");
        let (counts, (leave, leaves)) = (Arc::<Counts>::default(), watch::channel(()));
        let (script, counted) = (Arc::new(script), counts.clone());
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("it is a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let (script, counts) = (script.clone(), counted.clone());
                tokio::spawn(serve(
                    stream,
                    builder.clone(),
                    leaves.clone(),
                    counts,
                    script,
                ));
            }
        });
        Self {
            port,
            counts,
            leave,
            runtime: Some(runtime),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Streams begun so far.
    pub fn streams(&self) -> u64 {
        self.counts.streams.load(Ordering::Relaxed)
    }

    /// Every connection takes no more streams, finishes those that it has, and ends.
    pub fn leave(&self) {
        self.leave.send_replace(());
    }
}

impl Drop for Http2Origin {
    fn drop(&mut self) {
        // Scripts may be at work still.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(
    stream: TcpStream,
    builder: Builder,
    mut leaves: watch::Receiver<()>,
    counts: Arc<Counts>,
    script: Arc<impl Fn(&mut Asked) + Send + Sync + 'static>,
) {
    counts.connections.fetch_add(1, Ordering::Relaxed);
    counts.open.fetch_add(1, Ordering::Relaxed);
    let _ = stream.set_nodelay(true);
    if let Ok(mut connection) = builder.handshake(stream).await {
        leaves.mark_unchanged();
        loop {
            let asked = tokio::select! {
                asked = connection.accept() => asked,
                Ok(()) = leaves.changed() => {
                    connection.graceful_shutdown();
                    continue;
                }
            };
            let Some(Ok((request, responds))) = asked else {
                break;
            };
            let nth = counts.streams.fetch_add(1, Ordering::Relaxed);
            let mut asked = Asked::new(request, responds, nth);
            let script = script.clone();
            thread::spawn(move || script(&mut asked));
        }
    }
    counts.open.fetch_sub(1, Ordering::Relaxed);
}

impl Asked {
    fn new(request: Request<RecvStream>, responds: SendResponse<Bytes>, nth: u64) -> Self {
        let (head, receives) = request.into_parts();
        Self {
            head,
            nth,
            handle: Handle::current(),
            receives,
            responds,
            sends: None,
        }
    }

    /// The next piece of the body; `None`: it has ended.
    ///
    /// # Errors
    /// Where it broke off.
    pub fn piece(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let receives = &mut self.receives;
        let piece = self
            .handle
            .block_on(async { timeout(LIMIT, receives.data()).await });
        let piece = piece.expect("it comes in time")?;
        if let Ok(bytes) = &piece {
            let _ = receives.flow_control().release_capacity(bytes.len());
        }
        Some(piece)
    }

    /// The body to its end, or to where it broke off.
    pub fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(Ok(piece)) = self.piece() {
            body.extend(piece);
        }
        body
    }

    /// The next so many bytes of the body, or what came of them.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < n {
            let Some(Ok(piece)) = self.piece() else {
                break;
            };
            bytes.extend(piece);
        }
        bytes
    }

    /// What comes after the body.
    pub fn trailers(&mut self) -> Option<HeaderMap> {
        let receives = &mut self.receives;
        let trailers = self
            .handle
            .block_on(async { timeout(LIMIT, receives.trailers()).await });
        trailers.expect("they come in time").ok().flatten()
    }

    pub fn inform(&mut self, status: u16, fields: &[(&'static str, &str)]) {
        let _ = self.responds.send_informational(head(status, fields));
    }

    /// Sends the head of the response.
    pub fn answer(&mut self, status: u16, fields: &[(&'static str, &str)], ends: bool) {
        self.sends = self.responds.send_response(head(status, fields), ends).ok();
    }

    /// Sends a piece of the body as it is taken; what a proxy that is gone does not take is lost.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes.as_ref());
    }

    /// # Errors
    /// Where the stream is gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<(), h2::Error> {
        let sends = self.sends.as_mut().ok_or(Reason::INTERNAL_ERROR)?;
        let mut bytes = Bytes::copy_from_slice(bytes);
        while !bytes.is_empty() {
            sends.reserve_capacity(bytes.len());
            let room = match sends.capacity() {
                0 => self.handle.block_on(async {
                    let room = poll_fn(|cx| sends.poll_capacity(cx));
                    timeout(LIMIT, room).await.expect("there is room in time")
                }),
                room => Some(Ok(room)),
            };
            let room = room.ok_or(Reason::STREAM_CLOSED)??;
            sends.send_data(bytes.split_to(room.min(bytes.len())), false)?;
        }
        Ok(())
    }

    pub fn finish(&mut self) {
        if let Some(sends) = &mut self.sends {
            let _ = sends.send_data(Bytes::new(), true);
        }
    }

    pub fn send_trailers(&mut self, fields: &[(&'static str, &str)]) {
        if let Some(sends) = &mut self.sends {
            let _ = sends.send_trailers(map(fields));
        }
    }

    /// A whole response.
    pub fn respond(&mut self, status: u16, body: impl AsRef<[u8]>) {
        let length = body.as_ref().len().to_string();
        self.answer(status, &[("content-length", &length)], false);
        self.send(body);
        self.finish();
    }

    pub fn reset(&mut self, reason: Reason) {
        self.responds.send_reset(reason);
    }

    /// Whether the stream has been reset.
    pub fn is_reset(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        let reset = self.sends.as_mut().map(|sends| sends.poll_reset(cx));
        reset.is_some_and(|reset| reset.is_ready())
    }

    /// Waits until the stream is reset, and tells with what.
    pub fn gone(&mut self) -> Option<Reason> {
        let reset = poll_fn(|cx| match &mut self.sends {
            Some(sends) => sends.poll_reset(cx),
            None => self.responds.poll_reset(cx),
        });
        let reset = self.handle.block_on(async { timeout(LIMIT, reset).await });
        reset.expect("it comes in time").ok()
    }

    fn answer_as(&mut self, name: &str) {
        let body = self.body();
        let trailers = self.trailers().unwrap_or_default();
        let target = self.head.uri.path_and_query().map_or("", |t| t.as_str());
        let to_head = self.head.method == Method::HEAD;
        if let Some(n) = target.strip_prefix("/bytes?n=") {
            let bytes: Vec<u8> = pattern(n.parse().unwrap_or(0));
            return self.respond(200, bytes);
        }
        if target != "/echo" {
            return match to_head {
                true => self.answer(200, &[("content-length", "1")], true),
                false => self.respond(200, name),
            };
        }
        let list = |map: &HeaderMap| -> Vec<_> {
            map.iter()
                .map(|(name, value)| {
                    json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
                })
                .collect()
        };
        let echo = json!({
            "method": self.head.method.as_str(),
            "uri": self.head.uri.to_string(),
            "headers": list(&self.head.headers),
            "body_length": body.len(),
            "body_hash": hash(&body),
            "trailers": list(&trailers),
        });
        self.respond(200, echo.to_string());
    }
}

fn head(status: u16, fields: &[(&'static str, &str)]) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::from_u16(status).expect("it is one");
    *head.headers_mut() = map(fields);
    head
}

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        let value = HeaderValue::from_str(value).expect("a value is one");
        (HeaderName::from_static(name), value)
    };
    fields.iter().map(field).collect()
}
