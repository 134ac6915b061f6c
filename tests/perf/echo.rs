//! WebSocket echo: an origin that sends back what comes after the upgrade, and a load that waits for
//! each message before it sends the next.
//!
//! Both are in this process, and so on the CPU of the load. What is in the frames neither of them
//! looks at, nor do the proxies.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{Instant, timeout};

use crate::scenario::Scenario;
use crate::wrk::Load;

/// A masked text frame of 32 bytes (RFC 6455, 5.2).
const MESSAGE: &[u8; 38] = b"\x81\xa0mask................................";

const PATIENCE: Duration = Duration::from_secs(10);

/// Starts the origin, on three ports.
pub(crate) fn serve() -> Result<[SocketAddr; 3], String> {
    let mut listeners = Vec::new();
    for _ in 0..3 {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        listeners.push(listener.map_err(|e| e.to_string())?);
    }
    let addrs: Vec<SocketAddr> = listeners
        .iter()
        .map(|listener| listener.local_addr().map_err(|e| e.to_string()))
        .collect::<Result<_, _>>()?;
    let runtime = runtime()?;
    std::thread::spawn(move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let mut accepting = JoinSet::new();
            for listener in listeners {
                accepting.spawn_local(accept(listener));
            }
            accepting.join_all().await;
        });
    });
    addrs.try_into().map_err(|_| "three listeners".to_owned())
}

fn runtime() -> Result<Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(|e| e.to_string())
}

async fn accept(listener: std::net::TcpListener) {
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    let Ok(listener) = listener else { return };
    while let Ok((stream, _)) = listener.accept().await {
        spawn_local(answer(stream));
    }
}

/// Upgrades who asks for it; everybody else is a health check.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let head = head(&mut stream).await?.to_ascii_lowercase();
    if !head.contains("upgrade: websocket") {
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        return stream.write_all(ok).await;
    }
    // The answer to the one key that is asked with; it is the RFC's example.
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
        connection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(switching).await?;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}

/// Reads a head, behind which nothing comes unasked.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Loads the proxy at `addr` for some seconds.
pub(crate) fn run(addr: SocketAddr, scenario: &Scenario, seconds: u64) -> Result<Load, String> {
    let connected = |e| format!("{}: {e}", scenario.name);
    runtime()?.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..scenario.connections {
            streams.push(upgrade(addr, scenario.target).await.map_err(connected)?);
        }
        let started = Instant::now();
        let until = started + Duration::from_secs(seconds);
        let talks: JoinSet<_> = streams.into_iter().map(|s| talk(s, until)).collect();
        let (mut took, mut errors) = (Vec::new(), 0);
        for (some, error) in talks.join_all().await {
            took.extend(some);
            errors += u64::from(error.is_err());
        }
        took.sort_unstable();
        let at = |part: usize| took.get(took.len() * part / 100).copied();
        let (Some(p50), Some(p99)) = (at(50), at(99)) else {
            return Err(format!("{}: not one message came back", scenario.name));
        };
        Ok(Load {
            requests: took.len() as u64,
            seconds: started.elapsed().as_secs_f64(),
            p50,
            p99,
            errors,
        })
    })
}

async fn upgrade(addr: SocketAddr, target: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let ask = format!(
        "GET {target} HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(ask.as_bytes()).await?;
    let answer = timeout(PATIENCE, head(&mut stream)).await??;
    match answer.starts_with("HTTP/1.1 101 ") {
        true => Ok(stream),
        false => Err(io::Error::other(answer)),
    }
}

/// One message after the other; how long each took to come back, in microseconds.
async fn talk(mut stream: TcpStream, until: Instant) -> (Vec<u64>, io::Result<()>) {
    let mut took = Vec::new();
    loop {
        let sent = Instant::now();
        if sent >= until {
            return (took, Ok(()));
        }
        match timeout(PATIENCE, once(&mut stream)).await {
            Ok(Ok(())) => took.push(sent.elapsed().as_micros() as u64),
            Ok(Err(error)) => return (took, Err(error)),
            Err(late) => return (took, Err(late.into())),
        }
    }
}

async fn once(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(MESSAGE).await?;
    let mut back = [0; MESSAGE.len()];
    stream.read_exact(&mut back).await?;
    match &back == MESSAGE {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}
