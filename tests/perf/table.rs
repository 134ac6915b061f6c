//! Medians, ratios to HAProxy, and the table they are printed in.

use crate::proxy::Kind;
use crate::scenario::Scenario;

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) requests_per_second: f64,
    /// In microseconds.
    pub(crate) cpu_per_request: f64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// In bytes.
    pub(crate) peak_memory: u64,
    pub(crate) errors: u64,
}

/// The runs of one proxy.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) proxy: Kind,
    pub(crate) samples: Vec<Sample>,
    /// With an access log; empty where that was not asked for.
    pub(crate) logged: Vec<Sample>,
}

impl Row {
    pub(crate) fn of(proxy: Kind) -> Self {
        Self {
            proxy,
            samples: Vec::new(),
            logged: Vec::new(),
        }
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of))
    }

    /// CPU time per request with an access log.
    fn logged(&self) -> f64 {
        median(self.logged.iter().map(|s| s.cpu_per_request))
    }
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// `value` as a multiple of HAProxy's, where HAProxy ran.
pub(crate) fn ratio(value: f64, haproxy: Option<f64>) -> String {
    haproxy.map_or("-".into(), |of| format!("{:.2}", value / of))
}

pub(crate) fn requests(scenario: &Scenario, rows: &[Row]) -> String {
    let haproxy = |of: fn(&Sample) -> f64| {
        rows.iter()
            .find(|row| row.proxy == Kind::Haproxy)
            .map(|row| row.median(of))
    };
    let with_log = rows.iter().any(|row| !row.logged.is_empty());
    let haproxy_logged = rows
        .iter()
        .find(|row| row.proxy == Kind::Haproxy)
        .map(Row::logged);
    let mut table = format!(
        "{} ({})\n{:<8} {:>10} {:>6} {:>12} {:>6} {:>9} {:>9} {:>9} {:>7}{}\n",
        scenario.name,
        scenario.what,
        "",
        "req/s",
        "ratio",
        "CPU µs/req",
        "ratio",
        "p50 ms",
        "p99 ms",
        "peak MiB",
        "errors",
        if with_log {
            "  with log µs/req  ratio"
        } else {
            ""
        }
    );
    for row in rows {
        let speed = row.median(|s| s.requests_per_second);
        let cpu = row.median(|s| s.cpu_per_request);
        table += &format!(
            "{:<8} {:>10.0} {:>6} {:>12.2} {:>6} {:>9.2} {:>9.2} {:>9.1} {:>7}",
            row.proxy,
            speed,
            ratio(speed, haproxy(|s| s.requests_per_second)),
            cpu,
            ratio(cpu, haproxy(|s| s.cpu_per_request)),
            row.median(|s| s.p50 as f64) / 1e3,
            row.median(|s| s.p99 as f64) / 1e3,
            row.median(|s| s.peak_memory as f64) / f64::from(1 << 20),
            row.samples
                .iter()
                .chain(&row.logged)
                .map(|s| s.errors)
                .sum::<u64>(),
        );
        if with_log {
            let ratio = ratio(row.logged(), haproxy_logged);
            table += &format!("  {:>15.2} {ratio:>6}", row.logged());
        }
        table.push('\n');
    }
    table
}
