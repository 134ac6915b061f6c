//! Sessions, requests, bytes: exact, once, also where a client breaks off.

use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use lb_proto::status::Errors;
use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::eventually::LIMIT;
use lb_tests::port::SilentPort;
use lb_tests::wire::{get, request, upload};
use lb_tests::{Lbd, Load, Origin, RawOrigin, Wire, eventually, is};

/// Nothing runs any more, and no server is blamed.
fn assert_all_over(lbd: &Lbd, origins: &[Origin]) {
    eventually("nothing is left of it", || {
        let status = lbd.status();
        let sessions: u64 = status.backends[0].servers.iter().map(|s| s.sessions).sum();
        let frontend = &status.frontends[0];
        is(
            (
                sessions,
                frontend.sessions,
                frontend.connections,
                status.daemon.connections,
            ),
            (0, 0, 0, 0),
        )
    });
    for origin in origins {
        let name = format!("{} has nothing in flight", origin.name());
        eventually(&name, || is(origin.in_flight(), 0));
        let server = lbd.server(&format!("app/{}", origin.name()));
        assert_eq!(server.errors, Errors::default(), "{server:?}");
    }
}

#[test]
fn the_numbers_of_requests_add_up() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let load = Load::on(lbd.addr()).clients(6).start();
    load.go_on_for(1000);
    let tally = load.stop();
    tally.assert_clean();
    let status = lbd.status();
    assert_eq!(status.frontends[0].requests_total, tally.ok);
    for origin in &origins {
        let server = lbd.server(&format!("app/{}", origin.name()));
        assert_eq!(server.sessions_total, tally.of(origin.name()));
        assert_eq!(server.sessions_total, origin.requests());
    }
    assert_all_over(&lbd, &origins);
}

#[test]
fn sessions_are_those_in_flight() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    origin.hold("/held");
    let mut held: Vec<Wire> = (0..5)
        .map(|_| {
            let mut wire = Wire::connect(lbd.addr());
            wire.send(request("GET", "/held"));
            wire
        })
        .collect();
    eventually("five are in flight", || is(origin.in_flight(), 5));
    let status = lbd.status();
    assert_eq!(
        (
            status.frontends[0].sessions,
            status.frontends[0].connections
        ),
        (5, 5)
    );
    assert_eq!(lbd.server("app/a").sessions, 5);
    origin.release();
    for wire in &mut held {
        assert_eq!(wire.response().status, 200);
    }
    // The connections are kept, and are no sessions.
    eventually("no session is left", || {
        let status = lbd.status();
        let frontend = &status.frontends[0];
        is(
            (
                lbd.server("app/a").sessions,
                frontend.sessions,
                frontend.connections,
            ),
            (0, 0, 5),
        )
    });
    let a = lbd.server("app/a");
    assert_eq!((a.sessions_max, a.sessions_total), (5, 5));
}

#[test]
fn bytes_are_counted_exactly_on_the_clients_side() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let (mut sent, mut received) = (0, 0);
    let closing = |target: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").into_bytes()
    };
    let mut twice = upload("POST", "/echo", &[b'x'; 100_000]);
    twice.extend(closing("/"));
    let chunked = b"POST /echo HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\nhello\r\n0\r\n\r\n"
        .to_vec();
    for bytes in [
        closing("/"),
        closing("/bytes?n=1000000"),
        closing("/bytes?n=1000000&chunked"),
        twice,
        chunked,
    ] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(&bytes);
        sent += bytes.len() as u64;
        received += wire.rest().0.len() as u64;
    }
    eventually("the frontend has counted", || {
        let frontend = &lbd.status().frontends[0];
        is((frontend.bytes_in, frontend.bytes_out), (sent, received))
    });
}

#[test]
fn bytes_are_counted_exactly_on_the_servers_side() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    const RESPONSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";
    let origin = RawOrigin::start(move |peer| {
        let head = peer.head().len();
        let body = peer.bytes(1000).len();
        peer.send(RESPONSE);
        let _ = tell
            .lock()
            .expect("one at a time")
            .send((head + body) as u64);
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut received = 0;
    for _ in 0..3 {
        let mut wire = Wire::connect(lbd.addr());
        assert_eq!(
            wire.send(upload("POST", "/", &[b'x'; 1000]))
                .response()
                .text(),
            "hello"
        );
        received += told.recv_timeout(LIMIT).expect("the origin was asked");
    }
    eventually("the server's bytes are counted", || {
        let s = lbd.server("app/s");
        is(
            (s.bytes_in, s.bytes_out),
            (received, 3 * RESPONSE.len() as u64),
        )
    });
}

#[test]
fn answers_of_lbds_own_count_as_requests_and_not_as_sessions() {
    let origin = Origin::start("a");
    let config = app(NO_CHECK, [&origin]);
    let lbd = Lbd::start(format!(
        "{config}\n[[frontend.web.routes]]\npath = \"/no\"\nrespond = {{ status = 403 }}\n"
    ));
    for _ in 0..5 {
        assert_eq!(get(lbd.addr(), "/no").status, 403);
    }
    let status = lbd.status();
    assert_eq!(status.frontends[0].requests_total, 5);
    assert_eq!(lbd.server("app/a").sessions_total, 0);
}

#[test]
fn a_thousand_clients_that_abort_their_upload_leave_nothing() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    for n in 0..1000 {
        let mut wire = Wire::connect(lbd.addr());
        wire.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\nbegun");
        if n % 10 == 0 {
            // Some of them are seen to have reached an origin.
            eventually("the upload is under way", || {
                let uploaded: u64 = origins.iter().map(Origin::uploaded).sum();
                if uploaded > 0 {
                    Ok(())
                } else {
                    Err("no byte has arrived")
                }
            });
        }
        if n % 2 == 0 { wire.abort() } else { drop(wire) }
    }
    assert_all_over(&lbd, &origins);
    assert_eq!(get(lbd.addr(), "/").status, 200);
}

#[test]
fn a_thousand_clients_that_abort_their_download_leave_nothing() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    for n in 0..1000 {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(request("GET", "/bytes?n=10000000"));
        match n % 3 {
            // Before the head, in the body, and by a plain close in the body.
            0 => wire.abort(),
            1 => {
                wire.bytes(1000).expect("it begins");
                wire.abort();
            }
            _ => drop(wire.bytes(100_000).expect("it begins")),
        }
    }
    assert_all_over(&lbd, &origins);
    let total: u64 = ["app/a", "app/b"]
        .iter()
        .map(|s| lbd.server(s).sessions_total)
        .sum();
    assert!(total > 600, "only {total} sessions began");
    assert_eq!(get(lbd.addr(), "/").status, 200);
}

#[test]
fn clients_that_leave_before_the_answer_leave_nothing() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    origins.iter().for_each(|origin| origin.hold("/held"));
    let waiting: Vec<Wire> = (0..200)
        .map(|_| {
            let mut wire = Wire::connect(lbd.addr());
            wire.send(request("GET", "/held"));
            wire
        })
        .collect();
    eventually("all are in flight", || {
        is(origins.iter().map(Origin::in_flight).sum::<u64>(), 200)
    });
    waiting.into_iter().for_each(Wire::abort);
    assert_all_over(&lbd, &origins);
}

#[test]
fn a_client_that_leaves_its_upload_while_we_connect_is_let_go() {
    let port = SilentPort::new();
    let lines = format!("{NO_CHECK}\ntimeouts = {{ connect = \"1h\" }}");
    let lbd = Lbd::start(app_at(&lines, [("s", port.addr())]));
    for begun in ["", "some"] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(format!(
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\n{begun}"
        ));
        eventually("the session has begun", || {
            is(lbd.server("app/s").sessions, 1)
        });
        drop(wire);
        eventually("the session has ended", || {
            is(lbd.server("app/s").sessions, 0)
        });
    }
    assert_eq!(lbd.server("app/s").errors.connect, 0);
}

#[test]
fn a_client_that_connects_and_leaves_is_no_request() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    for n in 0..200 {
        match Wire::try_connect(lbd.addr()) {
            Ok(wire) if n % 2 == 0 => wire.abort(),
            Ok(_) => {}
            Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert_all_over(&lbd, &[]);
    assert_eq!(lbd.status().frontends[0].requests_total, 0);
}
