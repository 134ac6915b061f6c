//! What handshakes come to, and whom a session that is resumed lets in: nobody whom a whole handshake would not.

use std::fs;
use std::time::{Duration, SystemTime};

use lb_tests::tls::Client;
use lb_tests::{Authority, Lbd, Origin, Setup, eventually};

use rustls::NamedGroup;
use rustls::crypto::aws_lc_rs::kx_group;

use crate::tls::{config, setup};

/// A daemon that wants certificates of `clients`, and where it reads whose those are.
fn asking(server: &Authority, clients: &Authority, origin: &Origin, more: &str) -> Lbd {
    let issued = server.issue(&["a.test"]);
    let setup: Setup = setup("", &[("a.pem", &issued)]);
    let path = |name: &str| setup.folder().join(name).display().to_string();
    let (ca, certs) = (path("clients.crt"), format!("\"{}\"", path("certs")));
    fs::write(&ca, clients.root()).expect("the folder is ours");
    let config = config(&format!(", client_ca = \"{ca}\"{more}"), origin.addr());
    setup.config(config.replace("\"certs\"", &certs)).start()
}

#[test]
fn who_knows_a_hybrid_of_the_day_after_quantum_computers_gets_it() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let lbd = setup(&config("", origin.addr()), &[("a.pem", &issued)]).start();
    let client = Client::new(&authority, "a.test");
    let group = |client: Client| client.shake(lbd.addr()).expect("they agree").group;
    for only in [
        kx_group::X25519MLKEM768,
        kx_group::X25519,
        kx_group::SECP256R1,
    ] {
        assert_eq!(group(client.clone().by(only)), Some(only.name()));
    }
    assert_eq!(group(client), Some(NamedGroup::X25519MLKEM768));
}

/// As a client asks by the latest version of TLS, and by the one before.
fn versions() -> [fn(Client) -> Client; 2] {
    [|client| client, Client::tls12]
}

#[test]
fn no_session_outlives_the_certificate_that_its_client_showed() {
    const LASTS: Duration = Duration::from_secs(15);
    let (server, clients) = (Authority::new(), Authority::new());
    let origin = Origin::start("a");
    let lbd = asking(&server, &clients, &origin, "");
    let now = SystemTime::now();
    let own = clients.issue_for(&["joe"], now - LASTS, now + LASTS);
    let both = versions().map(|version| {
        let client = version(Client::new(&server, "a.test").showing(&own));
        assert!(!client.shake(lbd.addr()).expect("the first").resumed);
        assert!(client.shake(lbd.addr()).expect("another").resumed);
        client
    });
    for client in both {
        // Each that is resumed is given tickets of its own.
        eventually("it is refused", || match client.shake(lbd.addr()) {
            Ok(shaken) => Err(format!("{shaken:?}")),
            Err(_) => Ok(()),
        });
    }
}

#[test]
fn no_session_outlives_what_clients_have_to_show() {
    let [server, clients, others] = [(); 3].map(|()| Authority::new());
    let origin = Origin::start("a");
    for version in versions() {
        let mut lbd = asking(&server, &clients, &origin, ", client_auth = \"optional\"");
        let anonymous = Client::new(&server, "a.test");
        let known = version(anonymous.clone().showing(&clients.issue(&["joe"])));
        let anonymous = version(anonymous);
        for client in [&anonymous, &known] {
            assert!(!client.shake(lbd.addr()).expect("the first").resumed);
            assert!(client.shake(lbd.addr()).expect("another").resumed);
        }
        lbd.rewrite_with(|config| config.replace("optional", "required"));
        lbd.reload().exits(0);
        assert!(anonymous.shake(lbd.addr()).is_err(), "it shows nothing");
        assert!(!known.shake(lbd.addr()).expect("it shows one").resumed);
        assert!(known.shake(lbd.addr()).expect("another").resumed);
        // The configuration says the same, and the file that it names does not.
        let ca = lbd.folder().join("clients.crt");
        fs::write(ca, others.root()).expect("the folder is ours");
        lbd.reload().exits(0);
        assert!(
            known.shake(lbd.addr()).is_err(),
            "nobody knows its authority"
        );
    }
}
