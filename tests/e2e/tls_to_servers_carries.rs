//! What goes by TLS to servers: requests, tunnels, mode tcp; on connections that are kept, and by
//! sessions that are resumed.

use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};

use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::pattern::pattern;
use lb_tests::wire::{End, get, request, upload};
use lb_tests::{Authority, Load, Origin, RawOrigin, TlsFront, Wire, eventually};

use crate::tcp::{no_session_is_left, tcp};
use crate::tls_to_servers::{CA, check, config, knowing, start};

/// Answers one request a connection.
fn closing() -> RawOrigin {
    RawOrigin::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
}

#[test]
fn requests_go_by_tls_on_kept_connections() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"])).alpn(&["h2", "http/1.1"]);
    let front = front.before(origin.addr());
    let lbd = start(knowing(&authority), NO_CHECK, CA, front.addr());
    let mut wire = Wire::connect(lbd.addr());
    let body: Vec<u8> = pattern(3_000_000);
    for _ in 0..2 {
        let echo = wire.send(upload("POST", "/echo", &body)).response().json();
        assert_eq!(echo["body_length"], body.len());
        for target in ["/bytes?n=5000000", "/bytes?n=5000000&chunked"] {
            let response = wire.send(request("GET", target)).response();
            assert!(response.body == pattern(5_000_000));
        }
    }
    drop(wire);
    let shook = front.shook();
    // One, unless a pause before an upload was long: that is not sent on a connection of old.
    assert!(matches!(shook.len(), 1..=2), "{shook:?}");
    assert_eq!(shook[0].alpn.as_deref(), Some("http/1.1"));
    assert_eq!(shook[0].sni, None);
    let load = Load::on(lbd.addr()).clients(4).start();
    load.go_on_for(500);
    load.stop().assert_clean();
    no_session_is_left(&lbd);
    let server = lbd.server("app/a");
    assert_eq!((server.errors.connect, server.errors.response), (0, 0));
    assert!(server.bytes_in > 6_000_000 && server.bytes_out > 20_000_000);
}

#[test]
fn sessions_are_resumed_but_by_checks() {
    let authority = Authority::new();
    let origin = closing();
    for tls12 in [false, true] {
        let front = TlsFront::showing(&authority.issue(&["127.0.0.1"]));
        let front = if tls12 { front.tls12() } else { front };
        let front = front.before(origin.addr());
        let mut lbd = start(knowing(&authority), NO_CHECK, CA, front.addr());
        for _ in 0..5 {
            assert_eq!(get(lbd.addr(), "/").status, 200);
        }
        let resumed = || -> Vec<bool> { front.shook().iter().map(|s| s.resumed).collect() };
        assert_eq!(resumed(), [false, true, true, true, true]);
        lbd.rewrite_with(|config| config.replace("tls = ", "retries = 1\ntls = "));
        lbd.reload().exits(0);
        assert_eq!(get(lbd.addr(), "/").status, 200);
        assert_eq!(resumed().last(), Some(&true));
    }
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"])).before(origin.addr());
    let _lbd = start(
        knowing(&authority),
        &check("type = \"http\""),
        CA,
        front.addr(),
    );
    eventually("several checks came", || match front.shook().len() {
        n if n > 3 => Ok(()),
        n => Err(n),
    });
    assert!(front.shook().iter().all(|shook| !shook.resumed));
}

#[test]
fn no_session_outlives_the_certificate_that_its_server_showed() {
    const LASTS: Duration = Duration::from_secs(15);
    let authority = Authority::new();
    let origin = closing();
    let now = SystemTime::now();
    let issued = authority.issue_for(&["127.0.0.1"], now - LASTS, now + LASTS);
    let both = [false, true].map(|tls12| {
        let front = TlsFront::showing(&issued);
        let front = if tls12 { front.tls12() } else { front };
        let front = front.before(origin.addr());
        let lbd = start(knowing(&authority), NO_CHECK, CA, front.addr());
        for _ in 0..2 {
            assert_eq!(get(lbd.addr(), "/").status, 200);
        }
        assert!(front.shook()[1].resumed);
        lbd
    });
    for lbd in both {
        eventually("it is not trusted", || match get(lbd.addr(), "/").status {
            503 => Ok(()),
            other => Err(other),
        });
    }
}

#[test]
fn a_reload_that_changes_how_leaves_no_connection_to_be_used_again() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test", "b.test"]);
    let front = TlsFront::showing(&issued).before(origin.addr());
    let tls = "{ ca = \"@/ca.pem\", sni = \"a.test\" }";
    let mut lbd = start(knowing(&authority), NO_CHECK, tls, front.addr());
    let mut wire = Wire::connect(lbd.addr());
    let mut ask = || wire.send(request("GET", "/")).response().status;
    let asked_for = || -> Vec<_> { front.shook().iter().filter_map(|s| s.sni.clone()).collect() };
    assert_eq!([ask(), ask()], [200; 2]);
    lbd.reload().exits(0);
    assert_eq!(ask(), 200);
    assert_eq!(asked_for(), ["a.test"]);
    lbd.rewrite_with(|config| config.replace("a.test", "b.test"));
    lbd.reload().exits(0);
    assert_eq!(ask(), 200);
    assert_eq!(asked_for(), ["a.test", "b.test"]);

    // The same configuration, and another authority.
    fs::write(lbd.folder().join("ca.pem"), Authority::new().root()).expect("the folder is ours");
    lbd.reload().exits(0);
    assert_eq!(ask(), 503);
    fs::write(lbd.folder().join("ca.pem"), authority.root()).expect("the folder is ours");
    lbd.reload().exits(0);
    assert_eq!(ask(), 200);

    // In the clear again.
    lbd.rewrite_with(|config| {
        config.replace(&front.addr().to_string(), &origin.addr().to_string())
    });
    lbd.rewrite_with(|config| config.replace("tls = {", "# tls = {"));
    lbd.reload().exits(0);
    assert_eq!(ask(), 200);
}

#[test]
fn a_request_goes_to_another_server_where_one_cannot_be_trusted() {
    let authority = Authority::new();
    let origin = Origin::start("b");
    let bad = TlsFront::showing(&Authority::new().issue(&["127.0.0.1"])).before(origin.addr());
    let good = TlsFront::showing(&authority.issue(&["127.0.0.1"])).before(origin.addr());
    let setup = knowing(&authority);
    let tls = CA.replace('@', &setup.folder().display().to_string());
    let servers = [("a", bad.addr()), ("b", good.addr())];
    let config = app_at(&format!("{NO_CHECK}\ntls = {tls}"), servers);
    let lbd = setup.config(config).start();
    for _ in 0..4 {
        assert_eq!(get(lbd.addr(), "/").status, 200);
    }
    assert!(lbd.server("app/a").errors.connect >= 2);
    assert_eq!(bad.shook(), []);
}

#[test]
fn a_tunnel_goes_through_tls_to_the_server() {
    const MUCH: usize = 8_000_000;
    let authority = Authority::new();
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 101 Go on\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhi");
        let up = peer.bytes(MUCH);
        assert!(up == pattern(MUCH));
        peer.send(pattern(MUCH));
    });
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"])).before(origin.addr());
    let lbd = start(knowing(&authority), NO_CHECK, CA, front.addr());
    let mut wire = Wire::connect(lbd.addr());
    wire.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    assert_eq!(wire.head().expect("it is upgraded").status, 101);
    assert_eq!(wire.bytes(2), Ok(b"hi".to_vec()));
    wire.send(pattern(MUCH));
    let (down, _) = wire.rest();
    assert!(down == pattern(MUCH));
    drop(wire);
    no_session_is_left(&lbd);
}

#[test]
fn mode_tcp_speaks_tls_to_servers_and_ends_are_passed_on() {
    const MUCH: usize = 8_000_000;
    let authority = Authority::new();
    let origin = RawOrigin::start(|peer| {
        let mut sender = peer.another();
        let sending = thread::spawn(move || sender.send(pattern(MUCH)));
        let up = peer.bytes(MUCH);
        assert!(up == pattern(MUCH));
        assert_eq!(peer.closed(), End::Eof);
        sending.join().expect("it sends");
        peer.send("the last word");
    });
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"])).alpn(&["imap"]);
    let front = front.introduced().before(origin.addr());
    let setup = knowing(&authority);
    let tls = "{ ca = \"@/ca.pem\", alpn = [\"imap\"] }";
    let tls = tls.replace('@', &setup.folder().display().to_string());
    let config = tcp(&format!("tls = {tls}"), &[("a", front.addr())])
        .replace("\" },", "\", send_proxy = \"v1\" },");
    let lbd = setup.config(config).start();
    let mut wire = Wire::connect(lbd.addr());
    let port = wire.local_addr().port();
    let mut sender = wire.another();
    let sending = thread::spawn(move || {
        let up: Vec<u8> = pattern(MUCH);
        sender.send(up).finish();
    });
    let (mut down, end) = wire.rest();
    sending.join().expect("it sends");
    assert_eq!(end, End::Eof);
    assert_eq!(down.split_off(MUCH), b"the last word");
    assert!(down == pattern(MUCH));
    no_session_is_left(&lbd);
    let shook = &front.shook()[0];
    assert_eq!(shook.alpn.as_deref(), Some("imap"));
    let introduced = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n",
        lbd.addr().port()
    );
    assert_eq!(shook.introduction, introduced);
}

#[test]
fn a_proxy_header_goes_before_the_handshake() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"])).introduced();
    let front = front.before(origin.addr());
    let setup = knowing(&authority);
    let config = config(&setup, &check("type = \"http\""), CA, front.addr())
        .replace("\" },", "\", send_proxy = \"v1\" },");
    let lbd = setup.config(config).start();
    lbd.wait_until_healthy("app/a");
    assert_eq!(get(lbd.addr(), "/").status, 200);
    let shook = front.shook();
    let is_of_client = |line: &str| line.starts_with("PROXY TCP4 127.0.0.1 ");
    assert!(shook.iter().any(|s| is_of_client(&s.introduction)));
    assert!(shook.iter().any(|s| s.introduction == "PROXY UNKNOWN\r\n"));
}
