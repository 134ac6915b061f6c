//! Mode tcp: what either side sends arrives, and every session is counted until it is over.

use std::net::SocketAddr;
use std::thread;

use lb_proto::state::State;
use lb_tests::daemon::Setup;
use lb_tests::pattern::pattern;
use lb_tests::raw_origin::Peer;
use lb_tests::wire::{self, End, request};
use lb_tests::{Lbd, Origin, RawOrigin, Wire, eventually, is};
use rustix::process::Signal;

/// A frontend and a backend in mode tcp with these servers; `lines` are the backend's.
pub(crate) fn tcp(lines: &str, servers: &[(&str, SocketAddr)]) -> String {
    let servers: String = servers
        .iter()
        .map(|(name, address)| format!("  {{ name = \"{name}\", address = \"{address}\" }},\n"))
        .collect();
    format!(
        "[frontend.web]\nmode = \"tcp\"\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\n\
         [backend.app]\nmode = \"tcp\"\nhealth = false\n{lines}\nservers = [\n{servers}]\n"
    )
}

pub(crate) fn one(origin: &RawOrigin) -> String {
    tcp("", &[("a", origin.addr())])
}

/// Sends back what comes, until the end.
pub(crate) fn echo(peer: &mut Peer) {
    loop {
        let some = peer.bytes(1);
        if some.is_empty() {
            break;
        }
        peer.send(some);
    }
    peer.finish();
}

#[track_caller]
pub(crate) fn no_session_is_left(lbd: &Lbd) {
    eventually("every count is zero", || {
        let status = lbd.status();
        let frontend = &status.frontends[0];
        let servers = status.backends[0].servers.iter().map(|s| s.sessions);
        is(
            (frontend.connections, frontend.sessions, servers.sum()),
            (0, 0, 0),
        )
    });
}

#[test]
fn bytes_go_both_ways_and_show_in_status_while_they_move() {
    let origin = RawOrigin::start(echo);
    let lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    for byte in b"in pieces of one byte" {
        wire.send([*byte]);
        assert_eq!(wire.bytes(1), Ok(vec![*byte]));
    }
    assert_eq!(lbd.status().frontends[0].mode, "tcp");
    // The last byte is counted when it has been written, and may be here before that.
    eventually("all bytes are counted", || {
        let status = lbd.status();
        let (frontend, server) = (&status.frontends[0], &status.backends[0].servers[0]);
        is(
            [
                (frontend.sessions, frontend.requests_total),
                (frontend.bytes_in, frontend.bytes_out),
                (server.sessions, server.sessions_total),
                (server.bytes_in, server.bytes_out),
            ],
            [(1, 1), (21, 21), (1, 1), (21, 21)],
        )
    });
    wire.finish();
    assert_eq!(wire.rest(), (Vec::new(), End::Eof));
    no_session_is_left(&lbd);
}

#[test]
fn the_client_may_end_first_and_still_get_its_answer() {
    let origin = RawOrigin::start(|peer| {
        assert_eq!(peer.closed(), End::Eof);
        peer.send("the answer");
    });
    let lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    wire.send("the question").finish();
    assert_eq!(wire.rest(), (b"the answer".to_vec(), End::Eof));
    no_session_is_left(&lbd);
}

#[test]
fn the_server_may_end_first_and_still_get_the_rest() {
    let origin = RawOrigin::start(|peer| {
        peer.send("goodbye");
        peer.finish();
        assert_eq!(peer.until(b"last"), b"the last");
        peer.reset();
    });
    let lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(wire.bytes(7), Ok(b"goodbye".to_vec()));
    wire.send("the last");
    no_session_is_left(&lbd);
    drop(wire);
}

#[test]
fn bulk_arrives_whole_in_both_directions_at_once() {
    const UP: usize = 20_000_003;
    const DOWN: usize = 30_000_001;
    let origin = RawOrigin::start(|peer| {
        let down: Vec<u8> = pattern(DOWN);
        let mut sender = peer.another();
        let sending = thread::spawn(move || {
            sender.send(&down);
            sender.finish();
        });
        let up = peer.bytes(UP);
        assert!(up == pattern(UP), "the upload is not whole");
        sending.join().expect("the sender sends");
    });
    let lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    let mut sender = wire.another();
    let sending = thread::spawn(move || {
        let up: Vec<u8> = pattern(UP);
        sender.send(&up).finish();
    });
    let (down, end) = wire.rest();
    sending.join().expect("the client sends");
    assert_eq!((down.len(), end), (DOWN, End::Eof));
    assert!(down == pattern(DOWN));
    no_session_is_left(&lbd);
    let server = lbd.server("app/a");
    assert_eq!(
        (server.bytes_in, server.bytes_out),
        (UP as u64, DOWN as u64)
    );
}

#[test]
fn a_client_that_only_listens_gets_what_the_server_says() {
    let origin = RawOrigin::start(|peer| {
        peer.send("it is late");
        peer.closed();
    });
    let lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    wire.finish();
    assert_eq!(wire.rest(), (b"it is late".to_vec(), End::Eof));
}

#[test]
fn a_drain_waits_for_the_connection() {
    let [a, b] = [(); 2].map(|()| RawOrigin::start(echo));
    let lbd = Lbd::start(tcp("", &[("a", a.addr()), ("b", b.addr())]));
    let mut wires = [(); 2].map(|()| Wire::connect(lbd.addr()));
    for wire in &mut wires {
        wire.send("x");
        assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    }
    let mut drain = lbd.lbctl_in_background(["drain", "app/a", "--timeout", "5m"]);
    eventually("it drains", || {
        let a = lbd.server("app/a");
        is((a.state, a.sessions), (State::Drain, 1))
    });
    for _ in 0..3 {
        let mut wire = Wire::connect(lbd.addr());
        wire.send("x");
        assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    }
    assert_eq!(lbd.server("app/a").sessions_total, 1);
    assert!(drain.is_running(), "the command ended before the session");
    for wire in &mut wires {
        wire.send("y");
        assert_eq!(wire.bytes(1), Ok(b"y".to_vec()));
    }
    drop(wires);
    drain.wait().exits(0);
}

#[test]
fn a_stop_lets_sessions_finish() {
    let origin = RawOrigin::start(echo);
    let mut lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    wire.send("x");
    assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    let addr = lbd.addr();
    lbd.signal(Signal::TERM);
    eventually("nobody accepts any more", || {
        match Wire::try_connect(addr) {
            Ok(_) => Err("somebody does"),
            Err(_) => Ok(()),
        }
    });
    wire.send("y");
    assert_eq!(wire.bytes(1), Ok(b"y".to_vec()));
    wire.finish();
    assert_eq!(wire.rest(), (Vec::new(), End::Eof));
    eventually("lbd has ended", || is(lbd.is_running(), false));
}

#[test]
fn a_stop_cuts_sessions_at_its_timeout() {
    let origin = RawOrigin::start(echo);
    let setup = Setup::new(one(&origin)).global("shutdown_timeout = \"300ms\"");
    let mut lbd = setup.start();
    let mut wire = Wire::connect(lbd.addr());
    wire.send("x");
    assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    lbd.stop();
    assert_eq!(wire.rest().0, b"");
}

#[test]
fn clients_are_admitted_by_address() {
    let origin = RawOrigin::start(echo);
    let config = one(&origin).replace(
        "default_backend",
        "deny = [\"127.0.0.0/8\"]\ndefault_backend",
    );
    let lbd = Lbd::start(config);
    assert_eq!(Wire::connect(lbd.addr()).rest().0, b"");
    assert_eq!(lbd.server("app/a").sessions_total, 0);
    no_session_is_left(&lbd);
}

#[test]
fn source_keeps_a_client_on_its_server() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let servers: Vec<_> = origins.iter().map(|o| (o.name(), o.addr())).collect();
    let lbd = Lbd::start(tcp("balance = \"source\"", &servers));
    let mut names: Vec<_> = (0..6)
        .map(|_| wire::get(lbd.addr(), "/").origin().map(str::to_owned))
        .collect();
    names.dedup();
    assert_eq!(names.len(), 1);
}

#[test]
fn a_reload_to_another_mode_leaves_what_runs() {
    let origins = Origin::start_all(["a"]);
    let config = tcp("", &[("a", origins[0].addr())]);
    let mut lbd = Lbd::start(config.clone());
    let mut tunnel = Wire::connect(lbd.addr());
    tunnel.send(request("GET", "/"));
    assert_eq!(tunnel.response().status, 200);
    lbd.rewrite(config.replace("mode = \"tcp\"\n", ""));
    lbd.reload().exits(0);
    let mut http = Wire::connect(lbd.addr());
    http.send(request("GET", "/"));
    assert_eq!(http.response().status, 200);
    tunnel.send(request("GET", "/"));
    assert_eq!(tunnel.response().status, 200);
    lbd.rewrite(config);
    lbd.reload().exits(0);
    // Its frontend carries no requests any more.
    http.send(request("GET", "/"));
    assert!(http.try_response("GET").is_err());
    tunnel.send(request("GET", "/"));
    assert_eq!(tunnel.response().status, 200);
    drop((tunnel, http));
    no_session_is_left(&lbd);
}
