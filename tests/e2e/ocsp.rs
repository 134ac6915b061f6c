//! OCSP responses beside certificates: stapled byte for byte, read again with them, and never another
//! certificate's.

use std::fs;

use lb_proto::request::ReloadCerts;
use lb_tests::tls::Client;
use lb_tests::{Authority, Issued, Origin};

use crate::tls::{config, setup};

/// As far as lbd looks: the serial number of the certificate, with something around it.
fn response(about: &Issued, words: &str) -> Vec<u8> {
    let leaf = &about.chain()[0];
    // A certificate begins with its version (RFC 5280, 4.1), the serial number follows.
    const VERSION: [u8; 5] = [0xa0, 3, 2, 1, 2];
    let at = leaf.windows(5).position(|window| window == VERSION);
    let serial = &leaf[at.expect("it has a version") + 5..];
    let serial = &serial[..2 + usize::from(serial[1])];
    [words.as_bytes(), serial, words.as_bytes()].concat()
}

#[test]
fn a_response_is_stapled_and_read_again_with_the_certificate() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [old, new] = [(); 2].map(|()| authority.issue(&["a.test"]));
    let setup = setup(&config("", origin.addr()), &[("a.pem", &old)]);
    let folder = setup.folder().join("certs");
    let staple = folder.join("a.ocsp");
    let write = |bytes: &[u8]| fs::write(&staple, bytes).expect("the folder is ours");
    write(&response(&old, "good"));
    let lbd = setup.start();
    let client = Client::new(&authority, "a.test");
    let stapled = || client.staple(lbd.addr()).expect("it is shown one");
    assert_eq!(stapled(), response(&old, "good"));
    write(&response(&old, "still good"));
    assert_eq!(stapled(), response(&old, "good"));
    lbd.client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert_eq!(stapled(), response(&old, "still good"));

    // Browsers take a response about another certificate for an attack.
    new.write(&folder, "a.pem");
    let read = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert!(
        read.warnings[0].contains("a.pem is for another certificate"),
        "{read:#?}"
    );
    assert_eq!(stapled(), b"");
    lbd.reload()
        .exits(0)
        .says("is for another certificate and is not sent");
    write(&response(&new, "good"));
    lbd.reload().exits(0);
    assert_eq!(stapled(), response(&new, "good"));
    fs::remove_file(&staple).expect("it is there");
    lbd.reload().exits(0);
    assert_eq!(stapled(), b"");
    fs::create_dir(&staple).expect("the folder is ours");
    lbd.reload()
        .exits(0)
        .says("a.pem cannot be read and is not sent: it is no file");
}
