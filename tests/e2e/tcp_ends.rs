//! How sessions in mode tcp end: who broke off shows on the other side and in the access log, and a
//! server that cannot be reached is passed over.

use std::path::Path;

use lb_tests::access_log::{lines, wait_for_lines};
use lb_tests::config::silence;
use lb_tests::daemon::Setup;
use lb_tests::port::{Port, SilentPort};
use lb_tests::wire::End;
use lb_tests::{Lbd, RawOrigin, Wire, eventually, is};
use serde_json::Value;

use crate::tcp::{echo, no_session_is_left, one, tcp};

#[test]
fn a_reset_of_the_server_is_a_reset_for_the_client() {
    let origin = RawOrigin::start(|peer| {
        peer.bytes(5);
        peer.reset();
    });
    let lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    wire.send("hello");
    assert_eq!(wire.rest(), (Vec::new(), End::Reset));
    no_session_is_left(&lbd);
}

#[test]
fn a_reset_of_the_client_is_a_reset_for_the_server() {
    let (said, heard) = std::sync::mpsc::channel();
    let origin = RawOrigin::start(move |peer| {
        peer.send("hello");
        let _ = said.send(peer.closed());
    });
    let lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(wire.bytes(5), Ok(b"hello".to_vec()));
    wire.abort();
    assert_eq!(heard.recv(), Ok(End::Reset));
    no_session_is_left(&lbd);
}

#[test]
fn a_server_that_refuses_is_passed_over_and_counted() {
    let refusing = Port::new();
    let origin = RawOrigin::start(echo);
    let servers = [("a", refusing.addr()), ("b", origin.addr())];
    let lbd = Lbd::start(tcp("", &servers));
    for _ in 0..4 {
        let mut wire = Wire::connect(lbd.addr());
        wire.send("x");
        assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    }
    assert!(lbd.server("app/a").errors.connect >= 1);
    no_session_is_left(&lbd);
}

#[test]
fn without_a_server_the_connection_is_closed() {
    let refusing = Port::new();
    let lbd = Lbd::start(tcp("retries = 0", &[("a", refusing.addr())]));
    let (came, _) = Wire::connect(lbd.addr()).rest();
    assert!(came.is_empty());
    lbd.lbctl(["maint", "app/a"]).exits(0);
    let (came, _) = Wire::connect(lbd.addr()).rest();
    assert!(came.is_empty());
    no_session_is_left(&lbd);
    assert_eq!(lbd.server("app/a").errors.connect, 1);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let silent = SilentPort::new();
    let origin = RawOrigin::start(echo);
    let servers = [("a", silent.addr()), ("b", origin.addr())];
    let lbd = Lbd::start(tcp("timeouts = { connect = \"200ms\" }", &servers));
    for _ in 0..2 {
        let mut wire = Wire::connect(lbd.addr());
        wire.send("x");
        assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    }
    assert!(lbd.server("app/a").errors.connect >= 1);
}

#[test]
fn a_client_that_leaves_during_the_connect_ends_its_session() {
    let silent = SilentPort::new();
    let lbd = Lbd::start(tcp(
        "timeouts = { connect = \"10m\" }",
        &[("a", silent.addr())],
    ));
    let [leaves, mut ended] = [(); 2].map(|()| Wire::connect(lbd.addr()));
    eventually("both are counted", || is(lbd.server("app/a").sessions, 2));
    // It may wait for a server that speaks first.
    ended.finish();
    leaves.abort();
    eventually("only the one that waits is left", || {
        is(lbd.server("app/a").sessions, 1)
    });
    ended.abort();
    no_session_is_left(&lbd);
}

#[test]
fn silence_ends_a_session_and_the_backend_says_how_long() {
    let origin = RawOrigin::start(echo);
    let lbd = Lbd::start(
        tcp(
            &format!("timeouts = {{ {} }}", silence("tunnel")),
            &[("a", origin.addr())],
        )
        .replace(
            "[backend",
            "[frontend.web.timeouts]\ntunnel = \"10m\"\n[backend",
        ),
    );
    let mut wire = Wire::connect(lbd.addr());
    wire.send("x");
    assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    assert_eq!(wire.rest(), (Vec::new(), End::Reset));
    no_session_is_left(&lbd);
}

/// What an end leaves in the access log: the server and the flags.
fn logged(path: &Path) -> Vec<(String, String)> {
    let mut ends: Vec<_> = lines(path)
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("it is JSON");
            let text = |name: &str| line[name].as_str().expect("it is there").to_owned();
            let server = format!("{}/{}", text("backend_name"), text("server_name"));
            (server, text("termination_state"))
        })
        .collect();
    ends.sort();
    ends
}

#[test]
fn each_end_has_its_line_and_flags() {
    let origin = RawOrigin::start(|peer| match peer.bytes(5).as_slice() {
        b"echo!" => {
            peer.send("echo!");
            peer.closed();
        }
        b"reset" => peer.reset(),
        _ => {}
    });
    let refusing = Port::new();
    let timeouts = format!("timeouts = {{ {} }}", silence("tunnel"));
    let config = tcp(&timeouts, &[("a", origin.addr())]);
    let gone = tcp("retries = 0", &[("g", refusing.addr())])
        .replace("frontend.web", "frontend.gone")
        .replace("\"app\"", "\"gone\"")
        .replace("backend.app", "backend.gone");
    let denied = "[frontend.denied]\nmode = \"tcp\"\nbind = \"127.0.0.1:0\"\n\
                  deny = [\"127.0.0.1\"]\ndefault_backend = \"app\"\n";
    let setup = Setup::new(format!("{config}{gone}{denied}"));
    let path = setup.folder().join("access.log");
    let log = format!("access_log = {{ path = {path:?}, format = \"json\" }}");
    let lbd = setup.global(&log).start();
    let echoed = || {
        let mut wire = Wire::connect(lbd.addr_of("web"));
        wire.send("echo!");
        assert_eq!(wire.bytes(5), Ok(b"echo!".to_vec()));
        wire
    };
    let mut normal = echoed();
    normal.finish();
    assert_eq!(normal.rest().1, End::Eof);
    echoed().abort();
    assert_eq!(echoed().rest().1, End::Reset, "it was silent");
    let mut reset = Wire::connect(lbd.addr_of("web"));
    reset.send("reset");
    assert_eq!(reset.rest().1, End::Reset);
    Wire::connect(lbd.addr_of("gone")).rest();
    Wire::connect(lbd.addr_of("denied")).rest();
    wait_for_lines(&path, 6);
    let ends = [
        ("app/a", "--"),
        ("app/a", "CD"),
        ("app/a", "SD"),
        ("app/a", "sD"),
        ("denied/<NOSRV>", "PR"),
        ("gone/g", "SC"),
    ];
    let ends = ends.map(|(server, flags)| (server.to_owned(), flags.to_owned()));
    assert_eq!(logged(&path), ends);
    no_session_is_left(&lbd);
}
