//! PEM as text (RFC 7468).

use std::borrow::Cow;

use ::pem::{EncodeConfig, LineEnding, Pem, encode_config};
use rustls_pki_types::PrivateKeyDer;

use super::Bundle;

/// The chain, leaf first, then the key: what `cat` makes of Certbot's files.
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
    let plain = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let sections = sections.iter().map(|one| encode_config(one, plain));
    sections.collect()
}

/// Without byte order marks, which editors of other systems put before a file's first line.
pub(super) fn without_marks(text: &[u8]) -> Cow<'_, [u8]> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let is_mark = |at: usize| text[at..].starts_with(MARK);
    if !(0..text.len()).any(is_mark) {
        return Cow::Borrowed(text);
    }
    let mut rest = text;
    let mut kept = Vec::with_capacity(text.len());
    while let Some(first) = rest.first() {
        rest = rest.strip_prefix(MARK).unwrap_or_else(|| {
            kept.push(*first);
            &rest[1..]
        });
    }
    Cow::Owned(kept)
}

/// Whether a key in it is encrypted: PKCS#8 says so in its label, older forms in a header.
pub(super) fn is_encrypted(text: &[u8]) -> bool {
    const MARK: &[u8] = b"ENCRYPTED";
    text.windows(MARK.len()).any(|window| window == MARK)
}
