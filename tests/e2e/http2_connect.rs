//! Tunnels over HTTP/2 (RFC 8441): a WebSocket to the client, an upgrade of HTTP/1 to the server.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use h2::Reason;
use hyper::StatusCode;
use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::pattern::pattern;
use lb_tests::raw_origin::Peer;
use lb_tests::wire::End;
use lb_tests::{Http2, RawOrigin, eventually, is};

use crate::http2::{h2c, nothing_is_left};
use crate::logged::{Logging, both};

/// What a server of WebSockets makes of the key it is asked with (RFC 6455, 4.2.2).
fn accept(head: &str) -> String {
    let key = head
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let key = key.expect("there is a key");
    assert_eq!(BASE64_STANDARD.decode(key).expect("it is one").len(), 16);
    let proof = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let proof = digest(&SHA1_FOR_LEGACY_USE_ONLY, proof.as_bytes());
    BASE64_STANDARD.encode(proof)
}

pub(crate) fn grant(peer: &mut Peer) {
    let head = peer.head();
    assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
    for line in [
        "host: t",
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 13",
    ] {
        assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
    }
    assert!(!head.contains("transfer-encoding"), "{head}");
    peer.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {}\r\nsec-websocket-protocol: chat\r\n\r\nhello",
        accept(&head)
    ));
}

fn log(format: &str, origin: &RawOrigin) -> Logging {
    Logging::start(format, &h2c(&app_at(NO_CHECK, [("s", origin.addr())])))
}

#[test]
fn a_websocket_is_a_session_until_both_sides_have_ended() {
    let origin = RawOrigin::start(|peer| {
        grant(peer);
        loop {
            let piece = peer.bytes(4);
            if piece.len() < 4 {
                peer.send([&piece[..], b"bye"].concat());
                return;
            }
            peer.send(piece);
        }
    });
    for format in ["text", "json"] {
        let mut log = log(format, &origin);
        let mut client = Http2::connect(log.addr());
        let mut stream = client.connect_to("websocket", "/chat");
        let (status, headers) = stream.head().expect("a head");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["sec-websocket-protocol"], "chat");
        for name in ["upgrade", "connection", "sec-websocket-accept"] {
            assert!(!headers.contains_key(name), "{name}");
        }
        assert_eq!(stream.bytes(5), b"hello");
        for message in [b"ping", b"pong"] {
            stream.send(message, false);
            assert_eq!(stream.bytes(4), message);
        }
        assert_eq!(log.lbd.server("app/s").sessions, 1);
        let out = log.lbd.lbctl(["drain", "app/s", "--no-wait"]);
        assert_eq!(out.code, Some(0));
        stream.send(b"ping", false);
        assert_eq!(stream.bytes(4), b"ping");
        stream.send(b"en", false);
        stream.finish();
        let rest = stream.rest(status, headers);
        assert_eq!((rest.text(), rest.cut), ("enbye".into(), None));
        log.says("200 ---- 00000 app/s 0");
        drop(client);
        nothing_is_left(&log.lbd);
    }
}

#[test]
fn much_passes_both_ways() {
    const MUCH: usize = 5_000_000;
    let origin = RawOrigin::start(|peer| {
        grant(peer);
        let mut sends = peer.another();
        let sent = std::thread::spawn(move || sends.send(pattern(MUCH)));
        let received = peer.bytes(MUCH);
        assert!(received == pattern(MUCH));
        sent.join().expect("it is sent");
    });
    let log = log("text", &origin);
    let mut client = Http2::connect(log.addr());
    let mut stream = client.connect_to("websocket", "/chat");
    let (status, headers) = stream.head().expect("a head");
    assert_eq!(stream.bytes(5), b"hello");
    let body: Vec<u8> = pattern(MUCH);
    let mut received = Vec::new();
    for piece in body.chunks(100_000) {
        stream.send(piece, false);
        while received.len() < MUCH / 2 {
            received.extend(stream.piece().expect("more").expect("whole"));
        }
    }
    stream.finish();
    received.extend(stream.rest(status, headers).body);
    assert!(received == pattern(MUCH));
    drop(client);
    nothing_is_left(&log.lbd);
}

#[test]
fn what_breaks_on_one_side_breaks_on_the_other() {
    let origin = RawOrigin::start(|peer| {
        grant(peer);
        match peer.nth() % 2 {
            0 => assert_eq!(peer.closed(), End::Reset),
            _ => peer.reset(),
        }
    });
    both(&h2c(&app_at(NO_CHECK, [("s", origin.addr())])), |log| {
        let mut client = Http2::connect(log.addr());
        let mut stream = client.connect_to("websocket", "/chat");
        stream.head().expect("a head");
        assert_eq!(stream.bytes(5), b"hello");
        stream.reset();
        log.says("200 CD-- 00000 app/s 0");

        let mut stream = client.connect_to("websocket", "/chat");
        let (status, headers) = stream.head().expect("a head");
        assert_eq!(stream.rest(status, headers).cut, Some(Reason::CANCEL));
        log.says("200 SD-- 00000 app/s 0");
    });
}

#[test]
fn a_tunnel_ends_with_its_connection() {
    let origin = RawOrigin::start(|peer| {
        grant(peer);
        assert_ne!(peer.closed(), End::Silence);
    });
    let mut log = log("text", &origin);
    let mut client = Http2::connect(log.addr());
    let mut stream = client.connect_to("websocket", "/chat");
    stream.head().expect("a head");
    drop((stream, client));
    log.says("200 CD-- 00000 app/s 0");
    nothing_is_left(&log.lbd);
}

/// What a refused tunnel announced must not be what the next request on the connection is taken for.
#[test]
fn a_tunnel_has_no_content() {
    let origin = RawOrigin::start(|peer| {
        let head = peer.head();
        assert!(!head.contains("content-length"), "{head}");
        peer.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        let head = peer.head();
        assert!(head.starts_with("GET /next "), "{head}");
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    let log = log("text", &origin);
    let mut client = Http2::connect(log.addr());
    let mut stream = client.connect_to_with("websocket", "/chat", &[("content-length", "200")]);
    assert_eq!(stream.head().expect("a head").0, StatusCode::FORBIDDEN);
    assert_eq!(client.get("/next").status, StatusCode::OK);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn what_is_no_tunnel_is_not_taken_for_one() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        if peer.nth() == 0 {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
            peer.closed();
            return;
        }
        peer.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        peer.head();
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        );
        peer.closed();
    });
    let mut log = log("text", &origin);
    let mut client = Http2::connect(log.addr());
    for (status, line) in [
        (StatusCode::BAD_GATEWAY, "502 SH-- 00000 app/s 0"),
        (StatusCode::FORBIDDEN, "403 ---- 00000 app/s 0"),
        (StatusCode::BAD_GATEWAY, "502 SH-- 00000 app/s 0"),
    ] {
        let stream = client.connect_to("websocket", "/chat");
        assert_eq!(stream.response().status, status);
        log.says(line);
    }
    eventually("no session is left", || {
        is(log.lbd.server("app/s").sessions, 0)
    });
}
