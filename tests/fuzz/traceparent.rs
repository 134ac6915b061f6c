//! `traceparent`: whatever comes is understood or is not, and what is understood goes on as it came.

#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

#[path = "../../lbd/src/data/hex.rs"]
mod hex;
#[path = "../../lbd/src/data/traceparent.rs"]
mod traceparent;

use traceparent::{Parent, SAMPLED, TRACEPARENT};

fuzz_target!(|input: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(input) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, value);
    let Some(parent) = Parent::of(&headers) else {
        return;
    };
    assert_ne!(parent.trace, [0; 16]);
    assert_ne!(parent.span, [0; 8]);
    assert_eq!(parent.is_sampled(), parent.flags & SAMPLED == SAMPLED);
    let written = parent.value();
    assert_eq!(written.len(), 55);
    assert_eq!(&written.as_bytes()[2..53], &input[2..53]);
    headers.insert(TRACEPARENT, written);
    assert_eq!(Parent::of(&headers), Some(parent));
    let again = headers[TRACEPARENT].clone();
    headers.append(TRACEPARENT, again);
    assert_eq!(Parent::of(&headers), None);
});
