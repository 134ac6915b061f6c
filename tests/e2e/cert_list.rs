//! `lbctl cert list`: what is there, and what of it is served.

use std::fs;

use lb_proto::request::ReloadCerts;
use lb_tests::{Authority, Lbd, Origin, lbctl};
use serde_json::{Value, json};

use crate::tls::{config, start};

fn listed(lbd: &Lbd) -> Value {
    lbd.lbctl(["cert", "list", "--json"]).exits(0).json()["certificates"].take()
}

#[test]
fn where_each_is_served_is_told() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let [a, hidden, newer] = [(); 3].map(|()| authority.issue(&["a.test"]));
    let certs = [("a.pem", &a), ("hidden.pem", &hidden)];
    let lbd = start(&config("", origin.addr()), &certs);
    let folder = lbd.folder().join("certs");
    let list = listed(&lbd);
    assert_eq!(list[0]["served"], json!([lbd.addr().to_string()]));
    assert_eq!(list[1]["served"], json!([]));
    let table = lbd.lbctl(["cert", "list"]).exits(0);
    assert!(
        table.stdout.contains("SERVED AT") && table.stdout.contains("nowhere"),
        "{table:#?}"
    );

    // A renewal that nobody told the daemon of.
    newer.write(&folder, "a.pem");
    let list = listed(&lbd);
    assert_eq!(list[0]["fingerprint"], newer.fingerprint());
    assert_eq!(list[0]["served"], json!([]));
    assert_eq!(list[0]["served_fingerprint"], a.fingerprint());
    lbd.lbctl(["cert", "list"])
        .exits(0)
        .says("no, an older one")
        .says("a.pem held before: lbctl reload has it read again");
    lbd.client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    assert_eq!(listed(&lbd)[0]["served"], json!([lbd.addr().to_string()]));

    fs::remove_file(folder.join("a.pem")).expect("it is there");
    lbd.lbctl(["cert", "list"])
        .exits(0)
        .says("a.pem, which is no longer there, until it is reloaded");
}

#[test]
fn without_a_daemon_nothing_is_said_of_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let authority = Authority::new();
    authority.issue(&["a.test"]).write(folder.path(), "a.pem");
    let socket = folder.path().join("none.sock");
    let list = |args: &[&str]| {
        let mut command = lbctl::command(&socket, ["cert", "list", "--certs"]);
        command.arg(folder.path()).args(args);
        lb_tests::Process::run(command).exits(0)
    };
    assert!(!list(&[]).stdout.contains("SERVED"));
    assert_eq!(
        list(&["--json"]).json()["certificates"][0].get("served"),
        None
    );
}
