//! Frames of a few bytes each, as streams of gRPC are made of, and a side that does not take them; and of none.

use std::sync::{Mutex, mpsc};

use hyper::Method;
use lb_tests::daemon::NO_CHECK;
use lb_tests::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Http2, PREFACE, SETTINGS, WINDOW_UPDATE, fields, frame,
    get_fields, request_with,
};
use lb_tests::raw_origin::Peer;
use lb_tests::wire::request;
use lb_tests::{Http2Origin, RawOrigin, Wire};

use crate::http2::{h2c, nothing_is_left};
use crate::http2_to_servers::config;
use crate::http2_to_servers_ends::on_one_thread;
use crate::http2_to_servers_rules::{OK, begun};

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, 6.5.2).
fn window(bytes: u32) -> Vec<u8> {
    frame(
        SETTINGS,
        0,
        0,
        &[&[0, 4][..], &bytes.to_be_bytes()].concat(),
    )
}

/// The next frame: kind and payload.
fn received(wire: &mut Wire) -> (u8, Vec<u8>) {
    let head = wire.bytes(9).expect("a frame");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    (head[3], wire.bytes(length as usize).expect("all of it"))
}

#[test]
fn answers_in_small_frames_that_nobody_takes_end_no_connection() {
    slow_ones_harm_nobody(END_STREAM, &get_fields());
}

#[test]
fn tunnels_of_small_frames_that_nobody_takes_end_no_connection() {
    let websocket = fields(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "t"),
        (":path", "/"),
        ("sec-websocket-version", "13"),
    ]);
    slow_ones_harm_nobody(0, &websocket);
}

/// What the slow ones ask for: a head with these flags and fields.
fn slow_ones_harm_nobody(flags: u8, asked: &[u8]) {
    const SLOW: u32 = 50;
    const FRAMES: usize = 15_000;
    const EACH: [u8; 12] = [b'x'; 12];
    let serve = |peer: &mut Peer, stream| {
        peer.send(frame(HEADERS, END_HEADERS, stream, OK));
        match stream / 2 < SLOW {
            true => peer.send(frame(DATA, 0, stream, &EACH).repeat(FRAMES)),
            false => peer.send(frame(DATA, END_STREAM, stream, b"fast")),
        }
    };
    let server = RawOrigin::start(move |peer| {
        assert_eq!(peer.bytes(PREFACE.len()), PREFACE);
        // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441, 3).
        peer.send(frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]));
        while let Some(stream) = begun(peer) {
            serve(peer, stream);
        }
    });
    let lbd = on_one_thread(h2c(&config(NO_CHECK, server.addr())));
    let mut slow = Wire::connect(lbd.addr());
    slow.send(PREFACE).send(window(0));
    for stream in 0..SLOW {
        let head = frame(HEADERS, flags | END_HEADERS, 2 * stream + 1, asked);
        slow.send(head);
    }
    let mut heads = 0;
    while heads < SLOW {
        heads += u32::from(received(&mut slow).0 == HEADERS);
    }
    let mut fast = Wire::connect(lbd.addr());
    let answer = fast.send(request("GET", "/")).response();
    assert!(
        answer.body == b"fast",
        "it is a slow one's: {}",
        answer.body.len()
    );

    // All of it is there, once there is room for it.
    let room = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    slow.send(room).send(window(1 << 20));
    let mut came = 0;
    while came < SLOW as usize * FRAMES * EACH.len() {
        let (kind, payload) = received(&mut slow);
        came += match kind {
            DATA => payload.len(),
            _ => 0,
        };
    }
    assert_eq!(server.connections(), 1);
    drop((slow, fast));
    nothing_is_left(&lbd);
}

#[test]
fn an_upload_in_small_frames_that_the_server_does_not_take_ends_no_connection() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let server = Http2Origin::start(move |asked| {
        if asked.head.method == Method::POST {
            let wait = wait.lock().expect("nobody panics with it");
            wait.recv().expect("it is told to go on");
        }
        let came = asked.body().len();
        asked.respond(200, came.to_string());
    });
    let lbd = on_one_thread(h2c(&config(NO_CHECK, server.addr())));
    let mut client = Http2::connect(lbd.addr());
    let mut upload = client.open(request_with(Method::POST, "/", &[]));
    // As much as the server takes, and then what it does not.
    upload.send(&[b'x'; 65_535], false);
    for _ in 0..10_000 {
        upload.send(b"a message", false);
    }
    assert_eq!(client.get("/").text(), "0");
    go.send(()).expect("it waits");
    upload.finish();
    assert_eq!(upload.response().text(), (65_535 + 90_000).to_string());
    drop(client);
    nothing_is_left(&lbd);
}

#[test]
fn empty_frames_in_answers_end_no_connection() {
    let server = RawOrigin::start(|peer| {
        assert_eq!(peer.bytes(PREFACE.len()), PREFACE);
        peer.send(frame(SETTINGS, 0, 0, &[]));
        while let Some(stream) = begun(peer) {
            let empty = frame(DATA, 0, stream, &[]);
            let (begins, goes_on) = empty.split_at(stream as usize % empty.len());
            peer.send([&frame(HEADERS, END_HEADERS, stream, OK), &empty, begins].concat());
            peer.send([goes_on, &frame(DATA, 0, stream, b"ok"), &empty].concat());
            peer.send(frame(DATA, END_STREAM, stream, &[]));
        }
    });
    let lbd = on_one_thread(h2c(&config(NO_CHECK, server.addr())));
    let mut client = Http2::connect(lbd.addr());
    for n in 0..200 {
        assert_eq!(client.get("/").text(), "ok", "answer {n}");
    }
    assert_eq!(server.connections(), 1);
    drop(client);
    nothing_is_left(&lbd);
}
