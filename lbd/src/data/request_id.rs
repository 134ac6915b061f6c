//! `X-Request-Id`: what a request is known by in every log on its way.

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives it an id where it has none.
pub(super) fn ensure(headers: &mut HeaderMap) {
    match headers.entry(REQUEST_ID) {
        Entry::Vacant(place) => _ = place.insert(random()),
        Entry::Occupied(mut id) if id.get().is_empty() => _ = id.insert(random()),
        Entry::Occupied(_) => {}
    }
}

/// 128 bits of chance in hexadecimal.
fn random() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let halves = [fastrand::u64(..), fastrand::u64(..)].map(u64::to_ne_bytes);
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(halves.as_flattened()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
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
