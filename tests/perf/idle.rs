//! Memory of idle keep-alive connections: each made one request and then went quiet.
//!
//! What the kernel holds for a socket is the same for every proxy and not counted. All connections
//! come from 127.0.0.1, whose ephemeral ports are enough for this many.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lb_tests::{Wire, wire};

use crate::machine::{self, Cpus};
use crate::options::Options;
use crate::origin::Origin;
use crate::proxy::{Kind, Proxy};
use crate::table::{median, ratio};

pub(crate) const NAME: &str = "idle";

const CONNECTIONS: usize = 10_000;

pub(crate) fn compare(options: &Options, origin: &Origin, cpus: Cpus) -> Result<String, String> {
    /// Files that a proxy has open beside its clients.
    const REST: u64 = 1000;
    let needed = CONNECTIONS as u64 + REST;
    if machine::open_files() < needed {
        return Ok(format!(
            "{NAME}: left out, it needs {needed} open files and {} are allowed\n",
            machine::open_files()
        ));
    }
    let mut rows: Vec<(Kind, Vec<f64>)> = options.proxies.iter().map(|p| (*p, vec![])).collect();
    for round in 0..options.rounds {
        for (kind, samples) in &mut rows {
            crate::talk(&format!("{NAME}: round {}, {kind}", round + 1));
            let proxy = Proxy::start(*kind, origin, cpus)?;
            samples.push(bytes_per_connection(&proxy)?);
        }
    }
    let medians: Vec<(Kind, f64)> = rows
        .iter()
        .map(|(kind, samples)| (*kind, median(samples.iter().copied())))
        .collect();
    let haproxy = medians.iter().find(|(kind, _)| *kind == Kind::Haproxy);
    let mut table = format!(
        "{NAME} ({CONNECTIONS} keep-alive connections, each quiet after one request)\n{:<8} {:>18} {:>6}\n",
        "", "bytes/connection", "ratio"
    );
    for (kind, bytes) in &medians {
        let ratio = ratio(*bytes, haproxy.map(|(_, bytes)| *bytes));
        table += &format!("{kind:<8} {bytes:>18.0} {ratio:>6}\n");
    }
    Ok(table)
}

fn bytes_per_connection(proxy: &Proxy) -> Result<f64, String> {
    // What the first requests bring about (pools, code read in) is no connection's.
    for _ in 0..100 {
        one_request(proxy.addr())?;
    }
    let before = settled_memory(proxy.pid())?;
    let idle = (0..CONNECTIONS)
        .map(|_| one_request(proxy.addr()))
        .collect::<Result<Vec<Wire>, String>>()?;
    let after = settled_memory(proxy.pid())?;
    drop(idle);
    Ok((after as f64 - before as f64) / CONNECTIONS as f64)
}

/// Makes a request on a new connection and leaves it open.
fn one_request(addr: SocketAddr) -> Result<Wire, String> {
    let mut wire = Wire::try_connect(addr).map_err(|e| format!("connect: {e}"))?;
    let response = wire
        .send(wire::request("GET", "/small"))
        .try_response("GET")
        .map_err(|e| e.to_string())?;
    match response.status {
        200 => Ok(wire),
        status => Err(format!("status {status}")),
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
