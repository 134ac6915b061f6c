//! A large configuration: how long a start takes, a reload (of lbd), and whether requests are slower.

use std::time::Instant;

use lb_tests::{Process, lbctl};

use crate::Bench;
use crate::machine;
use crate::measure;
use crate::options::Options;
use crate::proxy::{Kind, Proxy, Size, USUAL};
use crate::scenario::FOR_SCALE;
use crate::table::median;

pub(crate) const NAME: &str = "scale";

/// Checked seldom: at two seconds, ten thousand servers are five thousand probes a second, and what
/// was measured would be those.
const LARGE: Size = Size {
    backends: 1000,
    servers: 10,
    interval: 60,
    ..USUAL
};

/// What one proxy gave, medians over the rounds.
struct Row {
    start_ms: f64,
    reload_ms: Option<f64>,
    cpu_usual: f64,
    cpu_large: f64,
}

pub(crate) fn compare(options: &Options, bench: &Bench) -> Result<String, String> {
    let mut table = format!(
        "{NAME} ({} backends of {} servers)\n{:<8} {:>9} {:>10} {:>17} {:>17}\n",
        LARGE.backends,
        LARGE.servers,
        "",
        "start ms",
        "reload ms",
        "CPU µs/req usual",
        "CPU µs/req large"
    );
    for kind in &options.proxies {
        let row = one(*kind, options, bench)?;
        let reload = row.reload_ms.map_or("-".into(), |ms| format!("{ms:.0}"));
        table += &format!(
            "{kind:<8} {:>9.0} {reload:>10} {:>17.2} {:>17.2}\n",
            row.start_ms, row.cpu_usual, row.cpu_large
        );
    }
    Ok(table)
}

fn one(kind: Kind, options: &Options, bench: &Bench) -> Result<Row, String> {
    let (mut starts, mut reloads) = (Vec::new(), Vec::new());
    let (mut usual, mut large) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        crate::talk(&format!("{NAME}: round {}, {kind}", round + 1));
        for (size, cpu) in [(USUAL, &mut usual), (LARGE, &mut large)] {
            let proxy = Proxy::start(kind, bench, size)?;
            // The first checks of ten thousand servers are the start's cost, not a request's.
            machine::until_quiet(proxy.pid())?;
            cpu.push(measure(&proxy, &FOR_SCALE, options.seconds, bench)?.cpu_per_request);
            if size.backends == LARGE.backends {
                starts.push(proxy.started_in.as_secs_f64() * 1e3);
                if kind == Kind::Lbd {
                    reloads.push(reload_ms(&proxy)?);
                }
            }
        }
    }
    Ok(Row {
        start_ms: median(starts.into_iter()),
        reload_ms: (!reloads.is_empty()).then(|| median(reloads.into_iter())),
        cpu_usual: median(usual.into_iter()),
        cpu_large: median(large.into_iter()),
    })
}

/// `lbctl reload` of the same file with one line more, from the command's start to its end.
fn reload_ms(proxy: &Proxy) -> Result<f64, String> {
    let config = proxy.folder().path().join("config");
    let text = std::fs::read_to_string(&config).map_err(|e| e.to_string())?;
    let changed = text.replace("keep_alive = \"10m\"", "keep_alive = \"11m\"");
    std::fs::write(&config, changed).map_err(|e| e.to_string())?;
    let socket = proxy.folder().path().join("lbd.sock");
    let started = Instant::now();
    let output = Process::run(lbctl::command(&socket, ["reload"]));
    match output.code {
        Some(0) => Ok(started.elapsed().as_secs_f64() * 1e3),
        _ => Err(format!("the reload failed: {output:#?}")),
    }
}
