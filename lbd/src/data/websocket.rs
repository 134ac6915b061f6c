//! How a WebSocket's server proves that it knows what it was asked (RFC 6455, 4.2.2). Pure.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;

/// What is added to a key for its proof (RFC 6455, 1.3).
const WEBSOCKET: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key of these bytes.
pub(super) fn key(nonce: u128) -> HeaderValue {
    value(BASE64_STANDARD.encode(nonce.to_be_bytes()))
}

/// What a server makes of a key.
pub(super) fn accept(key: &[u8]) -> HeaderValue {
    let proof = [key, WEBSOCKET].concat();
    let proof = digest(&SHA1_FOR_LEGACY_USE_ONLY, &proof);
    value(BASE64_STANDARD.encode(proof))
}

fn value(base64: String) -> HeaderValue {
    HeaderValue::try_from(base64).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, 1.3 has the example.
    #[test]
    fn a_websocket_is_proved_as_the_rfc_has_it() {
        let nonce = BASE64_STANDARD.decode("dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        let key = key(u128::from_be_bytes(nonce.try_into().unwrap()));
        assert_eq!(key, "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(key.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
