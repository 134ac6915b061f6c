//! OCSP responses as an authority signs them: what lbd makes of them, and what OpenSSL does of what
//! lbd staples.

use std::fs;
use std::path::Path;
use std::process::Command;

use lb_tests::daemon::NO_CHECK;
use lb_tests::{Lbd, Process, Setup};

use crate::openssl::s_client;

/// An authority, a certificate of it, and what `index.txt` says of that.
const SCRIPT: &str = r#"
set -eu
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $new -keyout ca.key -out ca.pem -days 30 -subj /CN=Authority
openssl req $new -keyout leaf.key -out leaf.csr -subj /CN=a.test
echo subjectAltName=DNS:a.test > leaf.ext
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 0x1234567890abcdef \
    -days 30 -extfile leaf.ext -out leaf.pem
openssl ocsp -issuer ca.pem -cert leaf.pem -reqout request.der
printf "$STATUS\t1234567890ABCDEF\tunknown\t/CN=a.test\n" > index.txt
openssl ocsp -index index.txt -CA ca.pem -rsigner ca.pem -rkey ca.key $HOLDS \
    -reqin request.der -respout certs/a.ocsp
cat leaf.pem leaf.key > certs/a.pem
chmod 0600 certs/a.pem
"#;

/// What `index.txt` has of a certificate that is good, and of one that is no longer.
const GOOD: &str = r"V\t350101000000Z\t";
const REVOKED: &str = r"R\t350101000000Z\t260101000000Z,keyCompromise";

const A_WEEK: &str = "-ndays 7";

/// A daemon with such a certificate. `holds`: how the authority tells until when.
fn start(status: &str, holds: &str) -> Lbd {
    let setup = Setup::new("");
    let folder = setup.folder().to_owned();
    let certs = folder.join("certs");
    fs::create_dir(&certs).expect("the folder is ours");
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).current_dir(&folder);
    command.env("STATUS", status).env("HOLDS", holds);
    Process::run(command).exits(0);
    let config = format!(
        "[frontend.web]\nbind = {{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}\n\
         default_backend = \"app\"\n\n\
         [backend.app]\n{NO_CHECK}\nservers = [{{ name = \"a\", address = \"127.0.0.1:1\" }}]\n"
    );
    setup.config(config).start()
}

/// What OpenSSL says of a handshake.
fn shown(lbd: &Lbd, version: &str) -> String {
    let ca: &Path = &lbd.folder().join("ca.pem");
    s_client(lbd.addr(), "a.test", ca, &format!("-status {version}"))
}

#[track_caller]
fn says(said: &str, words: &[&str]) {
    for what in words {
        assert!(said.contains(what), "{what:?} is not in {said}");
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_finds_the_stapled_response_good() {
    let lbd = start(GOOD, A_WEEK);
    for version in ["-tls1_3", "-tls1_2"] {
        says(
            &shown(&lbd, version),
            &[
                "OCSP Response Status: successful",
                "Cert Status: good",
                "Serial Number: 1234567890ABCDEF",
            ],
        );
    }
    assert!(!lbd.log().contains("OCSP"), "{}", lbd.log());
}

#[test]
#[ignore = "needs openssl"]
fn that_a_certificate_is_revoked_is_stapled_and_told() {
    let lbd = start(REVOKED, A_WEEK);
    lbd.wait_for_log("a.pem says that the certificate is revoked");
    says(&shown(&lbd, "-tls1_3"), &["Cert Status: revoked"]);
}

#[test]
#[ignore = "needs openssl"]
fn what_says_nothing_of_use_is_not_stapled() {
    const NONE: &str = "OCSP response: no response sent";
    // Of whoever is in no index, an authority knows nothing.
    let unknown = start(r"V\t350101000000Z\t\t01\tunknown\t/CN=b.test\n#", A_WEEK);
    unknown.wait_for_log("a.pem says that the authority does not know the certificate");
    says(&shown(&unknown, "-tls1_3"), &[NONE]);
    let endless = start(GOOD, "");
    endless.wait_for_log("a.pem does not say until when it holds");
    says(&shown(&endless, "-tls1_3"), &[NONE]);
}
