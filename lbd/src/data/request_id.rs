//! `X-Request-Id`: what a request is known by in every log on its way.

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::hex;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives it an id where it has none. Where there are several it keeps the first that is one: what a server
/// would make of them nobody knows.
pub(super) fn ensure(headers: &mut HeaderMap) {
    let mut place = match headers.entry(REQUEST_ID) {
        Entry::Vacant(place) => {
            place.insert(random());
            return;
        }
        Entry::Occupied(place) => place,
    };
    let mut all = place.iter();
    if all.next().is_some_and(|id| !id.is_empty()) && all.next().is_none() {
        return;
    }
    let first = place.iter().find(|id| !id.is_empty()).cloned();
    place.insert(first.unwrap_or_else(random));
}

/// 128 bits of chance in hexadecimal.
fn random() -> HeaderValue {
    let halves = [fastrand::u64(..), fastrand::u64(..)].map(u64::to_ne_bytes);
    let mut text = [0; 32];
    hex::write(halves.as_flattened(), &mut text);
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
        for given in [&["edge"][..], &["edge", "other"], &["", "edge"]] {
            assert_eq!(ensured(given), ["edge"], "{given:?}");
        }
        let (one, other) = (ensured(&[]), ensured(&["", ""]));
        for made in [&one, &other] {
            assert_eq!(made.len(), 1);
            assert_eq!(made[0].len(), 32);
            assert!(made[0].bytes().all(|b| b.is_ascii_hexdigit()), "{made:?}");
        }
        assert_ne!(one, other);
    }
}
