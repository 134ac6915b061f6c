//! The HTTP behaviour that users were promised, event by event, each provoked on the wire: the status
//! that the client gets, and the status, flags and timers that the access log has, in both formats.

use std::net::SocketAddr;

use lb_tests::config::silence;
use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::port::{Port, SilentPort};
use lb_tests::wire::{End, get, request, upload};
use lb_tests::{Origin, RawOrigin, eventually, is};

use crate::logged::both;

/// One server without checks, lines for its backend, and these timeouts.
fn one_server(address: SocketAddr, backend: &str, timeouts: &str) -> String {
    let app = app_at(&format!("{NO_CHECK}\n{backend}"), [("s", address)]);
    format!("[defaults.timeouts]\n{timeouts}\n{app}")
}

/// A server that sends this in answer to a head, and then waits for the other side to close.
fn says_and_waits(bytes: &'static str) -> RawOrigin {
    RawOrigin::start(move |peer| {
        peer.head();
        peer.send(bytes);
        peer.closed();
    })
}

#[test]
fn what_goes_well_has_no_letter() {
    let origin = Origin::start("s");
    both(&app(NO_CHECK, [&origin]), |log| {
        for _ in 0..2 {
            assert_eq!(get(log.addr(), "/").status, 200);
            log.says("200 ---- 00000 app/s 0");
        }
        let mut wire = log.wire();
        wire.send(request("HEAD", "/")).response_to_head();
        log.says("200 ---- 00000 app/s 0");
        wire.send(upload("POST", "/echo", &[b'x'; 100_000]))
            .response();
        log.says("200 ---- 00000 app/s 0");
        wire.send(request("GET", "/bytes?n=100000&chunked"))
            .response();
        log.says("200 ---- 00000 app/s 0");
    });
}

#[test]
fn a_tunnel_that_is_closed_has_none_either() {
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: t\r\n\r\n");
        let said = peer.bytes(5);
        peer.send(said);
    });
    both(&one_server(origin.addr(), "", ""), |log| {
        let mut wire = log.wire();
        wire.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: t\r\n\r\n");
        assert_eq!(wire.head().expect("it switches").status, 101);
        wire.send("hello");
        assert_eq!(wire.bytes(5).as_deref(), Ok(&b"hello"[..]));
        drop(wire);
        log.says("101 ---- 00000 app/s 0");
    });
}

#[test]
fn a_head_that_is_refused() {
    let origin = Origin::start("s");
    let long = "x".repeat(20_000);
    let oversize = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {long}\r\n\r\n");
    let target = format!("GET /{long} HTTP/1.1\r\nhost: t\r\n\r\n");
    let never_whole = "PR-- ----0 web/<NOSRV> 0";
    let whole = "PR-- 0---0 web/<NOSRV> 0";
    both(&app(NO_CHECK, [&origin]), |log| {
        for (bytes, status, ended) in [
            ("\0garbage\r\n\r\n", 400, never_whole),
            ("GET / HTTP/1.1\r\nhost: t\r\n x\r\n\r\n", 400, never_whole),
            (
                "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
                400,
                never_whole,
            ),
            (&oversize, 431, never_whole),
            (&target, 414, never_whole),
            ("GET / HTTP/1.1\r\n\r\n", 400, whole),
            ("CONNECT t:1 HTTP/1.1\r\nhost: t:1\r\n\r\n", 405, whole),
        ] {
            assert_eq!(log.wire().send(bytes).response().status, status);
            log.says(&format!("{status} {ended}"));
        }
    });
}

#[test]
fn a_head_that_is_too_slow_or_never_comes_whole() {
    let origin = Origin::start("s");
    let config = one_server(origin.addr(), "", &silence("request"));
    both(&config, |log| {
        let mut wire = log.wire();
        assert_eq!(wire.send("GET / HT").response().status, 408);
        log.says("408 cR-- ----0 web/<NOSRV> 0");
    });
    both(&one_server(origin.addr(), "", ""), |log| {
        log.wire().send("GET / HT");
        log.says("-1 CR-- ----0 web/<NOSRV> 0");
        let mut wire = log.wire();
        wire.send("GET / HT");
        wire.abort();
        log.says("-1 CR-- ----0 web/<NOSRV> 0");
    });
}

#[test]
fn a_request_that_a_rule_denies() {
    let origin = Origin::start("s");
    let config = app(NO_CHECK, [&origin]);
    let rule = |rule: &str| config.replace("[backend", &format!("{rule}\n[backend"));
    both(&rule("deny = [\"127.0.0.0/8\"]"), |log| {
        assert_eq!(get(log.addr(), "/").status, 403);
        log.says("403 PR-- 0---0 web/<NOSRV> 0");
    });
    let once = rule("rate_limit = { requests = 1, per = \"1h\", key = \"ip\" }");
    both(&once, |log| {
        assert_eq!(get(log.addr(), "/").status, 200);
        log.next();
        assert_eq!(get(log.addr(), "/").status, 429);
        log.says("429 PR-- 0---0 web/<NOSRV> 0");
    });
}

#[test]
fn no_route_and_no_default_backend() {
    let config = "[frontend.web]\nbind = [\"127.0.0.1:0\"]\n\
         [[frontend.web.routes]]\npath = \"/a\"\nrespond = { status = 204 }\n";
    both(config, |log| {
        assert_eq!(get(log.addr(), "/b").status, 404);
        log.says("404 PR-- 0---0 web/<NOSRV> 0");
    });
}

#[test]
fn no_usable_server() {
    let origin = Origin::start("s");
    both(&app(NO_CHECK, [&origin]), |log| {
        log.lbd.lbctl(["maint", "app/s"]).exits(0);
        assert_eq!(get(log.addr(), "/").status, 503);
        log.says("503 SC-- 0---0 app/<NOSRV> 0");
    });
}

#[test]
fn a_queue_that_is_full_or_takes_too_long() {
    let origin = Origin::start("s");
    origin.hold("/held");
    for (most, timeout, ended) in [(0, "60s", "0---0"), (1, "200ms", "00--0")] {
        let config = app(
            &format!("{NO_CHECK}\nqueue = {{ max = {most} }}"),
            [&origin],
        );
        let config = config.replace("\" },", "\", max_connections = 1 },");
        let config = format!("[defaults.timeouts]\nqueue = \"{timeout}\"\n{config}");
        both(&config, |log| {
            let mut held = log.wire();
            held.send(request("GET", "/held"));
            eventually("the server is busy", || is(origin.in_flight(), 1));
            assert_eq!(get(log.addr(), "/").status, 503);
            log.says(&format!("503 sQ-- {ended} app/<NOSRV> 0"));
            held.abort();
            log.says("-1 CH-- 000-0 app/s 0");
            eventually("the server is free", || is(origin.in_flight(), 0));
        });
    }
}

#[test]
fn a_client_that_is_gone_from_the_queue() {
    let origin = Origin::start("s");
    origin.hold("/held");
    let config = app(NO_CHECK, [&origin]).replace("\" },", "\", max_connections = 1 },");
    both(&config, |log| {
        let mut held = log.wire();
        held.send(request("GET", "/held"));
        eventually("the server is busy", || is(origin.in_flight(), 1));
        let mut waits = log.wire();
        waits.send(request("GET", "/"));
        eventually("one waits", || is(log.lbd.status().backends[0].queued, 1));
        waits.abort();
        log.says("-1 CQ-- 00--0 app/<NOSRV> 0");
        held.abort();
        log.next();
        eventually("the server is free", || is(origin.in_flight(), 0));
    });
}

#[test]
fn a_connect_that_is_refused() {
    let ports = [Port::new(), Port::new()];
    let config = one_server(ports[0].addr(), "retries = 0", "");
    both(&config, |log| {
        assert_eq!(get(log.addr(), "/").status, 503);
        log.says("503 SC-- 00--0 app/s 0");
    });
    let two = [("s", ports[0].addr()), ("t", ports[1].addr())];
    let config = app_at(&format!("{NO_CHECK}\nretries = 1"), two);
    both(&config, |log| {
        assert_eq!(get(log.addr(), "/").status, 503);
        log.says("503 SC-- 00--0 app/t +1");
    });
    // One that is there answers in the other's stead.
    let origin = Origin::start("t");
    let two = [("s", ports[0].addr()), ("t", origin.addr())];
    both(&app_at(NO_CHECK, two), |log| {
        assert_eq!(get(log.addr(), "/").status, 200);
        log.says("200 ---- 00000 app/t +1");
    });
}

#[test]
fn a_connect_that_times_out() {
    let port = SilentPort::new();
    let config = one_server(port.addr(), "retries = 0", "connect = \"200ms\"");
    both(&config, |log| {
        assert_eq!(get(log.addr(), "/").status, 503);
        log.says("503 sC-- 00--0 app/s 0");
    });
}

#[test]
fn a_response_that_is_bad_or_empty_or_cut_before_its_head_is_whole() {
    for bytes in ["", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let origin = RawOrigin::answering(bytes);
        let config = one_server(origin.addr(), "retries = 0", "");
        both(&config, |log| {
            assert_eq!(get(log.addr(), "/").status, 502);
            log.says("502 SH-- 000-0 app/s 0");
        });
    }
}

#[test]
fn no_response_head_in_time() {
    let origin = says_and_waits("");
    let config = one_server(origin.addr(), "", "server = \"200ms\"");
    both(&config, |log| {
        assert_eq!(get(log.addr(), "/").status, 504);
        log.says("504 sH-- 000-0 app/s 0");
    });
}

#[test]
fn a_body_that_the_server_breaks_off() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let origin = RawOrigin::answering(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello"));
        both(&one_server(origin.addr(), "", ""), |log| {
            let response = get(log.addr(), "/");
            assert_eq!(response.status, 200);
            assert!(response.cut.is_some(), "{response:?}");
            log.says("200 SD-- 00000 app/s 0");
        });
    }
}

#[test]
fn a_body_in_which_the_server_falls_silent() {
    let origin = says_and_waits("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    let config = one_server(origin.addr(), "", &silence("server"));
    both(&config, |log| {
        let response = get(log.addr(), "/");
        assert_eq!(response.text(), "half");
        assert!(response.cut.is_some(), "{response:?}");
        log.says("200 sD-- 00000 app/s 0");
    });
}

#[test]
fn a_client_that_falls_silent() {
    let origin = Origin::start("s");
    let config = one_server(origin.addr(), "", "client = \"200ms\"");
    both(&config, |log| {
        // It does not take the answer.
        let mut wire = log.wire();
        wire.send(request("GET", "/bytes?n=100000000"));
        log.says("200 cD-- 00000 app/s 0");
        assert!(wire.response().cut.is_some(), "it came whole");
        // It does not send the rest of its body.
        let mut wire = log.wire();
        wire.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhalf");
        assert_eq!(wire.response().status, 408);
        log.says("408 cH-- 000-0 app/s 0");
    });
}

#[test]
fn a_client_that_is_gone_before_the_response() {
    let origin = Origin::start("s");
    origin.hold("/held");
    both(&app(NO_CHECK, [&origin]), |log| {
        let mut wire = log.wire();
        wire.send(request("GET", "/held"));
        eventually("the server was asked", || is(origin.in_flight(), 1));
        wire.abort();
        log.says("-1 CH-- 000-0 app/s 0");
        eventually("the server has heard", || is(origin.in_flight(), 0));
        // In the middle of its upload.
        for half_closes in [false, true] {
            let mut wire = log.wire();
            wire.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nhalf");
            eventually("the server was asked", || is(origin.in_flight(), 1));
            if half_closes {
                wire.finish();
                assert_eq!(wire.rest().0, b"", "nobody is there to be answered");
            } else {
                wire.abort();
            }
            log.says("-1 CH-- 000-0 app/s 0");
            eventually("the server has heard", || is(origin.in_flight(), 0));
        }
    });
}

#[test]
fn a_client_that_is_gone_while_a_connection_is_made() {
    let port = SilentPort::new();
    let config = one_server(port.addr(), "", "connect = \"60s\"");
    both(&config, |log| {
        let mut wire = log.wire();
        wire.send(request("GET", "/"));
        eventually("a server was picked", || {
            is(log.lbd.server("app/s").sessions, 1)
        });
        wire.abort();
        log.says("-1 CC-- 00--0 app/s 0");
    });
}

#[test]
fn a_client_that_is_gone_in_the_middle_of_the_body() {
    let origin = says_and_waits("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    both(&one_server(origin.addr(), "", ""), |log| {
        let mut wire = log.wire();
        wire.send(request("GET", "/"));
        assert_eq!(wire.head().expect("it begins").status, 200);
        wire.abort();
        log.says("200 CD-- 00000 app/s 0");
    });
}

#[test]
fn what_lbd_answers_itself() {
    let origin = Origin::start("s");
    let config = app(NO_CHECK, [&origin]);
    let config = format!(
        "{config}\n[[frontend.web.routes]]\npath = \"/gone\"\nrespond = {{ status = 410 }}\n\
         [[frontend.web.routes]]\npath = \"/old\"\n\
         redirect = {{ to = \"https://new.example{{path}}\", status = 301 }}\n"
    );
    both(&config, |log| {
        assert_eq!(get(log.addr(), "/gone").status, 410);
        log.says("410 LR-- 0---0 web/<NOSRV> 0");
        assert_eq!(get(log.addr(), "/old").status, 301);
        log.says("301 LR-- 0---0 web/<NOSRV> 0");
    });
}

#[test]
fn cookies_have_the_third_and_fourth_letter() {
    let origin = Origin::start("s");
    let sticky = format!("{NO_CHECK}\nsticky = {{ cookie = \"SRVID\" }}");
    let config = app(&sticky, [&origin]);
    both(&config, |log| {
        for (cookie, flags) in [("a=1", "--NI"), ("SRVID=s", "--VN"), ("SRVID=x", "--II")] {
            let mut wire = log.wire();
            wire.send(format!(
                "GET / HTTP/1.1\r\nhost: t\r\ncookie: {cookie}\r\n\r\n"
            ));
            assert_eq!(wire.response().status, 200);
            log.says(&format!("200 {flags} 00000 app/s 0"));
        }
    });
}

#[test]
fn an_error_closes_or_keeps_the_connection_and_each_request_has_its_line() {
    let port = Port::new();
    let config = one_server(port.addr(), "retries = 0", "");
    both(&config, |log| {
        let mut wire = log.wire();
        for _ in 0..3 {
            assert_eq!(wire.send(request("GET", "/")).response().status, 503);
            log.says("503 SC-- 00--0 app/s 0");
        }
        assert_eq!(wire.send("garbage\r\n\r\n").response().status, 400);
        assert_eq!(wire.rest().1, End::Eof);
        log.says("400 PR-- ----0 web/<NOSRV> 0");
    });
}
