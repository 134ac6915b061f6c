//! gRPC by its Python library on both sides: all four kinds of calls, their failures, and a server that is
//! restarted meanwhile.

use std::fs;
use std::path::Path;
use std::process::Command;

use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::{Authority, Lbd, Process, Setup, eventually, is};
use rustix::process::Signal;

use crate::log_readers::python_packages;
use crate::program::Program;

fn script(args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("real/grpc_calls.py"))
        .args(args)
        .env("PYTHONPATH", python_packages());
    command
}

fn server(more: &[&str]) -> Program {
    Program::start(|port| {
        let port = port.addr().port().to_string();
        script(&[&["server", &port], more].concat())
    })
}

fn by_http2(lines: &str, servers: &[(&str, &Program)]) -> String {
    let lines = format!("protocol = \"h2\"\n{lines}");
    let servers = servers
        .iter()
        .map(|(name, program)| (*name, program.port.addr()));
    app_at(&lines, servers)
}

#[track_caller]
fn no_session_is_left(lbd: &Lbd) {
    eventually("no session is left", || {
        let status = lbd.status();
        let servers = status.backends[0].servers.iter();
        is(servers.map(|s| s.sessions).sum::<u64>(), 0)
    });
}

#[test]
#[ignore = "needs python3 and grpcio"]
fn all_four_kinds_of_calls_go_through() {
    let server = server(&[]);
    let config = by_http2(NO_CHECK, &[("s", &server)]);
    let lbd = Lbd::start(config.replace(
        "bind = [\"127.0.0.1:0\"]",
        "bind = { address = \"127.0.0.1:0\", h2c = true }",
    ));
    let address = lbd.addr().to_string();
    let output = Process::run(script(&["client", &address])).exits(0);
    assert_eq!(output.stdout, "whole 310\n");
    no_session_is_left(&lbd);
    let errors = lbd.server("app/s").errors;
    assert_eq!((errors.connect, errors.response), (0, 0));
}

#[test]
#[ignore = "needs python3 and grpcio"]
fn all_four_kinds_of_calls_go_through_under_tls() {
    let authority = Authority::new();
    let issued = authority.issue(&["grpc.test"]);
    let setup = Setup::new("");
    let path = |name: &str| setup.folder().join(name).display().to_string();
    for (name, text) in [
        ("ca.crt", authority.root()),
        ("chain.crt", issued.fullchain.clone()),
        ("leaf.key", issued.key.clone()),
    ] {
        fs::write(path(name), text).expect("the folder is ours");
    }
    issued.write(setup.folder(), "own.pem");
    let server = server(&[&path("chain.crt"), &path("leaf.key")]);
    let lines = format!(
        "{NO_CHECK}\ntls = {{ ca = \"{}\", sni = \"grpc.test\" }}",
        path("ca.crt")
    );
    let config = by_http2(&lines, &[("s", &server)]).replace(
        "bind = [\"127.0.0.1:0\"]",
        &format!(
            "bind = {{ address = \"127.0.0.1:0\", tls = {{ certs = \"{}\" }} }}",
            path("own.pem")
        ),
    );
    let ca = path("ca.crt");
    let lbd = setup.config(config).start();
    let address = lbd.addr().to_string();
    let client = script(&["client", &address, &ca, "grpc.test"]);
    assert_eq!(Process::run(client).exits(0).stdout, "whole 310\n");
    no_session_is_left(&lbd);
}

#[test]
#[ignore = "needs python3 and grpcio"]
fn a_server_that_is_restarted_costs_no_call() {
    let (mut one, two) = (server(&[]), server(&[]));
    let check = "health = { type = \"tcp\", interval = \"100ms\" }";
    let config = by_http2(check, &[("one", &one), ("two", &two)]);
    let lbd = Lbd::start(config.replace(
        "bind = [\"127.0.0.1:0\"]",
        "bind = { address = \"127.0.0.1:0\", h2c = true }",
    ));
    let address = lbd.addr().to_string();
    let load = Process::spawn(script(&["load", &address, "5"]));
    eventually("both are called", || {
        let totals = ["app/one", "app/two"].map(|id| lbd.server(id).sessions_total);
        match totals.iter().all(|total| *total > 100) {
            true => Ok(()),
            false => Err(format!("{totals:?}")),
        }
    });
    one.process.signal(Signal::TERM);
    one.process.wait_in_place();
    let output = load.wait().exits(0);
    let (done, failed) = output.stdout.split_once(' ').expect("two numbers");
    assert_eq!(failed, "0\n", "{output:?}");
    assert!(done.parse::<u64>().is_ok_and(|done| done > 500), "{done}");
}
