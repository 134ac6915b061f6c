//! What `openssl s_client` is shown.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use lb_tests::Process;

/// The SHA-256 fingerprint, in hexadecimal, of the certificate that is shown for `name`; the chain must
/// lead to one of `authorities`.
#[track_caller]
pub(crate) fn fingerprint(addr: SocketAddr, name: &str, authorities: &Path) -> String {
    let said = s_client(addr, name, authorities, "");
    let (_, rest) = said.split_once("-----BEGIN").expect("it shows one");
    let (inner, _) = rest.split_once("-----END").expect("it ends");
    let leaf = format!("-----BEGIN{inner}-----END CERTIFICATE-----\n");
    let leaf = rustls::pki_types::pem::PemObject::from_pem_slice(leaf.as_bytes());
    let leaf: rustls::pki_types::CertificateDer<'_> = leaf.expect("it is a certificate");
    lb_proto::pem::fingerprint(&leaf)
}

/// What it says of a handshake; `more` are flags.
#[track_caller]
pub(crate) fn s_client(addr: SocketAddr, name: &str, authorities: &Path, more: &str) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-verify_return_error", "-verify_hostname", name])
        .args(["-servername", name, "-connect", &addr.to_string()])
        .arg("-CAfile")
        .arg(authorities)
        .args(more.split_whitespace());
    Process::run(command).exits(0).stdout
}
