//! h2load as the load, for HTTP/2.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use crate::machine::{Cpus, pinned};
use crate::scenario::{Entry, Scenario};
use crate::wrk::Load;

/// Requests of the first run, which tells how many to make in the next.
const FIRST: u64 = 1000;

/// Loads the proxy at `addr` for some seconds.
///
/// h2load is told how many requests to make, one run after the other: told for how long instead, it may
/// never end (seen with 1.52 where it gets little of its CPU).
pub(crate) fn run(
    addr: SocketAddr,
    scenario: &Scenario,
    streams: usize,
    seconds: u64,
    cpus: Cpus,
) -> Result<Load, String> {
    let mut all = Runs::default();
    let mut requests = FIRST;
    while all.seconds < seconds as f64 {
        all.add(addr, scenario, streams, requests, cpus)?;
        let rate = all.requests as f64 / all.seconds;
        let left = seconds as f64 - all.seconds;
        requests = ((rate * left) as u64).max(FIRST);
    }
    all.took.sort_unstable();
    let at = |part: usize| all.took.get(all.took.len() * part / 100).copied();
    let (Some(p50), Some(p99)) = (at(50), at(99)) else {
        return Err(format!("{}: h2load logs no request", scenario.name));
    };
    Ok(Load {
        requests: all.requests,
        seconds: all.seconds,
        p50,
        p99,
        errors: all.errors,
    })
}

/// What h2load saw in all its runs.
#[derive(Debug, Default)]
struct Runs {
    requests: u64,
    seconds: f64,
    errors: u64,
    /// Each request, in microseconds.
    took: Vec<u64>,
}

impl Runs {
    fn add(
        &mut self,
        addr: SocketAddr,
        scenario: &Scenario,
        streams: usize,
        requests: u64,
        cpus: Cpus,
    ) -> Result<(), String> {
        let log = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
        let scheme = match scenario.entry {
            Entry::H2c { .. } => "http",
            _ => "https",
        };
        let output = pinned(cpus.load, "h2load")
            .args(["--threads", "1"])
            .args(["--clients", &scenario.connections.to_string()])
            .args(["--max-concurrent-streams", &streams.to_string()])
            .args(["--requests", &requests.to_string()])
            // HAProxy goes by its own preference among ciphers, the others by the client's; this one
            // is HAProxy's first, and wrk's.
            .args(["--tls13-ciphers", "TLS_AES_256_GCM_SHA384"])
            .args(["--npn-list", "h2", "--groups", "X25519:P-256"])
            .arg("--log-file")
            .arg(log.path())
            .arg(format!("{scheme}://{addr}{}", scenario.target))
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("cannot run h2load: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        self.read(&text, log.path()).ok_or_else(|| {
            let talk = String::from_utf8_lossy(&output.stderr);
            format!("h2load ended with {}: {text}{talk}", output.status)
        })
    }

    fn read(&mut self, text: &str, log: &Path) -> Option<()> {
        if !text.contains("Application protocol: h2") {
            return None;
        }
        // finished in 1.20s, 12345.60 req/s, 1.70MB/s
        let line = |start| text.lines().find_map(|line| line.strip_prefix(start));
        let time: &str = line("finished in ")?.split(',').next()?;
        self.seconds += match time.strip_suffix("ms") {
            Some(ms) => ms.parse::<f64>().ok()? / 1e3,
            None => time.strip_suffix('s')?.parse().ok()?,
        };
        // requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout
        let counts = line("requests: ")?;
        let count = |what: &str| -> Option<u64> {
            let mut fields = counts.split(", ");
            fields
                .find_map(|field| field.strip_suffix(what))?
                .parse()
                .ok()
        };
        self.requests += count(" succeeded").filter(|n| *n > 0)?;
        self.errors += count(" failed")?;
        // Each line: when it began, its status, how long it took.
        let log = std::fs::read_to_string(log).ok()?;
        for line in log.lines() {
            self.took.push(line.split('\t').nth(2)?.parse().ok()?);
        }
        Some(())
    }
}
