//! `lbd demo`: nothing to install or write first.

use std::path::{Path, PathBuf};

use lb_proto::client::Client;
use lb_proto::request::Status;
use lb_proto::state::State;
use lb_tests::wire::{get, request};
use lb_tests::{Process, Wire, eventually, is, lbctl, programs};
use rustix::process::Signal;

fn start() -> (Process, PathBuf) {
    let mut command = std::process::Command::new(programs::lbd());
    command.args(["demo", "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let demo = Process::spawn(command);
    let socket = eventually("the demo has said all of it", || {
        let said = demo.stdout.so_far();
        let mut lines = said.trim_end().lines();
        let first = lines
            .next()
            .and_then(|line| line.strip_prefix("LBCTL_SOCKET="))
            .filter(|_| lines.next_back() == Some("  lbctl reload"));
        first
            .map(PathBuf::from)
            .ok_or_else(|| format!("{said:?}, {}", demo.stderr.so_far()))
    });
    eventually("the demo answers", || status(&socket).map(|_| ()));
    (demo, socket)
}

fn status(socket: &Path) -> Result<lb_proto::status::Status, lb_proto::error::ErrorReply> {
    Client::connect(socket)?.call(&Status::default())
}

fn state_of(socket: &Path, name: &str) -> Result<State, String> {
    let status = status(socket).map_err(|e| e.to_string())?;
    let mut servers = status.backends.iter().flat_map(|b| &b.servers);
    let server = servers.find(|s| s.name.as_str() == name);
    server.map(|s| s.state).ok_or(format!("no server {name}"))
}

#[test]
fn it_balances_drains_fails_over_and_stops() {
    let (demo, socket) = start();
    let now = status(&socket).expect("it answers");
    assert_eq!(now.backends.len(), 1);
    assert_eq!(now.backends[0].name.as_str(), "app");
    let servers = &now.backends[0].servers;
    assert_eq!(servers.len(), 3);
    let addr = now.frontends[0].binds[0].parse().expect("an address");

    let answers: std::collections::BTreeSet<String> = (0..3)
        .map(|_| {
            let response = get(addr, "/");
            assert_eq!(response.status, 200);
            response.text()
        })
        .collect();
    assert_eq!(answers.len(), 3, "three requests, three names: {answers:?}");
    assert_eq!(get(addr, "/slow?ms=20").status, 200);
    let admin = now.daemon.admin.expect("it has [admin]").bind;
    assert!(demo.stdout.so_far().contains(&format!("http://{admin}\n")));
    let page = crate::admin_http::get(admin.parse().expect("an address"), "/");
    assert!(page.text().contains("web03"), "{}", page.text());

    let first = format!("app/{}", servers[0].name);
    Process::run(lbctl::command(&socket, ["drain", &first])).exits(0);
    assert_eq!(
        state_of(&socket, servers[0].name.as_str()),
        Ok(State::Drain)
    );
    Process::run(lbctl::command(&socket, ["ready", &first])).exits(0);

    let name = servers[1].name.as_str();
    let origin = servers[1].address.parse().expect("an address");
    Wire::connect(origin)
        .send(request("POST", "/fail?for=15"))
        .try_response("POST")
        .ok();
    eventually("the failed one is down", || {
        is(state_of(&socket, name), Ok(State::Down))
    });
    for _ in 0..6 {
        assert_eq!(get(addr, "/").status, 200);
    }
    eventually("it comes back by itself", || {
        is(state_of(&socket, name), Ok(State::Up))
    });

    demo.signal(Signal::INT);
    demo.wait().exits(0);
    assert!(!socket.exists(), "the demo leaves its folder behind");
}

#[test]
fn what_it_says_to_try_names_commands_that_exist() {
    let (demo, socket) = start();
    let said = demo.stdout.so_far();
    assert!(said.contains("lbctl status"), "{said}");
    assert!(said.contains("lbctl drain app/"), "{said}");
    Process::run(lbctl::command(&socket, ["status"]))
        .exits(0)
        .says("app");
}
