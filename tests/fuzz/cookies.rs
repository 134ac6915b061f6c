//! The stickiness cookie on its way in and out: whatever fields come, ours goes and all else stays.
//!
//! The input is text of lines: Cookie fields up to an empty line, then fields of a response, of
//! which those that begin with `=` are Cache-Control and the others Set-Cookie.

#![no_main]

use std::sync::LazyLock;

use http::header::{CACHE_CONTROL, COOKIE, HeaderName, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use lb_proto::config;
use libfuzzer_sys::fuzz_target;

#[path = "../../lbd/src/data/cache_control.rs"]
mod cache_control;
#[allow(dead_code, reason = "the log uses the rest")]
#[path = "../../lbd/src/access_log/termination.rs"]
mod access_log;
#[allow(dead_code, reason = "the count of clients uses the rest")]
#[path = "../../lbd/src/data/sticky.rs"]
mod sticky;

static STICKY: LazyLock<sticky::Sticky> = LazyLock::new(|| {
    let text = "[frontend.web]\nbind = ':0'\ndefault_backend = 'app'\n\
        [backend.app]\nsticky = { cookie = 'S' }\n\
        servers = [{ name = 'a', address = '10.0.0.1:1' }, { name = 'b', address = '10.0.0.2:1' }]\n";
    let config = config::read("fuzz.toml", text).expect("a valid configuration");
    sticky::Sticky::new(&config.backends[0]).expect("a sticky backend")
});

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|b| *b == b'\n');
    let cookies = lines.by_ref().take_while(|line| !line.is_empty());
    let mut request = HeaderMap::new();
    cookies.for_each(|line| append(&mut request, COOKIE, line));
    let mut response = HeaderMap::new();
    for line in lines {
        match line {
            [b'=', rest @ ..] => append(&mut response, CACHE_CONTROL, rest),
            _ => append(&mut response, SET_COOKIE, line),
        }
    }
    passes(request, response);
});

/// As a parser of heads would.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value.trim_ascii()) {
        headers.append(name, value);
    }
}

fn passes(mut request: HeaderMap, mut response: HeaderMap) {
    let before = pairs(&request);
    let mut visit = STICKY.take(&mut request);
    let after = pairs(&request);
    let ours = |pair: &&Vec<u8>| cookie(pair).is_some();
    assert!(!after.iter().any(|pair| ours(&pair)));
    let others = |pairs: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let others = pairs.iter().filter(|pair| !ours(pair) && !pair.is_empty());
        others.cloned().collect()
    };
    assert_eq!(others(&after), others(&before));
    let named = before.iter().filter_map(|pair| cookie(pair));
    let wanted = named.clone().find_map(|value| match value {
        b"a" | b"\"a\"" => Some(0),
        b"b" | b"\"b\"" => Some(1),
        _ => None,
    });
    assert_eq!(visit.wanted(), wanted);

    visit.on(Some(0));
    let theirs = |headers: &HeaderMap| -> Vec<HeaderValue> {
        let all = headers.get_all(SET_COOKIE).iter();
        let theirs = all.filter(|field| set_name(field.as_bytes()) != b"S");
        theirs.cloned().collect()
    };
    let kept = theirs(&response);
    STICKY.give(&mut response, 0, &mut visit);
    assert_eq!(theirs(&response), kept);
    let all = response.get_all(SET_COOKIE).iter();
    let set = all
        .filter(|field| set_name(field.as_bytes()) == b"S")
        .count();
    assert_eq!(set, usize::from(wanted != Some(0)));
    if set == 1 {
        let directives: Vec<Vec<u8>> = response
            .get_all(CACHE_CONTROL)
            .iter()
            .flat_map(|field| unquoted_parts(field.as_bytes()))
            .collect();
        let says = |wanted: &[u8]| directives.iter().any(|d| d == wanted);
        assert!(says(b"private") || says(b"no-store"), "{response:?}");
        assert!(
            !says(b"public") && !says(b"proxy-revalidate"),
            "{response:?}"
        );
    }
    let flags = visit.flags().0;
    let expected = match (wanted, named.count()) {
        (None, 0) => b'N',
        (None, _) => b'I',
        (Some(0), _) => b'V',
        (Some(_), _) => b'D',
    };
    assert_eq!((flags[0], flags[1] == b'I'), (expected, set == 1));
}

fn pairs(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let fields = headers.get_all(COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|b| *b == b';'));
    pairs.map(|pair| blanks_off(pair).to_vec()).collect()
}

/// The value of our cookie, if the pair is one.
fn cookie(pair: &[u8]) -> Option<&[u8]> {
    let equals = pair.iter().position(|b| *b == b'=')?;
    (blanks_off(&pair[..equals]) == b"S").then(|| blanks_off(&pair[equals + 1..]))
}

fn set_name(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|b| matches!(b, b';' | b'='));
    blanks_off(&field[..end.unwrap_or(field.len())])
}

fn blanks_off(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Directives in lower case; what stands in quotes is left out.
fn unquoted_parts(field: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = field.iter();
    while let Some(b) = bytes.next() {
        match b {
            b',' => parts.push(Vec::new()),
            b'"' => {
                parts.last_mut().expect("never empty").push(b'"');
                while let Some(b) = bytes.next() {
                    match b {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => parts
                .last_mut()
                .expect("never empty")
                .push(b.to_ascii_lowercase()),
        }
    }
    parts
        .iter()
        .map(|part| part.trim_ascii().to_vec())
        .collect()
}
