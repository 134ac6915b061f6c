//! A large site's file is read in no time, and so is a large file full of mistakes.

use std::fmt::Write as _;
use std::time::Duration;

use lb_proto::config;
use rustix::time::{ClockId, clock_gettime};

/// Of CPU time. Meant for release builds, where it takes a fiftieth; anything quadratic takes far longer.
const LIMIT: Duration = Duration::from_secs(5);

/// What this thread has had of a CPU: whatever else runs on the machine makes it no more.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it is some time")
}

/// A thousand backends of ten servers, a route to each; `weight` is that of every server.
fn large(weight: &str) -> String {
    let mut text = "[frontend.web]\nbind = \"*:80\"\n".to_owned();
    for n in 0..1_000 {
        writeln!(
            text,
            "[[frontend.web.routes]]\nhost = \"h{n}.example\"\nbackend = \"b{n}\""
        )
        .expect("a string takes it");
    }
    for n in 0..1_000 {
        writeln!(text, "[backend.b{n}]\nservers = [").expect("a string takes it");
        for s in 0..10 {
            let address = format!("10.{}.{}.{s}:80", n / 250, n % 250);
            writeln!(
                text,
                "{{ name = \"s{s}\", address = \"{address}\", weight = {weight} }},"
            )
            .expect("a string takes it");
        }
        text.push_str("]\n");
    }
    text
}

#[test]
fn a_large_file_is_read_in_no_time() {
    let text = large("1");
    let start = cpu_time();
    let config = config::read("large.toml", &text).expect("a valid file");
    let took = cpu_time() - start;
    assert_eq!(
        config
            .backends
            .iter()
            .map(|b| b.servers.len())
            .sum::<usize>(),
        10_000
    );
    assert!(took < LIMIT, "{took:?}");
}

#[test]
fn ten_thousand_problems_are_told_in_no_time() {
    let text = large("999");
    let start = cpu_time();
    let problems = config::read("large.toml", &text).expect_err("every weight is wrong");
    let took = cpu_time() - start;
    assert_eq!(problems.len(), 10_000);
    assert!(took < LIMIT, "{took:?}");
}
