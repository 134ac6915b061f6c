//! The demo's servers: they show their name, answer slowly, fall sick and die when asked.
//!
//! They stand for other people's servers: nothing of the load balancer is in here.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const DEFAULT_OUTAGE: u64 = 15;
/// Seconds: long enough for any experiment, short enough that a typing slip passes.
const MAX_OUTAGE: u64 = 3600;
const MAX_SLOWNESS: Duration = Duration::from_secs(60);

/// Between the answer that announces a death and the death, so that the answer arrives.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A port may be taken for a moment while its origin is dead.
const BIND_RETRY: Duration = Duration::from_millis(200);

#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
}

/// Starts an origin for each name on a thread of its own, which lives as long as the process.
pub(super) fn start(names: &[&'static str]) -> io::Result<Vec<Origin>> {
    names.iter().copied().map(start_one).collect()
}

fn start_one(name: &'static str) -> io::Result<Origin> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(live(name, address, listener)))?;
    Ok(Origin { name, address })
}

/// What requests do to an origin.
struct Fate {
    name: &'static str,
    sick_until: watch::Sender<Instant>,
    dead_until: watch::Sender<Instant>,
}

async fn live(name: &'static str, address: SocketAddr, first: std::net::TcpListener) {
    let fate = Arc::new(Fate {
        name,
        sick_until: watch::Sender::new(Instant::now()),
        dead_until: watch::Sender::new(Instant::now()),
    });
    let mut listener = TcpListener::from_std(first).ok();
    loop {
        let alive = match listener.take() {
            Some(listener) => listener,
            None => bind(address).await,
        };
        let mut dies = fate.dead_until.subscribe();
        tokio::select! {
            () = serve(alive, &fate) => {}
            _ = dies.changed() => {}
        }
        let until = *fate.dead_until.borrow();
        sleep_until(until).await;
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => sleep(BIND_RETRY).await,
        }
    }
}

/// Serves until dropped, and then its connections are cut.
async fn serve(listener: TcpListener, fate: &Arc<Fate>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    sleep(BIND_RETRY).await;
                    continue;
                };
                let fate = fate.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| answer(request, &fate));
                    // A client that breaks off is its own business.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    fate: &Arc<Fate>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let name = fate.name;
    let is_post = request.method() == Method::POST;
    let (status, text) = match request.uri().path() {
        "/healthz" if *fate.sick_until.borrow() > Instant::now() => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{name} is sick"))
        }
        "/healthz" => (StatusCode::OK, format!("{name} is well")),
        "/slow" => {
            let pause = Duration::from_millis(number(request.uri(), "ms").unwrap_or(1000));
            let pause = pause.min(MAX_SLOWNESS);
            sleep(pause).await;
            (
                StatusCode::OK,
                format!("{name} after {} ms", pause.as_millis()),
            )
        }
        "/fail" | "/sick" if !is_post => (StatusCode::METHOD_NOT_ALLOWED, "POST it".to_owned()),
        "/sick" => {
            let seconds = outage(request.uri());
            let until = Instant::now() + Duration::from_secs(seconds);
            fate.sick_until.send_replace(until);
            (StatusCode::OK, format!("{name} is sick for {seconds} s"))
        }
        "/fail" => {
            let seconds = outage(request.uri());
            tokio::spawn(die(fate.clone(), Duration::from_secs(seconds)));
            (StatusCode::OK, format!("{name} is dead for {seconds} s"))
        }
        _ => (StatusCode::OK, name.to_owned()),
    };
    let mut response = Response::new(Full::from(text + "\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("x-origin", http::HeaderValue::from_static(name));
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    Ok(response)
}

async fn die(fate: Arc<Fate>, outage: Duration) {
    sleep(LAST_WORDS).await;
    fate.dead_until.send_replace(Instant::now() + outage);
}

fn outage(uri: &Uri) -> u64 {
    number(uri, "for").unwrap_or(DEFAULT_OUTAGE).min(MAX_OUTAGE)
}

/// A number of the query.
fn number(uri: &Uri, key: &str) -> Option<u64> {
    let mut pairs = uri.query()?.split('&').filter_map(|p| p.split_once('='));
    pairs.find(|(k, _)| *k == key)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn ask(address: SocketAddr, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "{request} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    #[test]
    fn an_origin_shows_its_name_falls_sick_and_dies_when_asked() {
        let origin = start_one("web01").unwrap();
        let at = origin.address;
        let hello = ask(at, "GET /").unwrap();
        assert!(hello.contains("x-origin: web01") && hello.ends_with("\r\n\r\nweb01\n"));
        assert!(ask(at, "GET /healthz").unwrap().contains(" 200 "));
        ask(at, "POST /sick?for=60").unwrap();
        assert!(ask(at, "GET /healthz").unwrap().contains(" 503 "));
        assert!(ask(at, "GET /fail").unwrap().contains(" 405 "));

        ask(at, "POST /fail?for=2").unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let mut refused = false;
        while std::time::Instant::now() < deadline {
            let answer = ask(at, "GET /");
            refused |= answer.is_err();
            if refused && answer.is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("refused: {refused}, and it did not come back");
    }
}
