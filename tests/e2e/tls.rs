//! TLS to clients: which certificate they are shown, what is passed on, and what is refused.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use lb_tests::config::silence;
use lb_tests::daemon::NO_CHECK;
use lb_tests::pattern::pattern;
use lb_tests::tls::Client;
use lb_tests::wire::{End, find, request, upload};
use lb_tests::{Authority, Issued, Lbd, Load, Origin, RawOrigin, Setup, Wire, eventually, is};
use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;
use serde_json::json;

/// A frontend that speaks TLS with what is in `certs`; `tls` are more keys of that table.
pub(crate) fn config(tls: &str, server: SocketAddr) -> String {
    format!(
        "[frontend.web]\n\
         bind = [{{ address = \"127.0.0.1:0\", tls = {{ certs = [\"certs\"]{tls} }} }}]\n\
         default_backend = \"app\"\n\n\
         [backend.app]\n{NO_CHECK}\nservers = [{{ name = \"a\", address = \"{server}\" }}]\n"
    )
}

/// A daemon that has these certificates, by file name.
pub(crate) fn start(config: &str, certs: &[(&str, &Issued)]) -> Lbd {
    setup(config, certs).start()
}

pub(crate) fn setup(config: &str, certs: &[(&str, &Issued)]) -> Setup {
    let setup = Setup::new("");
    let folder = setup.folder().join("certs");
    fs::create_dir(&folder).expect("the folder is ours");
    for (name, issued) in certs {
        issued.write(&folder, name);
    }
    let named = format!("\"{}\"", folder.display());
    setup.config(config.replace("\"certs\"", &named))
}

fn leaf(issued: &Issued) -> CertificateDer<'static> {
    issued.chain().swap_remove(0)
}

#[track_caller]
fn nothing_is_left(lbd: &Lbd) {
    eventually("every count is zero", || {
        let status = lbd.status();
        let frontend = &status.frontends[0];
        let sessions = status.backends[0].servers[0].sessions;
        is(
            (frontend.connections, frontend.sessions, sessions),
            (0, 0, 0),
        )
    });
}

#[test]
fn requests_come_by_tls_and_servers_are_told() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let lbd = start(&config("", origin.addr()), &[("a.pem", &issued)]);
    let client = Client::new(&authority, "a.test");
    let secure = client.before(lbd.addr());
    let mut wire = Wire::connect(secure);
    let body: Vec<u8> = pattern(3_000_000);
    for _ in 0..2 {
        let echo = wire.send(upload("POST", "/echo", &body)).response().json();
        assert_eq!(echo["body_length"], body.len());
        let port = lbd.addr().port().to_string();
        let headers = echo["headers"].as_array().expect("a list");
        assert!(headers.contains(&json!(["x-forwarded-proto", "https"])));
        assert!(headers.contains(&json!(["x-forwarded-port", port])));
        for target in ["/bytes?n=5000000", "/bytes?n=5000000&chunked"] {
            let response = wire.send(request("GET", target)).response();
            assert!(response.body == pattern(5_000_000));
        }
    }
    drop(wire);
    let load = Load::on(secure).clients(4).start();
    load.go_on_for(500);
    load.stop().assert_clean();
    nothing_is_left(&lbd);
}

#[test]
fn the_name_asked_for_decides_what_is_shown() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let first = authority.issue(&["first.test"]);
    let second = authority.issue(&["second.test", "*.second.test"]);
    let certs = [("1.pem", &first), ("2.pem", &second)];
    let lbd = start(&config("", origin.addr()), &certs);
    for (name, shown) in [
        ("first.test", &first),
        ("second.test", &second),
        ("Www.Second.test", &second),
    ] {
        let shaken = Client::new(&authority, name).shake(lbd.addr());
        assert_eq!(shaken.expect(name).leaf, Some(leaf(shown)), "{name}");
    }
    let unnamed = Client::new(&authority, "first.test").without_sni();
    let shaken = unnamed.shake(lbd.addr()).expect("it is shown the first");
    assert_eq!(shaken.leaf, Some(leaf(&first)));

    let strict = start(&config(", strict_sni = true", origin.addr()), &certs);
    let named = Client::new(&authority, "www.second.test").shake(strict.addr());
    assert_eq!(named.expect("it is known").leaf, Some(leaf(&second)));
    assert!(unnamed.shake(strict.addr()).is_err());
    nothing_is_left(&strict);
}

#[test]
fn versions_and_protocols_are_as_configured() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let client = Client::new(&authority, "a.test");
    let lbd = start(&config("", origin.addr()), &[("a.pem", &issued)]);
    let shaken = client.clone().alpn(&["http/1.1"]).shake(lbd.addr());
    let shaken = shaken.expect("it is spoken");
    assert_eq!(shaken.version, ProtocolVersion::TLSv1_3);
    assert_eq!(shaken.alpn.as_deref(), Some("http/1.1"));
    let old = client.clone().tls12().shake(lbd.addr());
    let old = old.expect("1.2 is spoken");
    assert_eq!((old.version, old.alpn), (ProtocolVersion::TLSv1_2, None));
    let unknown = client.clone().alpn(&["spdy/3"]).shake(lbd.addr());
    assert!(unknown.is_err(), "{unknown:?}");

    let tls13 = config(", min_version = \"1.3\"", origin.addr());
    let lbd = start(&tls13, &[("a.pem", &issued)]);
    assert!(client.clone().tls12().shake(lbd.addr()).is_err());
    assert!(client.shake(lbd.addr()).is_ok());
}

#[test]
fn sessions_are_resumed_on_any_thread_and_after_a_reload() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let setup = setup(&config("", origin.addr()), &[("a.pem", &issued)]);
    let mut lbd = setup.global("threads = 2").start();
    for client in [
        Client::new(&authority, "a.test"),
        Client::new(&authority, "a.test").tls12(),
    ] {
        assert!(!client.shake(lbd.addr()).expect("the first").resumed);
        for _ in 0..6 {
            assert!(client.shake(lbd.addr()).expect("another").resumed);
        }
    }
    let client = Client::new(&authority, "a.test");
    client.shake(lbd.addr()).expect("the first");
    lbd.rewrite_with(|config| config + "retries = 1\n");
    lbd.reload().exits(0);
    assert!(client.shake(lbd.addr()).expect("one after").resumed);
}

#[test]
fn clients_show_certificates_where_they_must() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let (good, bad) = (clients.issue(&["joe"]), authority.issue(&["joe"]));
    let anonymous = Client::new(&authority, "a.test");
    let known = anonymous.clone().showing(&good);
    let unknown = anonymous.clone().showing(&bad);
    for (auth, lets_anonymous_in) in [
        ("", false),
        (", client_auth = \"optional\"", true),
        (", client_auth = \"none\"", true),
    ] {
        let setup = setup("", &[("a.pem", &issued)]);
        let ca = setup.folder().join("clients.crt");
        fs::write(&ca, clients.root()).expect("the folder is ours");
        let tls = format!(", client_ca = \"{}\"{auth}", ca.display());
        let certs = format!("\"{}\"", setup.folder().join("certs").display());
        let config = config(&tls, origin.addr()).replace("\"certs\"", &certs);
        let lbd = setup.config(config).start();
        assert!(known.shake(lbd.addr()).is_ok(), "{auth}");
        assert_eq!(
            anonymous.shake(lbd.addr()).is_ok(),
            lets_anonymous_in,
            "{auth}"
        );
        let asks = !auth.contains("none");
        assert_eq!(unknown.shake(lbd.addr()).is_err(), asks, "{auth}");
        nothing_is_left(&lbd);
    }
}

#[test]
fn what_is_no_handshake_ends_the_connection() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let config = config("", origin.addr()).replace(
        "\n\n[backend",
        &format!(
            "\ntimeouts = {{ {} }}\n\n[backend",
            silence("tls_handshake")
        ),
    );
    let lbd = start(&config, &[("a.pem", &issued)]);
    let [mut plain, mut silent, mut slow] = [(); 3].map(|()| Wire::connect(lbd.addr()));
    plain.send(request("GET", "/"));
    slow.send([0x16, 0x03, 0x01, 0x02]);
    for wire in [&mut plain, &mut silent, &mut slow] {
        assert_ne!(wire.rest().1, End::Silence);
    }
    Wire::connect(lbd.addr()).abort();
    nothing_is_left(&lbd);
    assert_eq!(lbd.server("app/a").sessions_total, 0);
    assert!(Client::new(&authority, "a.test").shake(lbd.addr()).is_ok());
}

#[test]
fn a_tunnel_goes_through_tls() {
    const MUCH: usize = 8_000_000;
    let authority = Authority::new();
    let origin = RawOrigin::start(|peer| {
        peer.head();
        peer.send("HTTP/1.1 101 Go on\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhi");
        let up = peer.bytes(MUCH);
        assert!(up == pattern(MUCH));
        peer.send(pattern(MUCH));
    });
    let issued = authority.issue(&["a.test"]);
    let lbd = start(&config("", origin.addr()), &[("a.pem", &issued)]);
    let mut wire = Wire::connect(Client::new(&authority, "a.test").before(lbd.addr()));
    wire.send("GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    assert_eq!(wire.head().expect("it is upgraded").status, 101);
    assert_eq!(wire.bytes(2), Ok(b"hi".to_vec()));
    wire.send(pattern(MUCH));
    let (down, _) = wire.rest();
    assert!(down == pattern(MUCH));
    drop(wire);
    nothing_is_left(&lbd);
}

#[test]
fn mode_tcp_speaks_tls_to_clients_and_ends_are_passed_on() {
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
    let issued = authority.issue(&["a.test"]);
    let config = config("", origin.addr())
        .replace("[frontend.web]\n", "[frontend.web]\nmode = \"tcp\"\n")
        .replace("[backend.app]\n", "[backend.app]\nmode = \"tcp\"\n");
    let lbd = start(&config, &[("a.pem", &issued)]);
    let mut wire = Wire::connect(Client::new(&authority, "a.test").before(lbd.addr()));
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
    nothing_is_left(&lbd);
}

#[test]
fn a_reload_shows_the_renewed_certificate_and_touches_no_connection() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [old, new] = [(); 2].map(|()| authority.issue(&["a.test"]));
    let lbd = start(&config("", origin.addr()), &[("a.pem", &old)]);
    let client = Client::new(&authority, "a.test").without_resumption();
    let shown = || client.shake(lbd.addr()).expect("it is shown one").leaf;
    let mut open = Wire::connect(client.before(lbd.addr()));
    assert_eq!(open.send(request("GET", "/")).response().status, 200);
    assert_eq!(shown(), Some(leaf(&old)));
    lbd.reload().exits(0);
    assert_eq!(shown(), Some(leaf(&old)));
    new.write(&lbd.folder().join("certs"), "a.pem");
    lbd.reload().exits(0);
    assert_eq!(shown(), Some(leaf(&new)));
    assert_eq!(open.send(request("GET", "/")).response().status, 200);

    // One that is of no use changes nothing.
    fs::write(lbd.folder().join("certs/a.pem"), &new.fullchain).expect("the folder is ours");
    lbd.reload().exits(3).says("a.pem").says("no private key");
    assert_eq!(shown(), Some(leaf(&new)));
    assert_eq!(open.send(request("GET", "/")).response().status, 200);
}

#[test]
fn what_is_wrong_with_a_file_is_told_by_its_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = authority.issue(&["a.test"]);
    let mixed = Issued {
        key: other.issue(&["b.test"]).key,
        ..good.clone()
    };
    let (from, to) = (UNIX_EPOCH, UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let expired = authority.issue_for(&["c.test"], from, to);
    let anywhere = "127.0.0.1:1".parse().expect("an address");
    let validated = |certs: &[(&str, &Issued)], change: fn(&Path)| {
        let setup = setup(&config("", anywhere), certs);
        change(&setup.folder().join("certs"));
        setup.validate()
    };
    validated(&[("mixed.pem", &mixed)], |_| {})
        .exits(3)
        .says("mixed.pem cannot be used")
        .says("belongs to none of its certificates")
        .says("tls = { certs = [");
    validated(&[], |_| {})
        .exits(3)
        .says("there is no .pem file");
    validated(&[("a.pem", &good)], |certs| {
        fs::remove_dir_all(certs).expect("the folder is ours");
    })
    .exits(3)
    .says("No such file");
    validated(&[("c.pem", &expired)], |_| {})
        .exits(0)
        .says("c.pem (c.test) expired");
    validated(&[("a.pem", &good)], |certs| {
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(certs.join("a.pem"), open).expect("the file is ours");
        fs::write(certs.join("b.crt"), "").expect("the folder is ours");
    })
    .exits(0)
    .says("everybody may read the key")
    .says("b.crt is not read");
}

#[test]
fn a_refusal_and_the_end_of_it_reach_a_client_under_tls() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let lbd = start(&config("", origin.addr()), &[("a.pem", &issued)]);
    let secure = Client::new(&authority, "a.test").before(lbd.addr());
    let mut wire = Wire::connect(secure);
    wire.send("no HTTP\r\n\r\n");
    let (answer, end) = wire.rest();
    assert!(find(&answer, b"400 Bad Request").is_some());
    assert_eq!(end, End::Eof);
    nothing_is_left(&lbd);
}
