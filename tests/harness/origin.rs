//! An origin server: real HTTP on a real port, on a thread of its own, that can die and come back.
//!
//! | request | answer |
//! |---|---|
//! | `/healthz` | what [`Origin::set_health`] says; 200 at first |
//! | `/slow?ms=N` | after N milliseconds |
//! | `/bytes?n=N` | N bytes of [`pattern`](crate::pattern::pattern), with a length, or chunked with `&chunked` |
//! | `/status?code=N` | status N without a body |
//! | `/echo` | what was received, as JSON: method, target, version, headers, body length and hash |
//! | anything else | the origin's name |
//!
//! Every answer names its origin in `x-origin`; a path given to [`Origin::hold`] waits for
//! [`Origin::release`]; every request body is read to its end before the answer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use crate::pattern::Pattern;
use crate::port::Port;
use crate::process::settle;

/// What `/healthz` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Status(u16),
    /// The request is read and never answered.
    Hang,
}

/// A running, or killed, origin.
#[derive(Debug)]
pub struct Origin {
    port: Port,
    shared: Arc<Shared>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    health: watch::Sender<Health>,
    held: watch::Sender<Option<String>>,
    seen: Mutex<Seen>,
    connections: AtomicU64,
    open: AtomicU64,
    in_flight: AtomicU64,
    uploaded: AtomicU64,
}

/// Requests by method and path; `/healthz` apart, so that checks don't disturb a count.
#[derive(Debug, Default)]
struct Seen {
    requests: BTreeMap<(String, String), u64>,
    probes: u64,
}

impl Origin {
    pub fn start(name: &str) -> Self {
        Self::start_on(Port::new(), name)
    }

    /// Another one on the same port, at 127.0.0.`host`: where a name may lead instead.
    pub fn start_beside(&self, host: u8, name: &str) -> Self {
        Self::start_on(self.port.beside(host), name)
    }

    fn start_on(port: Port, name: &str) -> Self {
        let mut origin = Self {
            port,
            shared: Arc::new(Shared {
                name: name.to_owned(),
                health: watch::Sender::new(Health::Status(200)),
                held: watch::Sender::new(None),
                seen: Mutex::default(),
                connections: AtomicU64::new(0),
                open: AtomicU64::new(0),
                in_flight: AtomicU64::new(0),
                uploaded: AtomicU64::new(0),
            }),
            running: None,
        };
        origin.revive();
        origin
    }

    /// Several at once.
    pub fn start_all<const N: usize>(names: [&str; N]) -> [Self; N] {
        names.map(Self::start)
    }

    pub fn name(&self) -> &str {
        &self.shared.name
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Dies as a process does: the listener and every connection are closed when this returns, and
    /// connects are refused from then on. What it has counted stays.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            // The thread may have ended by itself, in a panic that `join` would tell of.
            let _ = running.stop.send(());
            if running.thread.join().is_err() && !std::thread::panicking() {
                panic!("the origin {} panicked", self.name());
            }
            settle();
        }
    }

    /// Listens again, on the same port.
    pub fn revive(&mut self) {
        if self.running.is_some() {
            return;
        }
        let listener = self.port.listen().expect("the port is kept for us");
        listener
            .set_nonblocking(true)
            .expect("a socket can be made non-blocking");
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(format!("origin {}", self.name()))
            .spawn(move || run(listener, &shared, stopped))
            .expect("a thread can be started");
        self.running = Some(Running { stop, thread });
    }

    pub fn set_health(&self, health: Health) {
        self.shared.health.send_replace(health);
    }

    /// From now on requests for `path` wait for [`Self::release`].
    pub fn hold(&self, path: &str) {
        self.shared.held.send_replace(Some(path.to_owned()));
    }

    /// Lets the held requests go on.
    pub fn release(&self) {
        self.shared.held.send_replace(None);
    }

    /// Requests seen, `/healthz` not counted.
    pub fn requests(&self) -> u64 {
        self.shared.seen().requests.values().sum()
    }

    /// Requests seen with this method and path.
    pub fn requests_of(&self, method: &str, path: &str) -> u64 {
        let of = (method.to_owned(), path.to_owned());
        self.shared.seen().requests.get(&of).copied().unwrap_or(0)
    }

    /// Requests for `/healthz`.
    pub fn probes(&self) -> u64 {
        self.shared.seen().probes
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> u64 {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Requests whose answer has not begun.
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// Bytes of request bodies received, counted as they arrive.
    pub fn uploaded(&self) -> u64 {
        self.shared.uploaded.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen
            .lock()
            .expect("nobody panics while counting a request")
    }

    fn count(&self, request: &Request<Incoming>) {
        let path = request.uri().path();
        let mut seen = self.seen();
        if path == "/healthz" {
            seen.probes += 1;
        } else {
            let of = (request.method().to_string(), path.to_owned());
            *seen.requests.entry(of).or_default() += 1;
        }
    }

    /// Waits while `path` is held.
    async fn gate(&self, path: &str) {
        let shut = |held: &Option<String>| held.as_deref() == Some(path);
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = self.held.subscribe().wait_for(|held| !shut(held)).await;
    }
}

/// Counts one more for as long as it lives.
struct OneMore<'a>(&'a AtomicU64);

impl<'a> OneMore<'a> {
    fn of(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for OneMore<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves until told to stop; the runtime takes every connection along when it goes.
fn run(listener: std::net::TcpListener, shared: &Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        tokio::select! {
            _ = stopped => {}
            () = accept(listener, shared) => {}
        }
    });
}

async fn accept(listener: std::net::TcpListener, shared: &Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime runs here");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(shared);
        shared.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let _open = OneMore::of(&shared.open);
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            // A client that breaks off is no matter of the origin's.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Pattern>, Infallible> {
    shared.count(&request);
    let _in_flight = OneMore::of(&shared.in_flight);
    let (head, body) = request.into_parts();
    let received = receive(&shared, body).await;
    let query = |key: &str| query_value(head.uri.query().unwrap_or_default(), key);
    let number = |key: &str| query(key).and_then(|value| value.parse::<u64>().ok());

    shared.gate(head.uri.path()).await;
    let mut response = match head.uri.path() {
        "/healthz" => health(&shared).await,
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(number("ms").unwrap_or(0))).await;
            Response::new(Pattern::text(shared.name.clone()))
        }
        "/bytes" => Response::new(Pattern::of(
            number("n").unwrap_or(0),
            query("chunked").is_none(),
        )),
        "/status" => {
            let mut response = Response::new(Pattern::text(String::new()));
            *response.status_mut() = number("code")
                .and_then(|code| StatusCode::from_u16(code as u16).ok())
                .unwrap_or(StatusCode::BAD_REQUEST);
            response
        }
        "/echo" => echo(&head, &received),
        _ => Response::new(Pattern::text(shared.name.clone())),
    };
    let name = shared
        .name
        .parse()
        .expect("a test's origin has a plain name");
    response.headers_mut().insert("x-origin", name);
    Ok(response)
}

struct Received {
    length: u64,
    hash: u64,
}

/// Reads a body to its end, counting as it comes.
async fn receive(shared: &Shared, mut body: Incoming) -> Received {
    let mut hasher = DefaultHasher::new();
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            hasher.write(data);
            length += data.len() as u64;
            shared
                .uploaded
                .fetch_add(data.len() as u64, Ordering::Relaxed);
        }
    }
    Received {
        length,
        hash: hasher.finish(),
    }
}

async fn health(shared: &Shared) -> Response<Pattern> {
    let mut says = shared.health.subscribe();
    let status = loop {
        match *says.borrow_and_update() {
            Health::Status(status) => break status,
            Health::Hang => {}
        }
        if says.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let mut response = Response::new(Pattern::text("health\n".to_owned()));
    *response.status_mut() =
        StatusCode::from_u16(status).expect("a test says a status that there is");
    response
}

fn echo(head: &hyper::http::request::Parts, received: &Received) -> Response<Pattern> {
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let seen = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body_length": received.length,
        "body_hash": received.hash,
    });
    let mut response = Response::new(Pattern::text(seen.to_string()));
    let json = "application/json".parse().expect("it is a header's value");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn query_value<'q>(query: &'q str, key: &str) -> Option<&'q str> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}

/// The hash by which `/echo` tells of a body.
pub fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}
