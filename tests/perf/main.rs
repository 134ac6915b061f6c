//! `cargo perf`: lbd beside HAProxy and nginx, in one run.
//!
//! Each proxy has one data thread and is pinned to one CPU; the load (wrk) and the origin (nginx)
//! share the other. WebSocket has a load and an origin of its own, wrk knowing nothing of it. Rounds alternate between the proxies, so that what else the machine does falls on
//! all of them; the table gives medians. The measure that counts is CPU time per request of the
//! proxy's process, which neither the load nor the origin can hold back.
//!
//! The proxies do the same work: health checks and counters on, the four `X-Forwarded-*` headers
//! set, connections to the origin reused. nginx has no active checks in Debian's package.

mod echo;
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

use machine::Cpus;
use options::Options;
use origin::Origin;
use proxy::{Proxy, Size, USUAL};
use scenario::{Scenario, Service};
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

fn run(options: &Options) -> Result<(), String> {
    let cpus = Cpus::of_this_machine();
    machine::raise_open_files();
    cpus.keep_to_load();
    let origin = Origin::start(cpus)?;
    print(&machine::describe(cpus, &options.proxies)?);

    for scenario in scenario::ALL.iter().filter(|s| options.wants(s.name)) {
        let proxies = options.proxies.iter().copied();
        let mut rows: Vec<Row> = proxies
            .filter(|proxy| scenario.service.is_for(*proxy))
            .map(Row::of)
            .collect();
        let size = Size {
            service: scenario.service,
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
                let proxy = Proxy::start_sized(row.proxy, &origin, cpus, size)?;
                row.samples
                    .push(measure(&proxy, scenario, options.seconds, cpus)?);
                drop(proxy);
                if options.access_log {
                    let logged = Size { logs: true, ..size };
                    let proxy = Proxy::start_sized(row.proxy, &origin, cpus, logged)?;
                    row.logged
                        .push(measure(&proxy, scenario, options.seconds, cpus)?);
                }
            }
        }
        print(&table::requests(scenario, &rows));
    }
    if options.wants(idle::NAME) {
        print(&idle::compare(options, &origin, cpus)?);
    }
    if options.wants(scale::NAME) {
        print(&scale::compare(options, &origin, cpus)?);
    }
    Ok(())
}

/// One run of a scenario: a warm-up that fills pools and caches, then what counts.
fn measure(proxy: &Proxy, scenario: &Scenario, seconds: u64, cpus: Cpus) -> Result<Sample, String> {
    let run = |seconds| match scenario.service {
        Service::WebSocket => echo::run(proxy.addr(), scenario, seconds),
        _ => wrk::run(proxy.addr(), scenario, seconds, cpus),
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
