//! What testssl.sh finds at a bind with nothing but its certificates configured.

use std::fs;
use std::process::Command;

use lb_tests::daemon::NO_CHECK;
use lb_tests::{Authority, Origin, Setup};
use serde_json::Value;

/// What it finds that is not about lbd.
const NOT_OURS: [(&str, &str); 4] = [
    ("engine_problem", "OpenSSL's, with which it asks"),
    (
        "cert_revocation",
        "the test's authority names no list and no responder in what it issues",
    ),
    (
        "sessionresumption_ticket",
        "its client has no input and may hang up before a ticket can come: another test resumes",
    ),
    (
        "security_headers",
        "of the server's answer, for it or `response_headers` to set",
    ),
];

/// Severities above LOW, and those that say that it could not look.
const TOO_MUCH: [&str; 5] = ["MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"];

#[test]
#[ignore = "needs testssl.sh"]
fn testssl_finds_nothing_above_low_with_default_settings() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let setup = Setup::new("");
    let folder = setup.folder().to_owned();
    let certs = folder.join("certs");
    fs::create_dir(&certs).expect("the folder is ours");
    authority.issue(&["a.test"]).write(&certs, "a.pem");
    authority.issue_rsa(&["a.test"]).write(&certs, "rsa.pem");
    let (root, found) = (folder.join("root.pem"), folder.join("found.json"));
    fs::write(&root, authority.root()).expect("the folder is ours");
    let server = origin.addr();
    let config = format!(
        "[frontend.web]\nbind = {{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}\n\
         default_backend = \"app\"\n\n\
         [backend.app]\n{NO_CHECK}\nservers = [{{ name = \"a\", address = \"{server}\" }}]\n"
    );
    let lbd = setup.config(config).start();
    let mut testssl = Command::new("timeout");
    testssl
        .args([
            "20m",
            "testssl",
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "off",
        ])
        // Names are looked up nowhere, and nobody is asked beyond this machine.
        .args(["--nodns", "none", "--ip", "127.0.0.1", "--add-ca"])
        .arg(&root)
        .arg("--jsonfile")
        .arg(&found)
        .arg(format!("a.test:{}", lbd.addr().port()))
        .env("TERM", "dumb")
        .current_dir(&folder);
    // Some minutes: longer than the harness waits for a program.
    let output = testssl.output().expect("it is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let found = fs::read_to_string(&found).unwrap_or_else(|e| panic!("no findings: {e}\n{said}"));
    let found: Value = serde_json::from_str(&found).expect("it writes JSON");
    let found = found.as_array().expect("a list");
    let id = |finding: &Value| finding["id"].as_str().unwrap_or_default().to_owned();
    for looked_at in [
        "TLS1_3",
        "cipher_order",
        "heartbleed",
        "ROBOT",
        "LUCKY13",
        "cert_trust <cert#1>",
    ] {
        let looked = found.iter().any(|finding| id(finding) == looked_at);
        assert!(looked, "{looked_at} is not in {found:#?}");
    }
    let bad: Vec<&Value> = found
        .iter()
        .filter(|finding| {
            TOO_MUCH
                .iter()
                .any(|severity| finding["severity"] == *severity)
        })
        .filter(|finding| {
            let id = id(finding);
            let id = id.split(' ').next().unwrap_or_default();
            !NOT_OURS.iter().any(|(other, _)| *other == id)
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}\n{said}");
}
