//! OCSP responses beside certificates: stapled byte for byte while they hold, read again with them, and
//! never another certificate's.

use std::fs;
use std::time::{Duration, SystemTime};

use lb_proto::request::ReloadCerts;
use lb_tests::ocsp::good;
use lb_tests::tls::Client;
use lb_tests::{Authority, Issued, Origin};

use crate::doctor::doctor;
use crate::tls::{config, setup};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// One that holds for so many days more.
fn days(about: &Issued, left: u32) -> Vec<u8> {
    let now = SystemTime::now();
    good(about, now - DAY, now + left * DAY)
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
    let [first, second, of_new] = [days(&old, 3), days(&old, 7), days(&new, 7)];
    write(&first);
    let lbd = setup.start();
    let client = Client::new(&authority, "a.test");
    let stapled = || client.staple(lbd.addr()).expect("it is shown one");
    assert_eq!(stapled(), first);
    write(&second);
    assert_eq!(stapled(), first);
    lbd.client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert_eq!(stapled(), second);

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
    write(&of_new);
    lbd.reload().exits(0);
    assert_eq!(stapled(), of_new);
    fs::remove_file(&staple).expect("it is there");
    lbd.reload().exits(0);
    assert_eq!(stapled(), b"");
    fs::create_dir(&staple).expect("the folder is ours");
    lbd.reload()
        .exits(0)
        .says("a.pem cannot be read and is not sent: it is no file");
}

#[test]
fn one_that_has_ended_is_not_sent_and_told_wherever_it_is_read() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let setup = setup(&config("", origin.addr()), &[("a.pem", &issued)]);
    let staple = setup.folder().join("certs/a.ocsp");
    let write = |bytes: &[u8]| fs::write(&staple, bytes).expect("the folder is ours");
    let now = SystemTime::now();
    write(&good(&issued, now - 8 * DAY, now - DAY));
    let told = "a.pem ended at ";
    setup.validate().exits(0).says(told);
    let lbd = setup.start();
    lbd.wait_for_log(told);
    let client = Client::new(&authority, "a.test");
    let stapled = || {
        client
            .staple(lbd.addr())
            .expect("it is shown a certificate")
    };
    assert_eq!(stapled(), b"");
    lbd.reload().exits(0).says(told).says("fetch a new one");
    assert_eq!(stapled(), b"");
    lbd.lbctl(["cert", "list"]).exits(0).says(told);
    doctor(&lbd, 1).problem("certificates", told);

    let renewed = days(&issued, 7);
    write(&renewed);
    let reload = lbd.reload().exits(0);
    assert!(!reload.stderr.contains("OCSP"), "{reload:#?}");
    assert_eq!(stapled(), renewed);
    let listed = lbd.lbctl(["cert", "list", "--json"]).exits(0).json();
    let until = &listed["certificates"][0]["ocsp_next_update"];
    assert!(
        until.as_str().is_some_and(|text| text.ends_with('Z')),
        "{listed}"
    );
}

#[test]
fn one_may_be_named_as_haproxy_names_it() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let setup = setup(&config("", origin.addr()), &[("a.pem", &issued)]);
    let certs = setup.folder().join("certs");
    let [as_haproxy, ours] = [3, 7].map(|left| days(&issued, left));
    fs::write(certs.join("a.pem.ocsp"), &as_haproxy).expect("the folder is ours");
    let lbd = setup.start();
    let client = Client::new(&authority, "a.test");
    let stapled = || client.staple(lbd.addr()).expect("it is shown one");
    assert_eq!(stapled(), as_haproxy);
    fs::write(certs.join("a.ocsp"), &ours).expect("the folder is ours");
    lbd.reload().exits(0);
    assert_eq!(stapled(), ours);
}

#[test]
fn what_is_no_response_is_told_and_not_sent() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let setup = setup(&config("", origin.addr()), &[("a.pem", &issued)]);
    let staple = setup.folder().join("certs/a.ocsp");
    let whole = days(&issued, 7);
    fs::write(&staple, &whole[..whole.len() - 1]).expect("the folder is ours");
    let lbd = setup.start();
    lbd.wait_for_log("a.pem cannot be understood and is not sent");
    let client = Client::new(&authority, "a.test");
    assert_eq!(client.staple(lbd.addr()).expect("it is shown one"), b"");
}
