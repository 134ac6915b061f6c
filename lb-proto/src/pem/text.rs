//! PEM as text (RFC 7468).

use ::pem::{EncodeConfig, LineEnding, Pem, encode_many_config};
use rustls_pki_types::PrivateKeyDer;

use super::Bundle;

/// The chain, leaf first, then the key.
pub fn to_pem(bundle: &Bundle) -> String {
    let label = match bundle.key_der {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    let mut sections: Vec<Pem> = bundle
        .chain
        .iter()
        .map(|certificate| Pem::new("CERTIFICATE", certificate.as_ref()))
        .collect();
    sections.push(Pem::new(label, bundle.key_der.secret_der()));
    encode_many_config(
        &sections,
        EncodeConfig::new().set_line_ending(LineEnding::LF),
    )
}

/// Whether a key in it is encrypted: PKCS#8 says so in its label, older forms in a header.
pub(super) fn is_encrypted(text: &[u8]) -> bool {
    const MARK: &[u8] = b"ENCRYPTED";
    text.windows(MARK.len()).any(|window| window == MARK)
}
