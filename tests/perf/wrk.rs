//! wrk as the load.

use std::net::SocketAddr;
use std::process::Stdio;

use crate::machine::{Cpus, pinned};
use crate::scenario::Scenario;

/// What wrk saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// In microseconds.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// Connects, reads and writes that failed, timeouts, and responses that are not 2xx or 3xx.
    pub(crate) errors: u64,
}

/// Makes the requests, and prints what a program can read instead of what a person would.
const SCRIPT: &str = r#"
function init(args)
  local upload = tonumber(args[1])
  if upload > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", upload)
  end
  if args[2] == "close" then
    wrk.headers["Connection"] = "close"
  end
  request = function() return wrk.request() end
  local prepared = wrk.format()
  request = function() return prepared end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("\nresult %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

/// Loads the proxy at `addr` for some seconds.
pub(crate) fn run(
    addr: SocketAddr,
    scenario: &Scenario,
    seconds: u64,
    cpus: Cpus,
) -> Result<Load, String> {
    let script = tempfile::Builder::new()
        .suffix(".lua")
        .tempfile()
        .map_err(|e| e.to_string())?;
    std::fs::write(&script, SCRIPT).map_err(|e| e.to_string())?;
    let scheme = scenario.entry.key().map_or("http", |_| "https");
    let output = pinned(cpus.load, "wrk")
        .args(["--threads", "1", "--timeout", "10s"])
        .args(["--connections", &scenario.connections.to_string()])
        .args(["--duration", &format!("{seconds}s")])
        .arg("--script")
        .arg(script.path())
        .arg(format!("{scheme}://{addr}{}", scenario.target))
        .arg("--")
        .arg(scenario.upload.to_string())
        .arg(if scenario.closes { "close" } else { "keep" })
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run wrk: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| {
        let talk = String::from_utf8_lossy(&output.stderr);
        format!("wrk ended with {}: {text}{talk}", output.status)
    })
}

fn parse(text: &str) -> Option<Load> {
    let result = text.lines().find_map(|line| line.strip_prefix("result "))?;
    let numbers: Vec<u64> = result
        .split(' ')
        .map(|field| field.parse().ok())
        .collect::<Option<_>>()?;
    let [requests, microseconds, p50, p99, errors] = numbers[..] else {
        return None;
    };
    (requests > 0).then_some(Load {
        requests,
        seconds: microseconds as f64 / 1e6,
        p50,
        p99,
        errors,
    })
}
