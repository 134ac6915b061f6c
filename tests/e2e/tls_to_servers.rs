//! TLS to servers: who they are is verified, for requests and checks alike, and all else goes on as
//! in the clear.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use lb_proto::status::CheckResult;
use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::wire::get;
use lb_tests::{Authority, Issued, Lbd, Origin, Process, RawOrigin, Setup, TlsFront, eventually};

use crate::tcp::no_session_is_left;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A setup with `ca.pem`, the root of this authority.
pub(crate) fn knowing(authority: &Authority) -> Setup {
    let setup = Setup::new("");
    fs::write(setup.folder().join("ca.pem"), authority.root()).expect("the folder is ours");
    setup
}

/// One server, spoken to as `tls` says, where `@` is the setup's folder.
pub(crate) fn config(setup: &Setup, lines: &str, tls: &str, server: SocketAddr) -> String {
    let tls = tls.replace('@', &setup.folder().display().to_string());
    app_at(&format!("{lines}\ntls = {tls}"), [("a", server)])
}

pub(crate) fn start(setup: Setup, lines: &str, tls: &str, server: SocketAddr) -> Lbd {
    let config = config(&setup, lines, tls, server);
    setup.config(config).start()
}

pub(crate) const CA: &str = "{ ca = \"@/ca.pem\" }";

pub(crate) fn check(lines: &str) -> String {
    let patient = match lines.contains("timeout") {
        true => "",
        false => ", timeout = \"60s\"",
    };
    format!("health = {{ interval = \"50ms\", {lines}{patient} }}")
}

/// What a check says of the server.
#[track_caller]
pub(crate) fn checked(lbd: &Lbd) -> (CheckResult, String) {
    eventually("a check has spoken", || {
        let check = lbd.server("app/a").last_check;
        check
            .map(|check| (check.result, check.detail))
            .ok_or("nothing")
    })
}

#[test]
fn a_server_that_is_not_the_one_it_should_be_gets_nothing() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = authority.issue(&["127.0.0.1", "a.test", "*.apps.test"]);
    let now = SystemTime::now();
    let expired = authority.issue_for(&["127.0.0.1"], now - 9 * DAY, now - 5 * DAY / 2);
    let early = authority.issue_for(&["127.0.0.1"], now + DAY, now + 9 * DAY);
    let named = |sni| format!("{{ ca = \"@/ca.pem\", sni = \"{sni}\" }}");
    let cases = [
        (
            &stranger.issue(&["127.0.0.1"]),
            CA.to_owned(),
            "signed by another issuer than the one of that name who is trusted",
        ),
        (
            &good,
            named("b.test"),
            "is for 127.0.0.1, a.test, *.apps.test, not for b.test",
        ),
        (&good, named("x.y.apps.test"), "not for x.y.apps.test"),
        (
            &authority.issue(&["a.test"]),
            CA.to_owned(),
            "is for a.test, not for 127.0.0.1",
        ),
        (
            &expired,
            CA.to_owned(),
            "its certificate expired 2 days ago",
        ),
        (
            &Issued::by_itself(&["127.0.0.1"]),
            CA.to_owned(),
            "nobody issued its certificate but itself",
        ),
        (&early, CA.to_owned(), "is not valid yet"),
    ];
    let origin = Origin::start("a");
    for (shown, tls, why) in cases {
        let front = TlsFront::showing(shown).before(origin.addr());
        let lines = check("type = \"tcp\"");
        let lbd = start(knowing(&authority), &lines, &tls, front.addr());
        let (result, detail) = checked(&lbd);
        assert_eq!(result, CheckResult::L6RSP, "{detail}");
        assert!(detail.contains(why), "{detail}");

        let lines = format!("{NO_CHECK}\nretries = 0");
        let lbd = start(knowing(&authority), &lines, &tls, front.addr());
        assert_eq!(get(lbd.addr(), "/").status, 503);
        lbd.wait_for_log(why);
        lbd.wait_for_log("app/a");
        let server = lbd.server("app/a");
        assert_eq!((server.errors.connect, server.errors.response), (1, 0));
        assert_eq!(front.shook(), []);

        let unverified = start(
            knowing(&authority),
            NO_CHECK,
            "{ verify = false }",
            front.addr(),
        );
        assert_eq!(get(unverified.addr(), "/").status, 200);
    }
    assert_eq!(origin.requests(), 7);
    for sni in ["a.test", "A.test", "x.apps.test", "127.0.0.1"] {
        let front = TlsFront::showing(&good).before(origin.addr());
        let lbd = start(knowing(&authority), NO_CHECK, &named(sni), front.addr());
        assert_eq!(get(lbd.addr(), "/").status, 200, "{sni}");
        let sent = Some(sni.to_ascii_lowercase()).filter(|sni| sni != "127.0.0.1");
        assert_eq!(front.shook()[0].sni, sent);
    }
}

#[test]
fn a_server_may_have_made_its_certificate_itself() {
    let own = Issued::by_itself(&["127.0.0.1"]);
    let another = Issued::by_itself(&["127.0.0.1"]);
    let elsewhere = Issued::by_itself(&["a.test"]);
    let origin = Origin::start("a");
    for (shown, trusted, status) in [
        (&own, &own, 200),
        (&another, &own, 503),
        (&elsewhere, &elsewhere, 503),
    ] {
        let front = TlsFront::showing(shown).before(origin.addr());
        let setup = Setup::new("");
        fs::write(setup.folder().join("ca.pem"), &trusted.leaf).expect("the folder is ours");
        let lines = format!("{NO_CHECK}\nretries = 0");
        let lbd = start(setup, &lines, CA, front.addr());
        assert_eq!(get(lbd.addr(), "/").status, status);
    }
}

#[test]
fn a_host_name_is_what_is_asked_for() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let front = TlsFront::showing(&authority.issue(&["localhost"])).before(origin.addr());
    let setup = knowing(&authority);
    let config = config(&setup, NO_CHECK, CA, front.addr()).replace(
        &front.addr().to_string(),
        &format!("LOCALHOST:{}", front.addr().port()),
    );
    let lbd = setup.config(config).start();
    assert_eq!(get(lbd.addr(), "/").status, 200);
    assert_eq!(front.shook()[0].sni.as_deref(), Some("localhost"));
}

#[test]
fn a_server_is_shown_the_certificate_that_it_wants() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["127.0.0.1"]);
    let shows = "{ ca = \"@/ca.pem\", cert = \"@/own.pem\" }";
    for tls12 in [false, true] {
        let clients = Authority::new();
        let (own, bad) = (clients.issue(&["lbd"]), authority.issue(&["lbd"]));
        let front = TlsFront::showing(&issued).asking(&clients);
        let front = if tls12 { front.tls12() } else { front };
        let front = front.before(origin.addr());
        for (shown, tls, status) in [(&own, shows, 200), (&own, CA, 502), (&bad, shows, 502)] {
            let setup = knowing(&authority);
            shown.write(setup.folder(), "own.pem");
            let lbd = start(
                setup,
                &format!("{NO_CHECK}\nretries = 0"),
                tls,
                front.addr(),
            );
            // Under 1.3 the server looks at it after the handshake.
            let status = if tls12 && status == 502 { 503 } else { status };
            assert_eq!(get(lbd.addr(), "/").status, status, "{tls} {tls12}");
            match status {
                200 => assert_eq!(front.shook()[0].client, Some(own.chain().swap_remove(0))),
                _ if tls == CA && !tls12 => lbd.wait_for_log("it wants a certificate"),
                _ => lbd.wait_for_log("TLS with the server failed"),
            }
        }
    }
}

#[test]
fn a_handshake_that_does_not_end_is_a_connection_that_timed_out() {
    let authority = Authority::new();
    let silent = RawOrigin::start(|peer| {
        peer.closed();
    });
    let slow = "timeouts = { connect = \"200ms\" }";
    let lines = format!("{NO_CHECK}\n{slow}\nretries = 1");
    let lbd = start(knowing(&authority), &lines, CA, silent.addr());
    assert_eq!(get(lbd.addr(), "/").status, 503);
    assert_eq!(lbd.server("app/a").errors.connect, 2);
    no_session_is_left(&lbd);

    let lines = check("type = \"tcp\", timeout = \"100ms\"");
    let lbd = start(knowing(&authority), &lines, CA, silent.addr());
    let (result, detail) = checked(&lbd);
    assert_eq!(result, CheckResult::L6TOUT, "{detail}");
}

#[test]
fn what_speaks_no_tls_is_told_so() {
    let authority = Authority::new();
    let plain = RawOrigin::start(|peer| {
        peer.bytes(5);
        peer.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        peer.closed();
    });
    let closing = RawOrigin::start(|peer| {
        peer.bytes(5);
        peer.finish();
        peer.closed();
    });
    for (origin, why) in [
        (&plain, "what it speaks is no TLS"),
        (
            &closing,
            "it closed the connection in the midst of the handshake",
        ),
    ] {
        let lbd = start(
            knowing(&authority),
            &check("type = \"http\""),
            CA,
            origin.addr(),
        );
        let (result, detail) = checked(&lbd);
        assert_eq!(result, CheckResult::L6RSP, "{detail}");
        assert!(detail.contains(why), "{detail}");
    }
}

#[test]
fn checks_shake_hands() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"])).before(origin.addr());
    for (kind, expected) in [("tcp", CheckResult::L6OK), ("http", CheckResult::L7OK)] {
        let lines = check(&format!("type = \"{kind}\""));
        let lbd = start(knowing(&authority), &lines, CA, front.addr());
        assert_eq!(checked(&lbd).0, expected);
        lbd.wait_until_healthy("app/a");
        assert_eq!(get(lbd.addr(), "/").status, 200);
    }
    assert!(origin.requests_of("GET", "/") > 2);
}

#[test]
fn whom_the_system_trusts_is_trusted_unless_others_are_named() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let front = TlsFront::showing(&authority.issue(&["127.0.0.1"])).before(origin.addr());
    let trusting = |file: &str| {
        let setup = knowing(&authority);
        let config = config(&setup, NO_CHECK, "true", front.addr());
        let path = |name: &str| setup.folder().join(name).display().to_string();
        let (file, folder) = (path(file), path("none"));
        setup
            .config(config)
            .env("SSL_CERT_FILE", file)
            .env("SSL_CERT_DIR", folder)
    };
    let lbd = trusting("ca.pem").start();
    assert_eq!(get(lbd.addr(), "/").status, 200);

    let setup = trusting("nothing.pem");
    setup.write();
    let mut check = setup.command();
    check.arg("--check");
    Process::run(check)
        .exits(3)
        .says("this system has no certificate authorities")
        .says("ca-certificates")
        .says("tls = true");
}

#[test]
fn what_is_wrong_with_a_servers_files_is_told_by_name() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = authority.issue(&["lbd"]);
    let mixed = Issued {
        key: other.issue(&["lbd"]).key,
        ..good.clone()
    };
    let now = SystemTime::now();
    let expired = authority.issue_for(&["lbd"], now - 9 * DAY, now - 3 * DAY);
    let anywhere = "127.0.0.1:1".parse().expect("an address");
    let validated = |own: &Issued, ca: &str, mode: u32, tls: &str| {
        let setup = knowing(&authority);
        own.write(setup.folder(), "own.pem");
        let path = setup.folder().join("own.pem");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
        fs::write(setup.folder().join("ca.pem"), ca).expect("the folder is ours");
        let config = config(&setup, NO_CHECK, tls, anywhere);
        setup.config(config).validate()
    };
    let both = "{ ca = \"@/ca.pem\", cert = \"@/own.pem\" }";
    let root = authority.root();
    validated(&good, &root, 0o600, both).exits(0);
    validated(&mixed, &root, 0o600, both)
        .exits(3)
        .says("own.pem cannot be used")
        .says("belongs to none of its certificates");
    validated(&good, "", 0o600, both)
        .exits(3)
        .says("ca.pem cannot be used")
        .says("no certificate");
    validated(&good, &root, 0o600, "{ ca = \"@/ca.crt\" }")
        .exits(3)
        .says("ca.crt")
        .says("No such file");
    validated(&expired, &root, 0o600, both)
        .exits(0)
        .says("own.pem (lbd) expired");
    validated(&good, &root, 0o644, both)
        .exits(0)
        .says("everybody may read the key");
    validated(&good, &root, 0o600, "{ verify = false }")
        .exits(0)
        .says("anybody on the way to it can take its place");
}
