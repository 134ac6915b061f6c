//! `cargo perf`: lbd beside HAProxy and nginx, in one run.
//!
//! Each proxy has one data thread and is pinned to one CPU; the load (wrk, h2load for HTTP/2) and the origin (nginx)
//! share the other. WebSocket has a load and an origin of its own, wrk knowing nothing of it. Rounds alternate between the proxies, so that what else the machine does falls on
//! all of them; the table gives medians. The measure that counts is CPU time per request of the
//! proxy's process, which neither the load nor the origin can hold back.
//!
//! The proxies do the same work: health checks and counters on, the four `X-Forwarded-*` headers
//! set, connections to the origin reused. nginx has no active checks in Debian's package.

mod certificate;
mod configuration;
mod echo;
mod h2load;
mod handshakes;
mod idle;
mod machine;
mod options;
mod origin;
mod proxy;
mod scale;
mod scenario;
mod table;
mod wrk;

use std::process::ExitCode;

use certificate::Certificates;
use machine::Cpus;
use options::Options;
use origin::Origin;
use proxy::{Proxy, Size, USUAL};
use scenario::{Entry, Scenario, Service};
use table::{Row, Sample};

fn main() -> ExitCode {
    let options = match Options::from_args(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            talk(&format!("{problem}\n\n{}", options::USAGE));
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            talk(&problem);
            ExitCode::FAILURE
        }
    }
}

/// What the proxies are measured with.
#[derive(Debug)]
struct Bench {
    origin: Origin,
    certificates: Certificates,
    cpus: Cpus,
}

fn run(options: &Options) -> Result<(), String> {
    let cpus = Cpus::of_this_machine();
    machine::raise_open_files();
    cpus.keep_to_load();
    let bench = Bench {
        origin: Origin::start(cpus)?,
        certificates: Certificates::make()?,
        cpus,
    };
    print(&machine::describe(cpus, &options.proxies)?);

    for scenario in scenario::ALL.iter().filter(|s| options.wants(s.name)) {
        let proxies = options.proxies.iter().copied();
        let mut rows: Vec<Row> = proxies
            .filter(|proxy| scenario.service.is_for(*proxy))
            .map(Row::of)
            .collect();
        let size = Size {
            service: scenario.service,
            entry: scenario.entry,
            ..USUAL
        };
        for round in 0..options.rounds {
            // Every round starts with another proxy: whoever is first finds the caches cold.
            for turn in 0..rows.len() {
                let row = (round + turn) % rows.len();
                let row = &mut rows[row];
                talk(&format!(
                    "{}: round {} of {}, {}",
                    scenario.name,
                    round + 1,
                    options.rounds,
                    row.proxy
                ));
                let proxy = Proxy::start(row.proxy, &bench, size)?;
                row.samples
                    .push(measure(&proxy, scenario, options.seconds, &bench)?);
                drop(proxy);
                if options.access_log {
                    let logged = Size { logs: true, ..size };
                    let proxy = Proxy::start(row.proxy, &bench, logged)?;
                    row.logged
                        .push(measure(&proxy, scenario, options.seconds, &bench)?);
                }
            }
        }
        print(&table::requests(scenario, &rows));
    }
    for name in [idle::NAME, idle::TLS] {
        if options.wants(name) {
            print(&idle::compare(options, &bench, name)?);
        }
    }
    if options.wants(scale::NAME) {
        print(&scale::compare(options, &bench)?);
    }
    Ok(())
}

/// One run of a scenario: a warm-up that fills pools and caches, then what counts.
fn measure(
    proxy: &Proxy,
    scenario: &Scenario,
    seconds: u64,
    bench: &Bench,
) -> Result<Sample, String> {
    let addr = proxy.addr();
    let run = |seconds| match (scenario.service, scenario.entry) {
        (Service::WebSocket, _) => echo::run(addr, scenario, seconds),
        (_, Entry::Clear | Entry::Tls(_)) => wrk::run(addr, scenario, seconds, bench.cpus),
        (_, Entry::H2 { streams } | Entry::H2c { streams }) => {
            h2load::run(addr, scenario, streams, seconds, bench.cpus)
        }
        (_, Entry::Handshakes(what)) => {
            handshakes::run(addr, scenario, what, &bench.certificates, seconds)
        }
    };
    run(1)?;
    let before = machine::cpu_time(proxy.pid())?;
    let load = run(seconds)?;
    let spent = machine::cpu_time(proxy.pid())? - before;
    Ok(Sample {
        requests_per_second: load.requests as f64 / load.seconds,
        cpu_per_request: spent.as_secs_f64() * 1e6 / load.requests as f64,
        p50: load.p50,
        p99: load.p99,
        peak_memory: machine::peak_memory(proxy.pid())?,
        errors: load.errors,
    })
}

#[expect(
    clippy::print_stdout,
    reason = "the tables are what the command is for"
)]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "talk goes to standard error")]
fn talk(text: &str) {
    eprintln!("{text}");
}
