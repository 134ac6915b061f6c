//! wrk, which notices every error: servers die, drain and are reloaded under it.

use std::process::Command;

use lb_proto::state::State;
use lb_tests::daemon::QUICK_CHECK;
use lb_tests::port::Port;
use lb_tests::{Lbd, Process, eventually};
use rustix::process::Signal;

use crate::origin::{Nginx, balanced};

/// wrk that runs until it is told to stop.
struct Wrk(Process);

impl Wrk {
    fn start(lbd: &Lbd) -> Self {
        let mut command = Command::new("wrk");
        command
            .args(["--threads", "2", "--connections", "32", "--duration", "10m"])
            .arg(format!("http://{}/", lbd.addr()));
        let wrk = Self(Process::spawn(command));
        wrk.goes_on(lbd);
        wrk
    }

    /// Waits until a good number of further requests went through.
    fn goes_on(&self, lbd: &Lbd) {
        let requests = || lbd.status().frontends[0].requests_total;
        let wanted = requests() + 2000;
        eventually("wrk goes on", || {
            let seen = requests();
            if seen >= wanted {
                Ok(())
            } else {
                Err(format!("{seen} of {wanted} requests"))
            }
        });
    }

    /// Stops it; panics if it saw a single error.
    fn stops_without_an_error(self) {
        self.0.signal(Signal::INT);
        let output = self.0.wait().says("requests in");
        for error in ["Non-2xx or 3xx responses", "Socket errors"] {
            assert!(!output.stdout.contains(error), "{}", output.stdout);
        }
    }
}

fn start() -> ([Nginx; 3], Lbd) {
    let origins = Nginx::start_all();
    let lbd = Lbd::start(balanced(QUICK_CHECK, &origins));
    for server in ["app/a", "app/b", "app/c"] {
        lbd.wait_until_healthy(server);
    }
    (origins, lbd)
}

#[test]
#[ignore = "needs nginx and wrk"]
fn wrk_does_not_notice_that_a_server_dies_and_comes_back() {
    let (mut origins, lbd) = start();
    let wrk = Wrk::start(&lbd);
    for _ in 0..5 {
        origins[1].kill();
        wrk.goes_on(&lbd);
        lbd.wait_for_state("app/b", State::Down);
        origins[1].start_again();
        lbd.wait_for_state("app/b", State::Up);
        wrk.goes_on(&lbd);
    }
    wrk.stops_without_an_error();
}

#[test]
#[ignore = "needs nginx and wrk"]
fn wrk_does_not_notice_drain_maintenance_and_return() {
    let (mut origins, lbd) = start();
    let wrk = Wrk::start(&lbd);
    for (n, server) in ["app/a", "app/b", "app/c"].into_iter().enumerate() {
        lbd.lbctl(["drain", server]).exits(0);
        let drained = lbd.server(server);
        wrk.goes_on(&lbd);
        assert_eq!(lbd.server(server).sessions_total, drained.sessions_total);
        lbd.lbctl(["maint", server]).exits(0);
        origins[n].kill();
        wrk.goes_on(&lbd);
        origins[n].start_again();
        lbd.lbctl(["ready", server, "--wait"]).exits(0);
        wrk.goes_on(&lbd);
        assert!(lbd.server(server).sessions_total > drained.sessions_total);
    }
    wrk.stops_without_an_error();
}

/// Each nginx is really stopped and started by the hook.
#[test]
#[ignore = "needs nginx and wrk"]
fn wrk_does_not_notice_a_rolling_maintenance() {
    let (origins, lbd) = start();
    let wrk = Wrk::start(&lbd);
    let cases: String = ["a", "b", "c"]
        .iter()
        .zip(&origins)
        .map(|(name, origin)| format!("{name}) {};;\n", origin.restart_command()))
        .collect();
    let hook = format!("case $LB_SERVER in\n{cases}esac");
    let output = lbd.lbctl(["rolling-maintenance", "app", "--exec", hook.as_str()]);
    output.exits(0).says("app: 3 servers maintained in");
    wrk.goes_on(&lbd);
    wrk.stops_without_an_error();
    for server in ["app/a", "app/b", "app/c"] {
        lbd.wait_until_healthy(server);
    }
}

#[test]
#[ignore = "needs nginx and wrk"]
fn wrk_does_not_notice_fifty_reloads() {
    let (origins, mut lbd) = start();
    let three = balanced(QUICK_CHECK, &origins);
    let two = balanced(QUICK_CHECK, &origins[..2]);
    let extra = Port::new();
    let wrk = Wrk::start(&lbd);
    for round in 0..50 {
        let servers = if round % 3 == 0 { &two } else { &three };
        let frontend = format!(
            "[frontend.extra]\nbind = [\"{}\"]\ndefault_backend = \"app\"\n",
            extra.addr()
        );
        lbd.rewrite(if round % 2 == 0 {
            format!("{servers}{frontend}")
        } else {
            servers.clone()
        });
        lbd.reload().exits(0);
    }
    wrk.goes_on(&lbd);
    wrk.stops_without_an_error();
    assert_eq!(lbd.status().daemon.config.generation, 51);
}
