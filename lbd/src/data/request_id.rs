//! `X-Request-Id`: what a request is known by in every log on its way.

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives it an id where it has none.
pub(super) fn ensure(headers: &mut HeaderMap) {
    if headers.get(REQUEST_ID).is_none_or(HeaderValue::is_empty) {
        headers.insert(REQUEST_ID, random());
    }
}

/// 128 bits of chance in hexadecimal.
fn random() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    let bits = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
    for (digit, byte) in text.iter_mut().enumerate() {
        *byte = DIGITS[(bits >> (4 * digit)) as usize & 15];
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ensured(headers: &[&'static str]) -> Vec<String> {
        let mut map = HeaderMap::new();
        for id in headers {
            map.append(REQUEST_ID, HeaderValue::from_static(id));
        }
        ensure(&mut map);
        let ids = map.get_all(REQUEST_ID).iter();
        ids.map(|id| id.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_has_one_keeps_it_and_all_others_are_told_apart() {
        assert_eq!(ensured(&["from-the-edge"]), ["from-the-edge"]);
        let (one, other) = (ensured(&[]), ensured(&["", ""]));
        for made in [&one, &other] {
            assert_eq!(made.len(), 1);
            assert_eq!(made[0].len(), 32);
            assert!(made[0].bytes().all(|b| b.is_ascii_hexdigit()), "{made:?}");
        }
        assert_ne!(one, other);
    }
}
