//! How often a server of HTTP/2 is asked for one request, and whom an answer that is none harms.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};

use h2::Reason;
use hyper::Method;
use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::http2::{END_HEADERS, END_STREAM, HEADERS, Http2, PREFACE, SETTINGS, frame};
use lb_tests::wire::{get, request, upload};
use lb_tests::{Http2Origin, RawOrigin, Wire};

use crate::http2::{h2c, nothing_is_left};
use crate::http2_to_servers::config;
use crate::http2_to_servers_ends::on_one_thread;
use crate::http2_to_servers_rules::{OK, begun, raw};

#[test]
fn a_reset_counts_as_a_try_whether_the_connection_was_kept_or_not() {
    for (reason, method, retries, asked) in [
        (Reason::INTERNAL_ERROR, "GET", 0, 1),
        (Reason::INTERNAL_ERROR, "DELETE", 1, 2),
        (Reason::CANCEL, "GET", 0, 1),
        (Reason::INTERNAL_ERROR, "POST", 1, 1),
        (Reason::REFUSED_STREAM, "POST", 0, 1),
        (Reason::REFUSED_STREAM, "POST", 1, 2),
    ] {
        let origin = Http2Origin::start(move |asked| {
            asked.body();
            match asked.head.uri.path() {
                "/good" => asked.respond(200, "good"),
                _ => asked.reset(reason),
            }
        });
        let lines = format!("{NO_CHECK}\nretries = {retries}");
        let lbd = on_one_thread(config(&lines, origin.addr()));
        assert_eq!(get(lbd.addr(), "/good").status, 200);
        let mut wire = Wire::connect(lbd.addr());
        let bad = match method {
            "POST" => upload("POST", "/bad", b"abc"),
            _ => request(method, "/bad").into_bytes(),
        };
        assert_eq!(wire.send(bad).response().status, 502);
        let what = format!("{method}, {reason}, retries = {retries}");
        assert_eq!(origin.streams() - 1, asked, "{what}");
        let errors = lbd.server("app/a").errors.response;
        assert_eq!(errors, asked, "{what}: every try is told");
    }
}

#[test]
fn one_kept_connection_that_was_closed_is_replaced_uncounted() {
    let asked = Arc::new(AtomicU64::new(0));
    // Answers the first request on its first connection; closes where another one comes.
    let closing = |asked: &Arc<AtomicU64>| {
        let asked = asked.clone();
        RawOrigin::start(move |peer| {
            assert_eq!(peer.bytes(PREFACE.len()), PREFACE);
            peer.send(frame(SETTINGS, 0, 0, &[]));
            if peer.nth() == 0 {
                let stream = begun(peer).expect("a stream");
                peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, OK));
            }
            if begun(peer).is_some() {
                asked.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let (a, b) = (closing(&asked), closing(&asked));
    let lines = format!("protocol = \"h2\"\n{NO_CHECK}\nretries = 1");
    let lbd = on_one_thread(app_at(&lines, [("a", a.addr()), ("b", b.addr())]));
    for _ in 0..2 {
        assert_eq!(get(lbd.addr(), "/").status, 200);
    }
    assert_eq!(get(lbd.addr(), "/").status, 502);
    // On the kept connection to one, on a new one, and on the kept one to the other.
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn an_answer_that_is_none_is_not_asked_for_again() {
    let literal = |name: &[u8], value: &[u8]| {
        let (n, v) = (name.len() as u8, value.len() as u8);
        [&[0, n][..], name, &[v], value].concat()
    };
    for (what, head) in [
        ("no status", literal(b"x", b"y")),
        ("no number", literal(b":status", b"abc")),
        ("an upper-case name", [OK, &literal(b"X-Up", b"1")].concat()),
        (
            "a connection's",
            [OK, &literal(b"connection", b"close")].concat(),
        ),
        (
            "a length",
            [OK, &literal(b"content-length", b"+5")].concat(),
        ),
        ("no head", vec![0xff; 30]),
    ] {
        let asked = Arc::new(AtomicU64::new(0));
        let counts = asked.clone();
        let origin = raw(move |peer, stream| {
            counts.fetch_add(1, Ordering::SeqCst);
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        });
        let lbd = on_one_thread(config(NO_CHECK, origin.addr()));
        assert_eq!(get(lbd.addr(), "/").status, 502, "{what}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{what}");
    }
}

#[test]
fn who_shares_a_connection_with_an_answer_that_ends_it_is_repeated_and_kept_apart() {
    let (tell, asked) = channel();
    let (tell, both) = (Mutex::new(tell), Barrier::new(2));
    let origin = raw(move |peer, stream| {
        if peer.nth() > 0 {
            // The two that come later are answered if they are on two connections.
            if peer.nth() > 1 || stream > 1 {
                both.wait();
            }
            return peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, OK));
        }
        let _ = tell.lock().expect("nobody panics with it").send(());
        if stream > 1 {
            peer.send(frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                &[0xff; 30],
            ));
        }
    });
    let lbd = on_one_thread(h2c(&config(NO_CHECK, origin.addr())));
    let mut client = Http2::connect(lbd.addr());
    let other = client.ask(Method::GET, "/other");
    asked.recv().expect("it is asked");
    let bad = client.ask(Method::POST, "/bad");
    assert_eq!(bad.response().status, 502);
    assert_eq!(other.response().status, 200);
    let pair = [client.ask(Method::GET, "/"), client.ask(Method::GET, "/")];
    for one in pair {
        assert_eq!(one.response().status, 200);
    }
    drop(client);
    nothing_is_left(&lbd);
}
