//! h2load as the load, for HTTP/2.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use crate::machine::{Cpus, pinned};
use crate::scenario::{Entry, Scenario};
use crate::wrk::Load;

/// Loads the proxy at `addr` for some seconds.
pub(crate) fn run(
    addr: SocketAddr,
    scenario: &Scenario,
    streams: usize,
    seconds: u64,
    cpus: Cpus,
) -> Result<Load, String> {
    let log = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let under_tls = matches!(scenario.entry, Entry::H2 { .. });
    let scheme = if under_tls { "https" } else { "http" };
    let output = pinned(cpus.load, "h2load")
        .args(["--threads", "1"])
        .args(["--clients", &scenario.connections.to_string()])
        .args(["--max-concurrent-streams", &streams.to_string()])
        .args(["--duration", &seconds.to_string()])
        // HAProxy goes by its own preference among ciphers, the others by the client's; this one is
        // HAProxy's first, and wrk's.
        .args(["--tls13-ciphers", "TLS_AES_256_GCM_SHA384"])
        .args(["--npn-list", "h2", "--groups", "X25519:P-256"])
        .arg("--log-file")
        .arg(log.path())
        .arg(format!("{scheme}://{addr}{}", scenario.target))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run h2load: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let loaded = || {
        let speaks_h2 = text.contains("Application protocol: h2");
        parse(
            speaks_h2.then_some(&text)?,
            seconds,
            &durations(log.path())?,
        )
    };
    loaded().ok_or_else(|| {
        let talk = String::from_utf8_lossy(&output.stderr);
        format!("h2load ended with {}: {text}{talk}", output.status)
    })
}

/// How long each request took, in microseconds, the shortest first.
fn durations(log: &Path) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(log).ok()?;
    let durations = text
        .lines()
        .map(|line| line.split('\t').nth(2)?.parse().ok());
    let mut durations: Vec<u64> = durations.collect::<Option<_>>()?;
    durations.sort_unstable();
    Some(durations)
}

fn parse(text: &str, seconds: u64, durations: &[u64]) -> Option<Load> {
    // requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("requests: "))?;
    let count = |what: &str| -> Option<u64> {
        let mut fields = line.split(", ");
        let field = fields.find_map(|field| field.strip_suffix(what))?;
        field.trim().parse().ok()
    };
    let at = |part: usize| durations.get(durations.len() * part / 100).copied();
    Some(Load {
        requests: count(" succeeded").filter(|n| *n > 0)?,
        seconds: seconds as f64,
        p50: at(50)?,
        p99: at(99)?,
        errors: count(" failed")?,
    })
}
