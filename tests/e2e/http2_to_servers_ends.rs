//! HTTP/2 to servers, where something ends: streams that are reset or refused, connections that are
//! left, full, silent or broken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use h2::Reason;
use hyper::Method;
use lb_tests::config::silence;
use lb_tests::daemon::NO_CHECK;
use lb_tests::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Http2, PREFACE, SETTINGS, frame, request_with,
};
use lb_tests::wire::{get, request, upload};
use lb_tests::{Http2Origin, Lbd, Load, RawOrigin, Setup, Wire, eventually, is};

use crate::http2::{h2c, nothing_is_left};
use crate::http2_to_servers::{config, start};
use crate::http2_to_servers_rules::{OK, begun};

const GOAWAY: u8 = 7;

/// One thread, and so one connection to share.
pub(crate) fn on_one_thread(config: String) -> Lbd {
    Setup::new(config).global("threads = 1").start()
}

pub(crate) fn goaway(last: u32, reason: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        0,
        0,
        &[last.to_be_bytes(), reason.to_be_bytes()].concat(),
    )
}

#[test]
fn a_client_that_goes_away_resets_its_stream_and_no_other() {
    let (told, gone) = channel();
    let told = Mutex::new(told);
    let origin = Http2Origin::start(move |asked| {
        if asked.head.uri.path() == "/other" {
            return asked.respond(200, "other");
        }
        asked.answer(200, &[], false);
        asked.send("begun");
        let reason = asked.gone();
        let told = told.lock().expect("nobody panics with it");
        let _ = told.send(reason);
    });
    let lbd = on_one_thread(h2c(&config(NO_CHECK, origin.addr())));
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/")).head().expect("it is begun");
    wire.abort();
    assert_eq!(gone.recv(), Ok(Some(Reason::CANCEL)));
    let mut client = Http2::connect(lbd.addr());
    let mut stream = client.ask(Method::GET, "/");
    stream.head().expect("it is begun");
    stream.reset();
    assert_eq!(gone.recv(), Ok(Some(Reason::CANCEL)));
    // One that was not answered yet.
    let held = client.open(request_with(Method::POST, "/", &[]));
    held.reset();
    assert_eq!(client.get("/other").text(), "other");
    drop(client);
    nothing_is_left(&lbd);
    assert_eq!(origin.connections(), 1);
    assert_eq!(lbd.server("app/a").errors.response, 0);
}

#[test]
fn a_stream_that_is_about_to_end_is_not_reset() {
    let (told, go_on) = channel();
    let (tell, seen) = channel();
    let (go_on, tell) = (Mutex::new(go_on), Mutex::new(tell));
    let origin = Http2Origin::start(move |asked| {
        asked.answer(200, &[("content-length", "2")], false);
        asked.send("ok");
        if asked.nth == 0 {
            let _ = go_on.lock().expect("nobody panics with it").recv();
            let tell = tell.lock().expect("nobody panics with it");
            let _ = tell.send(asked.is_reset());
        }
        asked.finish();
    });
    let lbd = on_one_thread(config(NO_CHECK, origin.addr()));
    let mut wire = Wire::connect(lbd.addr());
    // By its length the response is whole, and the next request comes after whatever came of that.
    for _ in 0..2 {
        assert_eq!(wire.send(request("GET", "/")).response().text(), "ok");
    }
    told.send(()).expect("it waits");
    assert_eq!(seen.recv(), Ok(false));
    drop(wire);
    nothing_is_left(&lbd);
}

#[test]
fn a_response_that_breaks_off_is_cut_for_the_client_too() {
    let origin = Http2Origin::start(|asked| {
        asked.body();
        if asked.head.uri.path() == "/before" {
            return asked.reset(Reason::INTERNAL_ERROR);
        }
        asked.answer(200, &[], false);
        asked.send("begun");
        asked.reset(Reason::INTERNAL_ERROR);
    });
    // What it sent before the reset may be lost with it, so that nobody waits for it.
    let lbd = on_one_thread(h2c(&config(
        &format!("{NO_CHECK}\nretries = 0"),
        origin.addr(),
    )));
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(wire.send(request("GET", "/before")).response().status, 502);
    let cut = wire.send(request("GET", "/")).try_response("GET");
    assert!(cut.is_ok_and(|response| response.cut.is_some() || response.status == 502));
    let mut client = Http2::connect(lbd.addr());
    assert_eq!(client.get("/before").status, 502);
    drop((wire, client));
    nothing_is_left(&lbd);
    assert!(lbd.server("app/a").errors.response >= 3);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_refused_request_is_sent_again_whatever_it_is() {
    for kept in [false, true] {
        let refused = Arc::new(AtomicBool::new(!kept));
        let refuses = refused.clone();
        let origin = Http2Origin::start(move |asked| {
            if refuses.swap(false, Ordering::SeqCst) {
                return asked.reset(Reason::REFUSED_STREAM);
            }
            let body = asked.body();
            let trailers = asked.trailers().unwrap_or_default();
            asked.respond(200, format!("{} {}", body.len(), trailers.len()));
        });
        let lines = format!("{NO_CHECK}\nretries = 1");
        let lbd = on_one_thread(config(&lines, origin.addr()));
        if kept {
            assert_eq!(get(lbd.addr(), "/").status, 200);
            refused.store(true, Ordering::SeqCst);
        }
        let mut wire = Wire::connect(lbd.addr());
        let answer = wire.send(upload("POST", "/", b"hello")).response();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "5 0"),
            "{kept}"
        );
        refused.store(kept, Ordering::SeqCst);
        wire.send("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n");
        let answer = wire.response();
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "5 1"),
            "{kept}"
        );
        drop(wire);
        nothing_is_left(&lbd);
    }
}

#[test]
fn a_refused_request_whose_body_is_gone_fails() {
    let origin = Http2Origin::start(|asked| {
        asked.bytes(200_000);
        asked.reset(Reason::REFUSED_STREAM);
    });
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.addr());
    let answer = wire.send(upload("POST", "/", &[7; 300_000])).response();
    assert_eq!(answer.status, 502);
    assert_eq!(origin.streams(), 1);
}

#[test]
fn what_a_goaway_leaves_out_goes_on_another_connection() {
    let (tell, asked) = channel();
    let tell = Mutex::new(tell);
    let origin = RawOrigin::start(move |peer| {
        assert_eq!(peer.bytes(PREFACE.len()), PREFACE);
        peer.send(frame(SETTINGS, 0, 0, &[]));
        let first = begun(peer).expect("a stream");
        let _ = tell.lock().expect("nobody panics with it").send(());
        if peer.nth() > 0 {
            // Answered before, its client would be told that the rest is not wanted.
            let body = b"not lost";
            assert!(peer.until(body).ends_with(body));
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, first, OK));
            peer.closed();
            return;
        }
        // Two streams; the second is never looked at, the first is answered to its end.
        let second = begun(peer).expect("another stream");
        assert!(second > first);
        peer.send(goaway(first, 0));
        peer.send(frame(HEADERS, END_HEADERS, first, OK));
        peer.send(frame(DATA, END_STREAM, first, b"first"));
        peer.closed();
    });
    let lbd = on_one_thread(h2c(&config(
        &format!("{NO_CHECK}\nretries = 1"),
        origin.addr(),
    )));
    let mut client = Http2::connect(lbd.addr());
    let first = client.ask(Method::GET, "/");
    asked.recv().expect("it is asked");
    let mut second = client.open(request_with(Method::POST, "/", &[]));
    second.send(b"not lost", true);
    assert_eq!(first.response().text(), "first");
    let second = second.response();
    assert_eq!((second.status.as_u16(), second.cut), (200, None));
    assert_eq!(origin.connections(), 2);
    assert_eq!(lbd.server("app/a").errors.response, 0);
}

#[test]
fn a_server_that_leaves_while_it_is_asked_costs_no_request() {
    let origin = Arc::new(Http2Origin::named("a"));
    let lbd = Lbd::start(config(&format!("{NO_CHECK}\nretries = 0"), origin.addr()));
    let load = Load::on(lbd.addr()).clients(8).start();
    for n in 0..10 {
        load.go_on_for(50);
        origin.leave();
        eventually("others are opened", || match origin.connections() {
            opened if opened > n => Ok(()),
            opened => Err(opened),
        });
    }
    load.go_on_for(50);
    load.stop().assert_clean();
    nothing_is_left(&lbd);
    let server = lbd.server("app/a");
    assert_eq!((server.errors.connect, server.errors.response), (0, 0));
}

#[test]
fn a_connection_that_breaks_is_noticed_at_once_by_all_its_streams() {
    let origin = RawOrigin::start(|peer| {
        assert_eq!(peer.bytes(PREFACE.len()), PREFACE);
        peer.send(frame(SETTINGS, 0, 0, &[]));
        for _ in 0..3 {
            begun(peer);
        }
        peer.reset();
    });
    let lines = format!("{NO_CHECK}\nretries = 0");
    let lbd = on_one_thread(h2c(&config(&lines, origin.addr())));
    let mut client = Http2::connect(lbd.addr());
    let open: Vec<_> = (0..3).map(|_| client.ask(Method::POST, "/")).collect();
    for stream in open {
        assert_eq!(stream.response().status, 502);
    }
    assert_eq!(lbd.server("app/a").errors.response, 3);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn silence_of_a_server_ends_its_stream_and_its_connection() {
    let origin = Http2Origin::start(|asked| match asked.head.uri.path() {
        "/silent" => drop(asked.gone()),
        "/falls" => {
            asked.answer(200, &[], false);
            asked.send("begun");
            asked.gone();
        }
        _ => asked.respond(200, "a"),
    });
    let quick = format!("{NO_CHECK}\ntimeouts = {{ {} }}", silence("server"));
    let lbd = on_one_thread(h2c(&config(&quick, origin.addr())));
    let mut client = Http2::connect(lbd.addr());
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/silent").status, 504);
    let cut = client.get("/falls");
    assert_eq!(
        (cut.text().as_str(), cut.cut),
        ("begun", Some(Reason::INTERNAL_ERROR))
    );
    assert_eq!(client.get("/").status, 200);
    nothing_waits(&lbd);
    // Whether the first connection leads anywhere, nobody knew.
    assert!(origin.connections() >= 2);
    assert_eq!(lbd.server("app/a").errors.response, 2);
}

#[track_caller]
fn nothing_waits(lbd: &Lbd) {
    eventually("no session is left", || is(lbd.server("app/a").sessions, 0));
}

#[test]
fn a_connection_that_does_not_begin_times_out() {
    let silent = RawOrigin::start(|peer| {
        peer.closed();
    });
    let lines = format!("{NO_CHECK}\nretries = 1\ntimeouts = {{ connect = \"200ms\" }}");
    let lbd = Lbd::start(config(&lines, silent.addr()));
    assert_eq!(get(lbd.addr(), "/").status, 503);
    assert_eq!(lbd.server("app/a").errors.connect, 2);
    nothing_is_left(&lbd);
}

#[test]
fn a_client_that_stops_its_upload_is_told_so() {
    let origin = Http2Origin::start(|asked| {
        let sent = asked.body();
        assert_eq!(sent, b"some");
    });
    let config = config(NO_CHECK, origin.addr()).replace(
        "\n\n[backend",
        "\ntimeouts = { client = \"200ms\" }\n\n[backend",
    );
    let lbd = Lbd::start(config);
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nsome");
    assert_eq!(wire.response().status, 408);
    nothing_is_left(&lbd);
    assert_eq!(lbd.server("app/a").errors.response, 0);
}

#[test]
fn a_server_that_takes_an_upload_slowly_is_given_no_more_than_it_takes() {
    // On one connection there is room for a stream that is stuck and one that is not.
    let mut builder = h2::server::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let origin = Http2Origin::start_as(builder, |asked| {
        if asked.head.uri.path() == "/now" {
            let length = asked.body().len();
            return asked.respond(200, length.to_string());
        }
        asked.gone();
    });
    let lines = format!("{NO_CHECK}\ntimeouts = {{ server = \"2s\" }}");
    let lbd = on_one_thread(config(&lines, origin.addr()));
    let mut stuck = Wire::connect(lbd.addr());
    stuck.send("POST /never HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000000\r\n\r\n");
    let mut sender = stuck.another();
    let sending = std::thread::spawn(move || {
        let piece = vec![7; 1 << 20];
        (0..1000)
            .take_while(|_| sender.try_send(&piece).is_ok())
            .count()
    });
    let before = lbd.server("app/a").bytes_in;
    let mut wire = Wire::connect(lbd.addr());
    let answer = wire
        .send(upload("POST", "/now", &[7; 2_000_000]))
        .response();
    assert_eq!(answer.text(), "2000000");
    let passed_on = lbd.server("app/a").bytes_in - before;
    assert!(passed_on < 4_000_000, "{passed_on}");
    assert_eq!(stuck.response().status, 504);
    let taken = sending.join().expect("it sends");
    assert!(taken < 100, "{taken} MiB");
    drop(wire);
    nothing_is_left(&lbd);
}
