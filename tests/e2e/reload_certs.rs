//! `reload_certs`: the certificate files are read again, and nothing else.

use std::fs;
use std::path::PathBuf;

use lb_proto::request::ReloadCerts;
use lb_tests::tls::Client;
use lb_tests::wire::request;
use lb_tests::{Authority, Issued, Lbd, Origin, Wire};

use crate::tls::{config, start};

fn file(lbd: &Lbd, name: &str) -> PathBuf {
    lbd.folder().join("certs").join(name)
}

/// The fingerprint that a client is shown who begins a session for this name.
pub(crate) fn shown(authority: &Authority, lbd: &Lbd, name: &str) -> String {
    let client = Client::new(authority, name).without_resumption();
    let leaf = client.shake(lbd.addr()).expect("it is shown one").leaf;
    lb_proto::pem::fingerprint(&leaf.expect("a session of its own"))
}

fn renew(lbd: &Lbd, name: &str, issued: &Issued) {
    issued.write(&lbd.folder().join("certs"), name);
}

#[test]
fn new_handshakes_show_what_the_files_hold_now_and_nothing_else_changes() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [old, new] = [(); 2].map(|()| authority.issue(&["a.test"]));
    let mut lbd = start(&config("", origin.addr()), &[("a.pem", &old)]);
    let before = lbd.status();
    let resuming = Client::new(&authority, "a.test");
    resuming.shake(lbd.addr()).expect("the first");
    let mut open = Wire::connect(resuming.before(lbd.addr()));
    assert_eq!(open.send(request("GET", "/")).response().status, 200);

    let same = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert!(!same.changed);
    // The file is being edited: that is nothing to it.
    lbd.rewrite("half a configuration");
    renew(&lbd, "a.pem", &new);
    let read = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert!(read.changed && read.unusable.is_empty() && read.warnings.is_empty());
    let told = &read.shown[0];
    assert_eq!(told.file, file(&lbd, "a.pem").display().to_string());
    assert_eq!(told.fingerprint, new.fingerprint());
    assert_eq!(
        (told.frontend.as_str(), &told.bind),
        ("web", &lbd.addr().to_string())
    );
    assert_eq!(
        (&*told.names, told.default),
        (&["a.test".to_owned()][..], true)
    );

    assert_eq!(shown(&authority, &lbd, "a.test"), new.fingerprint());
    assert!(resuming.shake(lbd.addr()).expect("another").resumed);
    assert_eq!(open.send(request("GET", "/")).response().status, 200);
    let after = lbd.status();
    assert_eq!(after.daemon.config.sha256, before.daemon.config.sha256);
    assert_eq!(after.daemon.config.generation, 1);
    let [certificate] = &*after.certificates else {
        panic!("{after:#?}");
    };
    assert_eq!(certificate.fingerprint, new.fingerprint());
    assert_eq!(certificate.binds, [lbd.addr().to_string()]);
    assert_eq!(certificate.days_left, 89);
    lbd.wait_for_log("certificates read again");
}

#[test]
fn files_that_come_and_go_are_followed() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [a, b] = ["a.test", "b.test"].map(|name| authority.issue(&[name]));
    let lbd = start(&config("", origin.addr()), &[("a.pem", &a)]);
    renew(&lbd, "b.pem", &b);
    lbd.client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert_eq!(shown(&authority, &lbd, "b.test"), b.fingerprint());
    assert_eq!(shown(&authority, &lbd, "a.test"), a.fingerprint());
    fs::remove_file(file(&lbd, "a.pem")).expect("it is there");
    let read = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert!(read.shown[0].default);
    let unnamed = Client::new(&authority, "b.test").without_sni();
    let leaf = unnamed.shake(lbd.addr()).expect("it is shown one").leaf;
    assert_eq!(leaf, Some(b.chain().swap_remove(0)));
}

#[test]
fn a_file_of_no_use_is_told_of_and_keeps_no_other_back() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [a, b, newer] = ["a.test", "b.test", "b.test"].map(|name| authority.issue(&[name]));
    let lbd = start(&config("", origin.addr()), &[("a.pem", &a), ("b.pem", &b)]);
    fs::write(file(&lbd, "a.pem"), &a.fullchain).expect("the folder is ours");
    renew(&lbd, "b.pem", &newer);
    let read = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    let [unusable] = &*read.unusable else {
        panic!("{read:#?}");
    };
    assert!(unusable.kept && unusable.message.contains("no private key"));
    assert_eq!(unusable.file, file(&lbd, "a.pem").display().to_string());
    assert_eq!(shown(&authority, &lbd, "a.test"), a.fingerprint());
    assert_eq!(shown(&authority, &lbd, "b.test"), newer.fingerprint());
    lbd.wait_for_log("no private key");

    fs::remove_dir_all(lbd.folder().join("certs")).expect("the folder is ours");
    let read = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert!(!read.changed && read.unusable[0].kept);
    assert_eq!(shown(&authority, &lbd, "b.test"), newer.fingerprint());
}

/// What clients must show is the configuration's.
#[test]
fn whose_clients_are_let_in_is_for_a_reload_to_change() {
    let [authority, clients, others] = [(); 3].map(|()| Authority::new());
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let ca = folder.path().join("clients.crt");
    fs::write(&ca, clients.root()).expect("the folder is ours");
    let tls = format!(", client_ca = {ca:?}");
    let lbd = start(&config(&tls, origin.addr()), &[("a.pem", &issued)]);
    fs::write(&ca, others.root()).expect("the folder is ours");
    renew(&lbd, "a.pem", &authority.issue(&["a.test"]));
    lbd.client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    let anonymous = Client::new(&authority, "a.test");
    let [known, unknown] =
        [&clients, &others].map(|by| anonymous.clone().showing(&by.issue(&["joe"])));
    assert!(known.shake(lbd.addr()).is_ok());
    assert!(unknown.shake(lbd.addr()).is_err());
    lbd.reload().exits(0);
    assert!(known.shake(lbd.addr()).is_err());
    assert!(unknown.shake(lbd.addr()).is_ok());
}
