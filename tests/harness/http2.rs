//! A client that speaks HTTP/2, stream by stream; and single frames, for what no client would send.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{self, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::eventually::{LIMIT, eventually, is};
use crate::tls;

/// What a client says first (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame (RFC 9113, 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A head's fields, each spelt out (RFC 7541, 6.2.2).
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "longer ones have another form");
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The head of a GET.
pub fn get_fields() -> Vec<u8> {
    fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "t"),
        (":path", "/"),
    ])
}

/// A connection.
#[derive(Debug)]
pub struct Http2 {
    // Before the runtime that drives it.
    requests: SendRequest<Bytes>,
    end: JoinHandle<Result<(), h2::Error>>,
    runtime: Runtime,
}

/// A stream that was begun.
#[derive(Debug)]
pub struct Stream {
    handle: Handle,
    response: ResponseFuture,
    sends: SendStream<Bytes>,
    receives: Option<RecvStream>,
    /// What came of the body, and was not asked for yet.
    pending: Bytes,
}

/// What came on a stream.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// Why it broke off, if it did.
    pub cut: Option<Reason>,
}

impl Http2 {
    /// Without TLS, with prior knowledge.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::connect_as(addr, &Builder::new())
    }

    /// With settings of its own.
    pub fn connect_as(addr: SocketAddr, builder: &Builder) -> Self {
        let runtime = driver();
        let stream = runtime.block_on(TcpStream::connect(addr));
        Self::over(runtime, stream.expect("it listens"), builder)
    }

    /// Under TLS; `client` is to offer h2.
    pub fn connect_tls(addr: SocketAddr, client: &tls::Client) -> Self {
        let runtime = driver();
        let stream = runtime.block_on(client.connect(addr));
        Self::over(runtime, stream.expect("it shakes hands"), &Builder::new())
    }

    fn over(
        runtime: Runtime,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        builder: &Builder,
    ) -> Self {
        let greeted = runtime.block_on(builder.handshake(stream));
        let (requests, connection) = greeted.expect("a connection is greeted");
        Self {
            requests,
            end: runtime.spawn(connection),
            runtime,
        }
    }

    /// Begins a stream; its body is still to come unless `ends`.
    ///
    /// # Errors
    /// Where the connection takes no more streams.
    pub fn try_open(&mut self, request: Request<()>, ends: bool) -> Result<Stream, h2::Error> {
        let requests = &mut self.requests;
        let ready = self.runtime.block_on(async {
            let ready = poll_fn(|cx| requests.poll_ready(cx));
            timeout(LIMIT, ready).await.expect("there is room in time")
        });
        ready?;
        let (response, sends) = requests.send_request(request, ends)?;
        Ok(Stream {
            handle: self.runtime.handle().clone(),
            response,
            sends,
            receives: None,
            pending: Bytes::new(),
        })
    }

    #[track_caller]
    pub fn open(&mut self, request: Request<()>) -> Stream {
        self.try_open(request, false).expect("it takes a stream")
    }

    /// Asks for a tunnel (RFC 8441).
    #[track_caller]
    pub fn connect_to(&mut self, protocol: &'static str, target: &str) -> Stream {
        self.connect_to_with(protocol, target, &[])
    }

    /// And says this besides.
    #[track_caller]
    pub fn connect_to_with(
        &mut self,
        protocol: &'static str,
        target: &str,
        fields: &[(&'static str, &str)],
    ) -> Stream {
        let mut asked = request_with(Method::CONNECT, target, fields);
        asked
            .extensions_mut()
            .insert(Protocol::from_static(protocol));
        let version = HeaderValue::from_static("13");
        asked.headers_mut().insert("sec-websocket-version", version);
        eventually("its settings have come", || {
            let requests = &self.requests;
            is(requests.is_extended_connect_protocol_enabled(), true)
        });
        self.open(asked)
    }

    /// Asks without a body and does not wait.
    #[track_caller]
    pub fn ask(&mut self, method: Method, target: &str) -> Stream {
        let opened = self.try_open(request(method, target), true);
        opened.expect("it takes a stream")
    }

    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(Method::GET, target).response()
    }

    /// Asks with this body.
    #[track_caller]
    pub fn send(&mut self, request: Request<()>, body: &[u8]) -> Response {
        let mut stream = self.open(request);
        stream.send(body, true);
        stream.response()
    }

    /// Waits until the connection has ended: with what reason, if it was refused.
    #[track_caller]
    pub fn ended(&mut self) -> Option<Reason> {
        let end = &mut self.end;
        let end = self.runtime.block_on(async { timeout(LIMIT, end).await });
        let end = end.expect("it ends in time").expect("it is not aborted");
        end.err().and_then(|error| error.reason())
    }

    /// Whether more streams than so many may be open at once.
    pub fn takes_at_once(&self) -> usize {
        self.requests.current_max_send_streams()
    }
}

impl Stream {
    /// Sends a piece of the body, as fast as it is taken.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8], ends: bool) {
        self.try_send(bytes, ends).expect("it is taken");
    }

    /// # Errors
    /// Where the stream or its connection is gone.
    pub fn try_send(&mut self, bytes: &[u8], ends: bool) -> Result<(), h2::Error> {
        let mut bytes = Bytes::copy_from_slice(bytes);
        while !bytes.is_empty() {
            self.sends.reserve_capacity(bytes.len());
            let sends = &mut self.sends;
            let room = match sends.capacity() {
                0 => self.handle.block_on(async {
                    let room = poll_fn(|cx| sends.poll_capacity(cx));
                    timeout(LIMIT, room).await.expect("there is room in time")
                }),
                room => Some(Ok(room)),
            };
            let room = room.ok_or(Reason::STREAM_CLOSED)??;
            let piece = bytes.split_to(room.min(bytes.len()));
            self.sends.send_data(piece, ends && bytes.is_empty())?;
        }
        Ok(())
    }

    pub fn send_trailers(&mut self, trailers: HeaderMap) {
        self.sends.send_trailers(trailers).expect("it is open");
    }

    /// Ends what is sent.
    pub fn finish(&mut self) {
        self.sends
            .send_data(Bytes::new(), true)
            .expect("it is open");
    }

    pub fn reset(mut self) {
        self.sends.send_reset(Reason::CANCEL);
    }

    /// An informational response.
    #[track_caller]
    pub fn informed(&mut self) -> (StatusCode, HeaderMap) {
        let response = &mut self.response;
        let informed = self.handle.block_on(async {
            let informed = poll_fn(|cx| response.poll_informational(cx));
            timeout(LIMIT, informed).await.expect("it comes in time")
        });
        let informed = informed.expect("there is one").expect("it is whole");
        (informed.status(), informed.headers().clone())
    }

    /// The head of the answer.
    ///
    /// # Errors
    /// Where there is none.
    pub fn head(&mut self) -> Result<(StatusCode, HeaderMap), h2::Error> {
        let response = &mut self.response;
        let response = self
            .handle
            .block_on(async { timeout(LIMIT, response).await });
        let (head, receives) = response.expect("it comes in time")?.into_parts();
        self.receives = Some(receives);
        Ok((head.status, head.headers))
    }

    /// The next piece of the body; `None`: it has ended.
    ///
    /// # Errors
    /// Where it broke off.
    pub fn piece(&mut self) -> Option<Result<Bytes, h2::Error>> {
        if !self.pending.is_empty() {
            return Some(Ok(std::mem::take(&mut self.pending)));
        }
        let receives = self.receives.as_mut().expect("its head has come");
        let piece = self
            .handle
            .block_on(async { timeout(LIMIT, receives.data()).await });
        let piece = piece.expect("it comes in time")?;
        if let Ok(bytes) = &piece {
            let _ = receives.flow_control().release_capacity(bytes.len());
        }
        Some(piece)
    }

    /// The next so many bytes of the body.
    #[track_caller]
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < n {
            let piece = self.piece().expect("more comes").expect("it is whole");
            bytes.extend(piece);
        }
        self.pending = bytes.split_off(n).into();
        bytes
    }

    /// The answer to its end.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn response(mut self) -> Response {
        let head = self.head();
        let (status, headers) = head.expect("there is an answer");
        self.rest(status, headers)
    }

    /// The rest of an answer whose head has come.
    pub fn rest(&mut self, status: StatusCode, headers: HeaderMap) -> Response {
        let (mut body, mut cut) = (Vec::new(), None);
        while let Some(piece) = self.piece() {
            match piece {
                Ok(piece) => body.extend(piece),
                Err(error) => {
                    cut = Some(error.reason().unwrap_or(Reason::INTERNAL_ERROR));
                    break;
                }
            }
        }
        let receives = self.receives.as_mut().expect("its head has come");
        let trailers = self
            .handle
            .block_on(async { timeout(LIMIT, receives.trailers()).await });
        let trailers = trailers.expect("they come in time");
        Response {
            status,
            headers,
            body,
            trailers: trailers.ok().flatten(),
            cut,
        }
    }
}

impl Response {
    /// # Panics
    /// Where the body is no JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("it is JSON")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request to the authority `t`.
pub fn request(method: Method, target: &str) -> Request<()> {
    let request = Request::builder().method(method);
    let request = request.uri(format!("http://t{target}")).body(());
    request.expect("a target is one")
}

/// [`request`], with these fields.
pub fn request_with(method: Method, target: &str, fields: &[(&'static str, &str)]) -> Request<()> {
    let mut request = request(method, target);
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).expect("a value is one");
        request.headers_mut().append(*name, value);
    }
    request
}

fn driver() -> Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
}
