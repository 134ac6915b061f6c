//! What a client gets when a server fails: the status that says so, or a cut that shows.

use std::time::Duration;

use lb_tests::config::silence;
use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::port::{Port, SilentPort};
use lb_tests::wire::{End, Response, get, request};
use lb_tests::{Lbd, RawOrigin, Wire, eventually, is};

/// One server at `address`, no retries, and these timeouts.
fn one_server(address: std::net::SocketAddr, timeouts: &str) -> Lbd {
    let app = app_at(&format!("{NO_CHECK}\nretries = 0"), [("s", address)]);
    Lbd::start(format!("[defaults.timeouts]\n{timeouts}\n{app}"))
}

fn errors(lbd: &Lbd) -> (u64, u64) {
    let errors = lbd.server("app/s").errors;
    (errors.connect, errors.response)
}

fn assert_says(response: &Response, status: u16) {
    assert_eq!(response.status, status, "{response:?}");
    assert!(
        response.text().contains(&status.to_string()),
        "{response:?}"
    );
    let retry = response.header("retry-after").is_some();
    assert_eq!(retry, status == 503, "retry-after: {response:?}");
}

#[test]
fn a_refused_connect_is_503() {
    let port = Port::new();
    let lbd = one_server(port.addr(), "");
    assert_says(&get(lbd.addr(), "/"), 503);
    assert_eq!(errors(&lbd), (1, 0));
}

#[test]
fn a_connect_that_times_out_is_503() {
    let port = SilentPort::new();
    let lbd = one_server(port.addr(), "connect = \"200ms\"");
    assert_says(&get(lbd.addr(), "/"), 503);
    assert_eq!(errors(&lbd), (1, 0));
}

#[test]
fn a_response_that_breaks_before_its_head_is_502() {
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    for (what, bytes) in [
        ("nothing", ""),
        ("garbage", "\x00\x01garbage\r\n\r\n"),
        ("a word", "hello\r\n\r\n"),
        ("a version that is none", "HTTP/9.9 200 OK\r\n\r\n"),
        ("a status that is none", "HTTP/1.1 abc OK\r\n\r\n"),
        ("half a status line", "HTTP/1.1 20"),
        ("half a head", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        ),
        (
            "a length that is none",
            "HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\nhello",
        ),
        (
            "a header without colon",
            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
        ),
        (
            "a list of lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        ),
        (
            "a coding beside chunked",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        ("only an interim response", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("a huge head", &huge),
    ] {
        let origin = RawOrigin::answering(bytes);
        let lbd = one_server(origin.addr(), "");
        let response = get(lbd.addr(), "/");
        assert_eq!(response.status, 502, "{what}: {response:?}");
        assert!(response.text().contains("502"), "{what}: {response:?}");
        assert_eq!(errors(&lbd), (0, 1), "{what}");
        eventually("the session is over", || {
            is(lbd.server("app/s").sessions, 0)
        });
    }
}

#[test]
fn the_connection_goes_on_after_trailers_and_both_framings() {
    for (what, bytes) in [
        (
            "trailers",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
        ),
        (
            "both framings",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let origin = RawOrigin::start(move |peer| {
            while !peer.head().is_empty() {
                peer.send(bytes);
            }
        });
        let lbd = one_server(origin.addr(), "");
        let mut wire = Wire::connect(lbd.addr());
        for _ in 0..3 {
            let response = wire.send(request("GET", "/")).response();
            assert_eq!(
                (response.status, response.text().as_str()),
                (200, "hello"),
                "{what}"
            );
        }
        eventually("the sessions are over", || {
            is(lbd.server("app/s").sessions, 0)
        });
    }
}

#[test]
fn a_reset_before_the_head_is_502() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.reset();
    });
    let lbd = one_server(origin.addr(), "");
    assert_says(&get(lbd.addr(), "/"), 502);
}

#[test]
fn a_head_that_does_not_come_in_time_is_504() {
    let silent = RawOrigin::start(|peer| {
        peer.head();
        peer.closed();
    });
    let lbd = one_server(silent.addr(), "server = \"200ms\"");
    assert_says(&get(lbd.addr(), "/"), 504);
    assert_eq!(errors(&lbd), (0, 1));

    let begun = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nx-a: ");
        peer.closed();
    });
    let lbd = one_server(begun.addr(), "server = \"200ms\"");
    assert_says(&get(lbd.addr(), "/"), 504);
}

#[test]
fn a_body_cut_by_the_server_shows_as_cut() {
    for (what, bytes) in [
        (
            "by length",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        ),
        (
            "by chunks, between two",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ),
        (
            "by chunks, within one",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\nhalf",
        ),
        (
            "by chunks, with a broken one",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        ),
    ] {
        let origin = RawOrigin::answering(bytes);
        let lbd = one_server(origin.addr(), "");
        let response = get(lbd.addr(), "/");
        assert_eq!(response.status, 200, "{what}");
        assert!(
            response.cut.is_some(),
            "{what}: it looks whole: {response:?}"
        );
        assert_ne!(response.cut, Some(End::Silence), "{what}: it hangs");
        assert_eq!(errors(&lbd), (0, 1), "{what}");
        eventually("the session is over", || {
            is(lbd.server("app/s").sessions, 0)
        });
    }
}

#[test]
fn a_body_ended_by_close_passes_whole() {
    let origin = RawOrigin::answering("HTTP/1.1 200 OK\r\nx-a: 1\r\n\r\nto the end");
    let lbd = one_server(origin.addr(), "");
    let response = get(lbd.addr(), "/");
    assert_eq!((response.text(), response.cut), ("to the end".into(), None));
    assert_eq!(errors(&lbd), (0, 0));
}

#[test]
fn a_server_that_falls_silent_in_a_body_is_cut_off() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        peer.closed();
    });
    let lbd = one_server(origin.addr(), &silence("server"));
    let response = get(lbd.addr(), "/");
    assert_eq!(response.text(), "half");
    assert!(
        matches!(response.cut, Some(End::Eof | End::Reset)),
        "{response:?}"
    );
    assert_eq!(errors(&lbd), (0, 1));
    eventually("the session is over", || {
        is(lbd.server("app/s").sessions, 0)
    });
}

#[test]
fn a_client_that_falls_silent_in_its_body_is_cut_off_and_the_server_hears_of_it() {
    let (heard, ended) = std::sync::mpsc::channel();
    let heard = std::sync::Mutex::new(heard);
    let origin = RawOrigin::start(move |peer| {
        peer.head();
        let body = peer.bytes(100);
        let _ = heard.lock().expect("one at a time").send(body.len());
    });
    let lbd = one_server(origin.addr(), "client = \"300ms\"");
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhalf");
    if let Ok(response) = wire.try_response("POST") {
        assert_eq!(response.status, 408, "{response:?}");
    }
    assert_ne!(wire.rest().1, End::Silence, "the client is kept");
    let received = ended
        .recv_timeout(Duration::from_secs(60))
        .expect("the server's connection is closed too");
    assert_eq!(received, 4);
    eventually("the session is over", || {
        is(lbd.server("app/s").sessions, 0)
    });
    assert_eq!(errors(&lbd), (0, 0), "the server is blamed for its client");
}

#[test]
fn a_client_that_does_not_read_is_cut_off_in_the_end() {
    let origin = lb_tests::Origin::start("s");
    let lbd = one_server(origin.addr(), "client = \"300ms\"");
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/bytes?n=100000000"));
    eventually("the session began", || {
        is(lbd.server("app/s").sessions_total, 1)
    });
    eventually("the session is over", || {
        is(lbd.server("app/s").sessions, 0)
    });
    let response = wire.response();
    assert!(response.cut.is_some(), "it came whole");
    assert_eq!(errors(&lbd), (0, 0), "the server is blamed for its client");
}

#[test]
fn an_error_to_head_has_no_body() {
    let port = Port::new();
    let lbd = one_server(port.addr(), "");
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..2 {
        let response = wire.send(request("HEAD", "/")).response_to_head();
        assert_eq!(response.status, 503);
        if !response.keeps_alive() {
            wire = Wire::connect(lbd.addr());
        }
    }
}
