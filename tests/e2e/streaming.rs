//! Bodies stream: bytes go on before the end is there, and nothing is heaped up in between.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::eventually::LIMIT;
use lb_tests::http2::{
    END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, fields, frame,
};
use lb_tests::pattern::pattern;
use lb_tests::wire::{End, request};
use lb_tests::{Lbd, Origin, RawOrigin, Wire, eventually, is};
use socket2::{Domain, Socket, Type};

use crate::http2::h2c;

const LARGE: usize = 50 << 20;

/// The most that lbd may grow by when a body of [`LARGE`] passes, in KiB: the kernel's buffers are
/// not its own, and its own are a few of tens of KiB.
const GROWTH: u64 = 16 << 10;

/// A gate between a test and a script: the script passes when the test opens it.
fn gate() -> (Sender<()>, Arc<Mutex<Receiver<()>>>) {
    let (open, opened) = channel();
    (open, Arc::new(Mutex::new(opened)))
}

fn pass(gate: &Mutex<Receiver<()>>) {
    let _ = gate.lock().expect("one at a time").recv_timeout(LIMIT);
}

fn peak_kib(lbd: &Lbd) -> u64 {
    let path = format!("/proc/{}/status", lbd.pid());
    let status = std::fs::read_to_string(path).expect("lbd runs");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
        .expect("the kernel says it so")
}

#[test]
fn a_response_passes_piece_by_piece() {
    for framing in ["transfer-encoding: chunked", "content-length: 12"] {
        let chunked = framing.starts_with("transfer");
        let (open, gate) = gate();
        let origin = RawOrigin::start(move |peer| {
            peer.head();
            peer.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n"));
            for piece in ["one!", "two!", "end!"] {
                peer.send(if chunked {
                    format!("4\r\n{piece}\r\n")
                } else {
                    piece.into()
                });
                pass(&gate);
            }
            peer.send(if chunked { "0\r\n\r\n" } else { "" });
        });
        let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
        let mut wire = Wire::connect(lbd.addr());
        wire.send(request("GET", "/"));
        assert_eq!(wire.head().expect("the head passes first").status, 200);
        for piece in ["one!", "two!", "end!"] {
            let got = if chunked { wire.chunk() } else { wire.bytes(4) };
            assert_eq!(got.as_deref(), Ok(piece.as_bytes()), "{framing}");
            if chunked || piece != "end!" {
                assert_eq!(lbd.server("app/s").sessions, 1, "{framing}, after {piece}");
            }
            open.send(()).expect("the origin waits");
        }
        if chunked {
            assert_eq!(wire.chunk().as_deref(), Ok(&b""[..]));
        }
        eventually("the session is over", || {
            is(lbd.server("app/s").sessions, 0)
        });
    }
}

#[test]
fn a_request_passes_piece_by_piece() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    for framing in ["transfer-encoding: chunked", "content-length: 12"] {
        let chunked = framing.starts_with("transfer");
        let before = origin.uploaded();
        let mut wire = Wire::connect(lbd.addr());
        wire.send(format!("POST / HTTP/1.1\r\nhost: t\r\n{framing}\r\n\r\n"));
        for (n, piece) in ["one!", "two!", "end!"].iter().enumerate() {
            wire.send(if chunked {
                format!("4\r\n{piece}\r\n")
            } else {
                (*piece).into()
            });
            let wanted = before + 4 * (n as u64 + 1);
            eventually("the piece has arrived", || is(origin.uploaded(), wanted));
        }
        if chunked {
            assert_eq!(origin.in_flight(), 1, "the end was invented");
            wire.send("0\r\n\r\n");
        }
        assert_eq!(wire.response().status, 200);
    }
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let (open, gate) = gate();
    let origin = RawOrigin::start(move |peer| {
        peer.head();
        peer.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge");
        pass(&gate);
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\nbegun");
    let response = wire.response();
    assert_eq!((response.status, response.text()), (413, "large".into()));
    open.send(()).expect("the origin waits");
    drop(wire);
    eventually("the session is over", || {
        is(lbd.server("app/s").sessions, 0)
    });
}

#[test]
fn both_directions_at_once_pass() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..10 {
            let piece = peer.bytes(4);
            peer.send(format!("4\r\n{}\r\n", String::from_utf8_lossy(&piece)));
        }
        peer.send("0\r\n\r\n");
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 40\r\n\r\n");
    assert_eq!(wire.head().expect("it answers at once").status, 200);
    for n in 0..10 {
        let piece = format!("n{n:03}");
        wire.send(&piece);
        assert_eq!(wire.chunk().as_deref(), Ok(piece.as_bytes()));
    }
    assert_eq!(wire.chunk().as_deref(), Ok(&b""[..]));
}

#[test]
fn a_large_download_is_not_heaped_up_for_a_slow_reader() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(
        wire.send(request("GET", "/bytes?n=100000"))
            .response()
            .status,
        200
    );
    let before = peak_kib(&lbd);
    wire.send(request("GET", &format!("/bytes?n={LARGE}")));
    // The client does not read until what lbd has taken from the origin stands still.
    let (mut last, mut looks) = (0, 0);
    eventually("lbd takes no more", || {
        let taken = lbd.server("app/a").bytes_out;
        looks = if taken == last { looks + 1 } else { 0 };
        last = taken;
        if looks > 50 && taken > 200_000 {
            Ok(())
        } else {
            Err(format!("{taken} bytes"))
        }
    });
    assert!(last < LARGE as u64, "all of it is somewhere");
    let response = wire.response();
    assert_eq!((response.body.len(), response.cut), (LARGE, None));
    assert!(response.body == pattern(LARGE));
    let grown = peak_kib(&lbd) - before;
    assert!(grown < GROWTH, "{grown} KiB for one download");
}

#[test]
fn a_large_upload_is_not_heaped_up_for_a_slow_server() {
    let (open, gate) = gate();
    let (count, counted) = channel();
    let count = Mutex::new(count);
    let origin = RawOrigin::start(move |peer| {
        peer.head();
        pass(&gate);
        let body = peer.bytes(LARGE);
        let whole = body == pattern(LARGE);
        let _ = count.lock().expect("one at a time").send(whole);
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let before = peak_kib(&lbd);
    let addr = lbd.addr();
    let client = std::thread::spawn(move || {
        let mut wire = Wire::connect(addr);
        wire.send(format!(
            "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: {LARGE}\r\n\r\n"
        ));
        wire.try_send(pattern(LARGE)).expect("the upload is taken");
        wire.response().status
    });
    eventually("the upload is on its way", || {
        let taken = lbd.server("app/s").bytes_in;
        if taken > 100_000 {
            Ok(())
        } else {
            Err(format!("{taken} bytes"))
        }
    });
    open.send(()).expect("the origin waits");
    assert_eq!(client.join().expect("the client ends"), 200);
    let whole = counted.recv_timeout(LIMIT).expect("the origin ends");
    assert!(whole, "the body was changed");
    let grown = peak_kib(&lbd) - before;
    assert!(grown < GROWTH, "{grown} KiB for one upload");
}

#[test]
fn a_client_that_leaves_ends_the_servers_work() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let origin = RawOrigin::start(move |peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        let _ = tell.lock().expect("one at a time").send(peer.closed());
    });
    let lbd = Lbd::start(app_at(NO_CHECK, [("s", origin.addr())]));
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/"));
    assert_eq!(wire.head().expect("it begins").status, 200);
    wire.abort();
    let end = told
        .recv_timeout(LIMIT)
        .expect("the server's connection ends");
    assert_ne!(end, End::Silence);
    eventually("the session is over", || {
        is(lbd.server("app/s").sessions, 0)
    });
}

/// A connection whose system keeps little of what was not read yet.
fn narrow(addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
    socket
        .set_recv_buffer_size(4 * 1024)
        .expect("it can be small");
    socket.connect(&addr.into()).expect("somebody listens");
    socket.into()
}

#[test]
fn who_takes_little_at_a_time_is_not_silent() {
    const PAUSE: Duration = Duration::from_millis(100);
    let origin = Origin::start("a");
    let lines = format!("{NO_CHECK}\ntimeouts = {{ server = \"3s\" }}");
    let config = app(&lines, [&origin]).replace(
        "[backend.app]",
        "[frontend.web.timeouts]\nclient = \"3s\"\n[backend.app]",
    );
    let lbd = Lbd::start(h2c(&config));
    let by_http1 = format!("GET /bytes?n={LARGE} HTTP/1.1\r\nhost: t\r\n\r\n").into_bytes();
    // With room for all of it, so that the socket alone holds it up.
    let target = format!("/bytes?n={LARGE}");
    let head = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "t"),
        (":path", &target),
    ]);
    let by_http2 = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xfe, 0, 0]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &head),
    ];
    let clients = [by_http1, by_http2.concat()].map(|asked| {
        let mut client = narrow(lbd.addr());
        client.write_all(&asked).expect("it is taken");
        client
    });
    let mut some = vec![0; 6_000];
    for _ in 0..60 {
        for mut client in &clients {
            client.read_exact(&mut some).expect("it is not cut");
        }
        thread::sleep(PAUSE);
    }
    assert_eq!(lbd.server("app/a").sessions, 2);
}
