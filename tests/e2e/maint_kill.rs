//! `maint --kill`: what runs on the server is closed at once, whatever it is at, and nothing else.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use hyper::{Method, StatusCode};
use lb_proto::error::ErrorCode;
use lb_proto::request::SetState;
use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::wire::{End, request};
use lb_tests::{Http2, Lbd, Load, Origin, RawOrigin, Wire, eventually, is, wire};

use crate::http2::h2c;
use crate::http2_connect::grant;
use crate::logged::both;
use crate::tcp::{echo, one};

/// Takes `app/a` out, and waits as the command does.
#[track_caller]
fn kill(lbd: &Lbd) {
    let said = lbd.lbctl(["maint", "app/a", "--kill"]).exits(0);
    said.says("app/a is in maint: 1 session closed");
    let a = lbd.server("app/a");
    assert_eq!((a.state, a.sessions), (State::Maint, 0));
    assert_eq!(
        a.errors.connect + a.errors.response,
        0,
        "it is no fault of the server's"
    );
}

#[track_caller]
fn one_runs(lbd: &Lbd) {
    eventually("a session runs", || is(lbd.server("app/a").sessions, 1));
}

/// Answers with a head and half of a body, then waits for the end.
fn half() -> RawOrigin {
    RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
        peer.closed();
    })
}

#[test]
fn a_request_that_waits_for_its_answer_gets_503_and_its_neighbours_get_theirs() {
    let origins = Origin::start_all(["a", "b"]);
    both(&app(NO_CHECK, &origins), |log| {
        origins.iter().for_each(|origin| origin.hold("/held"));
        let mut held: Vec<Wire> = origins
            .iter()
            .map(|_| {
                let mut wire = log.wire();
                wire.send(request("GET", "/held"));
                wire
            })
            .collect();
        for origin in &origins {
            eventually("one each", || is(origin.in_flight(), 1));
        }
        kill(&log.lbd);
        log.says("503 KH-- 000-0 app/a 0");
        assert_eq!(log.lbd.server("app/b").sessions, 1);
        origins.iter().for_each(Origin::release);
        let answers = held.iter_mut().map(|wire| wire.response().status);
        let mut answers: Vec<_> = answers.collect();
        answers.sort_unstable();
        assert_eq!(answers, [200, 503]);
        // The clients' connections go on.
        for wire in &mut held {
            let answer = wire.send(request("GET", "/")).response();
            assert_eq!(answer.origin(), Some("b"));
        }
    });
}

#[test]
fn a_body_in_its_midst_is_cut_so_that_it_shows() {
    let origin = half();
    both(&app_at(NO_CHECK, [("a", origin.addr())]), |log| {
        let mut wire = log.wire();
        wire.send(request("GET", "/"));
        wire.head().expect("the head has come");
        assert_eq!(wire.bytes(4).expect("half of it"), b"half");
        kill(&log.lbd);
        let (rest, end) = wire.rest();
        assert!(rest.is_empty() && end != End::Silence, "{rest:?}, {end:?}");
        log.says("200 KD-- 00000 app/a 0");
    });
}

#[test]
fn an_upload_in_its_midst_is_cut() {
    let origin = RawOrigin::start(|peer| {
        peer.closed();
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("a", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\nhalf");
    one_runs(&lbd);
    kill(&lbd);
    assert_eq!(wire.response().status, 503);
}

#[test]
fn a_client_that_takes_nothing_does_not_hold_its_session() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let mut deaf = TcpStream::connect(lbd.addr()).expect("it listens");
    deaf.set_write_timeout(Some(Duration::from_secs(60)))
        .expect("a socket takes it");
    deaf.write_all(request("GET", "/bytes?n=50000000").as_bytes())
        .expect("it is sent");
    one_runs(&lbd);
    eventually("nothing more fits in between", || {
        let before = lbd.server("app/a").bytes_out;
        std::thread::yield_now();
        let moved = lbd.server("app/a").bytes_out != before || before == 0;
        (!moved).then_some(()).ok_or(before)
    });
    kill(&lbd);
}

#[test]
fn a_tunnel_of_mode_tcp_is_reset_on_both_sides() {
    let (said, heard) = std::sync::mpsc::channel();
    let origin = RawOrigin::start(move |peer| {
        peer.send("hello");
        let _ = said.send(peer.closed());
    });
    both(&one(&origin), |log| {
        let mut wire = log.wire();
        assert_eq!(wire.bytes(5), Ok(b"hello".to_vec()));
        kill(&log.lbd);
        assert_eq!(wire.rest(), (Vec::new(), End::Reset));
        assert_eq!(heard.recv(), Ok(End::Reset));
    });
}

#[test]
fn a_connection_of_mode_tcp_that_is_idle_is_closed_too() {
    let origin = RawOrigin::start(echo);
    let lbd = Lbd::start(one(&origin));
    let mut wire = Wire::connect(lbd.addr());
    wire.send("x");
    assert_eq!(wire.bytes(1), Ok(b"x".to_vec()));
    kill(&lbd);
    assert_eq!(wire.rest().1, End::Reset);
}

#[test]
fn a_websocket_is_cut() {
    const GRANTED: &str =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send(GRANTED);
        peer.closed();
    });
    both(&app_at(NO_CHECK, [("a", origin.addr())]), |log| {
        let mut wire = log.wire();
        wire.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
        assert_eq!(wire.head().expect("a head").status, 101);
        kill(&log.lbd);
        assert_eq!(wire.rest().1, End::Reset);
        log.says("101 KD-- 00000 app/a 0");
    });
}

#[test]
fn a_websocket_over_http2_is_cut() {
    let origin = RawOrigin::start(|peer| {
        grant(peer);
        peer.closed();
    });
    both(&h2c(&app_at(NO_CHECK, [("a", origin.addr())])), |log| {
        let mut client = Http2::connect(log.addr());
        let mut stream = client.connect_to("websocket", "/chat");
        stream.head().expect("a head");
        assert_eq!(stream.bytes(5), b"hello");
        kill(&log.lbd);
        assert!(stream.piece().is_none_or(|piece| piece.is_err()));
        log.says("200 KD-- 00000 app/a 0");
    });
}

#[test]
fn of_the_streams_of_a_connection_only_those_on_the_server_end() {
    let (half, other) = (half(), Origin::start("b"));
    let servers = [("a", half.addr()), ("b", other.addr())];
    both(&h2c(&app_at(NO_CHECK, servers)), |log| {
        other.hold("/");
        let mut client = Http2::connect(log.addr());
        let mut streams = [client.ask(Method::GET, "/"), client.ask(Method::GET, "/")];
        one_runs(&log.lbd);
        eventually("b has the other", || is(other.in_flight(), 1));
        let (status, headers) = streams[0].head().expect("a answers first");
        kill(&log.lbd);
        let cut = streams[0].rest(status, headers);
        assert!(cut.cut.is_some(), "{cut:?}");
        log.says("200 KD-- 00000 app/a 0");
        other.release();
        let [_, mut whole] = streams;
        let (status, headers) = whole.head().expect("b answers");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(whole.rest(status, headers).cut, None);
        assert_eq!(client.get("/").text(), "b");
    });
}

#[test]
fn whoever_waits_for_room_on_it_goes_elsewhere_or_is_told() {
    let origins = Origin::start_all(["a"]);
    let lines = format!("{NO_CHECK}\ntimeouts = {{ queue = \"5s\" }}");
    let config =
        app(&lines, &origins).replace("name = \"a\",", "name = \"a\", max_connections = 1,");
    let lbd = Lbd::start(config);
    origins[0].hold("/held");
    let mut wires = [Wire::connect(lbd.addr()), Wire::connect(lbd.addr())];
    for wire in &mut wires {
        wire.send(request("GET", "/held"));
    }
    eventually("one runs and one waits", || {
        let backend = &lbd.status().backends[0];
        is((backend.servers[0].sessions, backend.queued), (1, 1))
    });
    kill(&lbd);
    for wire in &mut wires {
        assert_eq!(wire.response().status, 503);
    }
    origins[0].release();
    lbd.lbctl(["ready", "app/a"]).exits(0);
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
}

#[test]
fn a_drain_that_waits_sees_the_end() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    origins[0].hold("/held");
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/held"));
    one_runs(&lbd);
    let drain = lbd.lbctl_in_background(["drain", "app/a"]);
    lbd.wait_for_state("app/a", State::Drain);
    kill(&lbd);
    drain.wait().exits(0);
    origins[0].release();
}

#[test]
fn killing_goes_with_maint_alone() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    for admin in [Admin::Ready, Admin::Drain] {
        let error = lbd.client().call(&SetState {
            server: "app/a".parse().expect("a name"),
            admin,
            was: None,
            move_sticky: None,
            reason: None,
            for_s: None,
            kill: true,
        });
        let error = error.expect_err("it makes no sense");
        assert_eq!(error.code, ErrorCode::BadRequest);
    }
    lbd.lbctl(["maint", "app/a", "--kill"])
        .exits(0)
        .says("app/a is in maint: no sessions were running");
}

#[test]
fn sessions_that_are_closed_under_load_leave_no_count() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let load = Load::on(lbd.addr()).target("/bytes?n=200000").start();
    for _ in 0..20 {
        load.go_on_for(20);
        lbd.lbctl(["maint", "app/a", "--kill"]).exits(0);
        assert_eq!(lbd.server("app/a").sessions, 0);
        lbd.lbctl(["ready", "app/a"]).exits(0);
    }
    load.stop();
    for server in ["app/a", "app/b"] {
        eventually("no session is left", || is(lbd.server(server).sessions, 0));
    }
    eventually("nor at the frontend", || {
        is(lbd.status().frontends[0].sessions, 0)
    });
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
}
