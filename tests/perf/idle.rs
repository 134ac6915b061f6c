//! Memory of idle keep-alive connections: each made one request and then went quiet.
//!
//! What the kernel holds for a socket is the same for every proxy and not counted. All connections
//! come from 127.0.0.1, whose ephemeral ports are enough for this many.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::Bench;
use crate::certificate::{Key, NAME as HOST};
use crate::machine;
use crate::options::Options;
use crate::proxy::{Kind, Proxy, Size, USUAL};
use crate::scenario::Entry;
use crate::table::{median, ratio};

/// In the clear, and under TLS.
pub(crate) const NAME: &str = "idle";
pub(crate) const TLS: &str = "tls-idle";

const CONNECTIONS: usize = 10_000;

pub(crate) fn compare(options: &Options, bench: &Bench, name: &str) -> Result<String, String> {
    /// Files that a proxy has open beside its clients.
    const REST: u64 = 1000;
    let needed = CONNECTIONS as u64 + REST;
    if machine::open_files() < needed {
        return Ok(format!(
            "{name}: left out, it needs {needed} open files and {} are allowed\n",
            machine::open_files()
        ));
    }
    let entry = match name {
        TLS => Entry::Tls(Key::Ecdsa),
        _ => Entry::Clear,
    };
    let tls = tls(bench).map_err(|e| e.to_string())?;
    let mut rows: Vec<(Kind, Vec<f64>)> = options.proxies.iter().map(|p| (*p, vec![])).collect();
    for round in 0..options.rounds {
        for (kind, samples) in &mut rows {
            crate::talk(&format!("{name}: round {}, {kind}", round + 1));
            let proxy = Proxy::start(*kind, bench, Size { entry, ..USUAL })?;
            let tls = entry.key().map(|_| &tls);
            samples.push(bytes_per_connection(&proxy, tls)?);
        }
    }
    let medians: Vec<(Kind, f64)> = rows
        .iter()
        .map(|(kind, samples)| (*kind, median(samples.iter().copied())))
        .collect();
    let haproxy = medians.iter().find(|(kind, _)| *kind == Kind::Haproxy);
    let mut table = format!(
        "{name} ({CONNECTIONS} keep-alive connections, each quiet after one request)\n{:<8} {:>18} {:>6}\n",
        "", "bytes/connection", "ratio"
    );
    for (kind, bytes) in &medians {
        let ratio = ratio(*bytes, haproxy.map(|(_, bytes)| *bytes));
        table += &format!("{kind:<8} {bytes:>18.0} {ratio:>6}\n");
    }
    Ok(table)
}

/// What a client under TLS goes by.
fn tls(bench: &Bench) -> Result<Arc<ClientConfig>, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(bench.certificates.roots()?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn bytes_per_connection(proxy: &Proxy, tls: Option<&Arc<ClientConfig>>) -> Result<f64, String> {
    let connect = || {
        let addr = proxy.addr();
        one_request(addr, tls).map_err(|e| format!("a request to {addr}: {e}"))
    };
    // What the first requests bring about (pools, code read in) is no connection's.
    for _ in 0..100 {
        connect()?;
    }
    let before = settled_memory(proxy.pid())?;
    let idle = (0..CONNECTIONS)
        .map(|_| connect())
        .collect::<Result<Vec<TcpStream>, String>>()?;
    let after = settled_memory(proxy.pid())?;
    drop(idle);
    Ok((after as f64 - before as f64) / CONNECTIONS as f64)
}

/// Makes a request on a new connection and leaves it open; under TLS, forgets all but the socket.
fn one_request(addr: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<TcpStream> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let mut tcp = TcpStream::connect(addr)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let Some(config) = tls else {
        ask(&mut tcp)?;
        return Ok(tcp);
    };
    let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
    let tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(tls, tcp);
    ask(&mut stream)?;
    Ok(stream.sock)
}

/// Asks for 128 bytes and reads all of the answer.
fn ask(stream: &mut (impl Read + Write)) -> io::Result<()> {
    const BODY: usize = 128;
    stream.write_all(b"GET /small HTTP/1.1\r\nhost: test\r\n\r\n")?;
    let mut answer = Vec::new();
    let is_whole = |answer: &[u8]| {
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        head.is_some_and(|head| answer.len() >= head + 4 + BODY)
    };
    let mut buffer = [0; 4096];
    while !is_whole(&answer) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
    match answer.starts_with(b"HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(io::Error::other(
            String::from_utf8_lossy(&answer).into_owned(),
        )),
    }
}

/// The memory of a process once it has kept still for a while; what it frees late counts as freed.
fn settled_memory(pid: u32) -> Result<u64, String> {
    const STILL: Duration = Duration::from_secs(2);
    const LIMIT: Duration = Duration::from_secs(20);
    let started = Instant::now();
    let mut seen = machine::own_memory(pid)?;
    let mut since = Instant::now();
    while since.elapsed() < STILL && started.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(50));
        let now = machine::own_memory(pid)?;
        if now != seen {
            seen = now;
            since = Instant::now();
        }
    }
    Ok(seen)
}
