//! An OCSP response as an authority signs it, stapled by lbd and verified by OpenSSL.

use std::fs;
use std::process::Command;

use lb_tests::daemon::NO_CHECK;
use lb_tests::{Origin, Process, Setup};

use crate::openssl::s_client;

/// An authority, a certificate of it, and what it says of that: it is good.
const SCRIPT: &str = r#"
set -eu
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $new -keyout ca.key -out ca.pem -days 30 -subj /CN=Authority
openssl req $new -keyout leaf.key -out leaf.csr -subj /CN=a.test
echo subjectAltName=DNS:a.test > leaf.ext
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 0x1234567890abcdef \
    -days 30 -extfile leaf.ext -out leaf.pem
printf 'V\t350101000000Z\t\t1234567890ABCDEF\tunknown\t/CN=a.test\n' > index.txt
openssl ocsp -issuer ca.pem -cert leaf.pem -reqout request.der
openssl ocsp -index index.txt -CA ca.pem -rsigner ca.pem -rkey ca.key -ndays 7 \
    -reqin request.der -respout certs/a.ocsp
cat leaf.pem leaf.key > certs/a.pem
chmod 0600 certs/a.pem
"#;

#[test]
#[ignore = "needs openssl"]
fn openssl_finds_the_stapled_response_good() {
    let origin = Origin::start("a");
    let setup = Setup::new("");
    let folder = setup.folder().to_owned();
    let certs = folder.join("certs");
    fs::create_dir(&certs).expect("the folder is ours");
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).current_dir(&folder);
    Process::run(command).exits(0);
    let server = origin.addr();
    let config = format!(
        "[frontend.web]\nbind = {{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}\n\
         default_backend = \"app\"\n\n\
         [backend.app]\n{NO_CHECK}\nservers = [{{ name = \"a\", address = \"{server}\" }}]\n"
    );
    let lbd = setup.config(config).start();
    for version in ["-tls1_3", "-tls1_2"] {
        let flags = format!("-status {version}");
        let said = s_client(lbd.addr(), "a.test", &folder.join("ca.pem"), &flags);
        for what in [
            "OCSP Response Status: successful",
            "Cert Status: good",
            "Serial Number: 1234567890ABCDEF",
        ] {
            assert!(said.contains(what), "{what:?} is not in {said}");
        }
    }
}
