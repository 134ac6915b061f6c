//! WebSockets to servers of HTTP/2: extended CONNECT (RFC 8441).

use hyper::{HeaderMap, Method, StatusCode};
use lb_tests::daemon::NO_CHECK;
use lb_tests::http2::Http2;
use lb_tests::pattern::pattern;
use lb_tests::wire::End;
use lb_tests::{Http2Origin, Lbd, Wire};

use crate::http2::{h2c, nothing_is_left};
use crate::http2_to_servers::{config, start};

/// Makes tunnels, or refuses, and echoes what is said there.
fn tunnelling() -> Http2Origin {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    Http2Origin::start_as(builder, |asked| {
        assert_eq!(asked.head.method, Method::CONNECT);
        let protocol = asked.head.extensions.get::<h2::ext::Protocol>();
        assert_eq!(protocol.map(h2::ext::Protocol::as_str), Some("websocket"));
        assert!(!asked.head.headers.contains_key("sec-websocket-key"));
        if asked.head.uri.path() == "/no" {
            return asked.respond(403, "no");
        }
        asked.answer(200, &[("sec-websocket-protocol", "chat")], false);
        asked.send("hello");
        while let Some(Ok(said)) = asked.piece() {
            asked.send(said);
        }
        asked.send("bye");
        asked.finish();
    })
}

/// RFC 6455, 1.3 has the key and its proof.
const ASKED: &str = "connection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

#[test]
fn a_websocket_is_a_stream_of_its_own() {
    let origin = tunnelling();
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(format!("GET /chat HTTP/1.1\r\nhost: t\r\n{ASKED}"));
    let granted = wire.head().expect("it is granted");
    assert_eq!(granted.status, 101);
    assert_eq!(granted.header("upgrade"), Some("websocket"));
    assert_eq!(granted.header("sec-websocket-protocol"), Some("chat"));
    assert_eq!(
        granted.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(wire.bytes(5), Ok(b"hello".to_vec()));
    let said: Vec<u8> = pattern(300_000);
    wire.send(&said);
    assert_eq!(wire.bytes(said.len()), Ok(said));
    assert_eq!(lbd.server("app/a").sessions, 1);
    wire.finish();
    assert_eq!(wire.rest(), (b"bye".to_vec(), End::Eof));
    nothing_is_left(&lbd);

    let mut wire = Wire::connect(lbd.addr());
    wire.send(format!("GET /no HTTP/1.1\r\nhost: t\r\n{ASKED}"));
    let refused = wire.response();
    assert_eq!((refused.status, refused.text().as_str()), (403, "no"));
    drop(wire);
    nothing_is_left(&lbd);
    assert_eq!(lbd.server("app/a").errors.response, 0);

    let none = Http2Origin::named("a");
    let lbd = start(&none);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(format!("GET /chat HTTP/1.1\r\nhost: t\r\n{ASKED}"));
    assert_eq!(wire.response().status, 502);
    lbd.wait_for_log("it has no extended CONNECT");
    assert_eq!(none.streams(), 0);
}

#[test]
fn what_asks_for_a_tunnel_and_has_content_is_a_request_like_others() {
    let origin = Http2Origin::named("a");
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(format!(
        "POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\n{ASKED}abc"
    ));
    let echo = wire.response().json();
    assert_eq!(
        (&echo["method"], &echo["body_length"]),
        (&"POST".into(), &3.into())
    );
    let headers = echo["headers"].to_string();
    assert!(!headers.contains("\"upgrade\""), "{headers}");
    drop(wire);
    nothing_is_left(&lbd);
}

#[test]
fn a_websocket_goes_from_stream_to_stream() {
    let origin = tunnelling();
    let lbd = Lbd::start(h2c(&config(NO_CHECK, origin.addr())));
    let mut client = Http2::connect(lbd.addr());
    let mut tunnel = client.connect_to("websocket", "/chat");
    let (status, headers) = tunnel.head().expect("it is granted");
    assert_eq!(status, StatusCode::OK);
    assert!(!headers.contains_key("sec-websocket-accept"));
    assert_eq!(tunnel.bytes(5), b"hello");
    let said: Vec<u8> = pattern(100_000);
    tunnel.send(&said, false);
    assert_eq!(tunnel.bytes(said.len()), said);
    // Each byte counts once, as it goes on the wire.
    let (frontend, server) = (&lbd.status().frontends[0], lbd.server("app/a"));
    for bytes in [
        frontend.bytes_in,
        frontend.bytes_out,
        server.bytes_in,
        server.bytes_out,
    ] {
        assert!((100_000..110_000).contains(&bytes), "{bytes}");
    }
    tunnel.finish();
    let rest = tunnel.rest(status, HeaderMap::new());
    assert_eq!((rest.text().as_str(), rest.cut), ("bye", None));
    drop((tunnel, client));
    nothing_is_left(&lbd);
}
