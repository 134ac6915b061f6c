//! The cookie that leads a client back to its server (HAProxy configuration manual, `cookie … insert
//! indirect nocache`). Pure.
//!
//! The server never sees it, nor can it set one of that name. It is set where the client had none,
//! had one that means no server, or was answered by another server than it means; and an answer that
//! sets it is kept by no cache that clients share.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use lb_proto::config::{self, SameSite};

use super::cache_control;
use crate::access_log::CookieFlags;

/// Directives for shared caches alone, which would go by them and not by `Cache-Control` (RFC 9213,
/// 2.1, and its forerunner).
static FOR_SHARED_CACHES: [HeaderName; 2] = [
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
];

/// A backend's stickiness, ready for its requests.
#[derive(Debug, Clone)]
pub(super) struct Sticky {
    name: Box<[u8]>,
    /// Positions of servers by the value that means them.
    servers: HashMap<Box<[u8]>, usize>,
    values: Vec<Box<str>>,
    /// What a `Set-Cookie` says after the value.
    attributes: String,
}

impl Sticky {
    /// `None`: the backend is not sticky.
    pub(super) fn new(backend: &config::Backend) -> Option<Self> {
        let sticky = backend.sticky.as_ref()?;
        let values = backend.servers.iter().map(|server| server.cookie.as_str());
        Some(Self {
            name: sticky.cookie.as_bytes().into(),
            servers: values
                .clone()
                .enumerate()
                .map(|(position, value)| (value.as_bytes().into(), position))
                .collect(),
            values: values.map(Box::from).collect(),
            attributes: attributes(sticky),
        })
    }

    /// Takes the cookie out of a request and says what it means. Other cookies keep their bytes, a
    /// field without any goes. Where it came several times, the first that means a server counts:
    /// browsers send the one of the longest path first (RFC 6265, 5.4).
    pub(super) fn take(&self, headers: &mut HeaderMap) -> Visit {
        let mut cookie = Cookie::Absent;
        let mut hear = |value: &[u8]| {
            cookie = match (cookie, self.servers.get(value)) {
                (Cookie::Names(server), _) => Cookie::Names(server),
                (_, Some(server)) => Cookie::Names(*server),
                (_, None) => Cookie::Unknown,
            };
        };
        let mut left: Vec<HeaderValue> = Vec::new();
        for field in headers.get_all(COOKIE) {
            match without(field.as_bytes(), &self.name, &mut hear) {
                None => left.push(field.clone()),
                Some(rest) if rest.is_empty() => {}
                // What is left of a field value is one, too.
                Some(rest) => left.extend(HeaderValue::from_bytes(&rest)),
            }
        }
        if cookie != Cookie::Absent {
            replace(headers, COOKIE, left);
        }
        Visit::of(cookie)
    }

    /// Gives a response of the server at `position` the cookie, where the client needs it.
    pub(super) fn give(&self, headers: &mut HeaderMap, position: usize, visit: &mut Visit) {
        if self.forbid(headers) {
            visit.answer = Given::Removed;
        }
        if visit.cookie == Cookie::Names(position) {
            return;
        }
        if let Some(cookie) = self.set_cookie(position) {
            headers.append(SET_COOKIE, cookie);
            make_private(headers);
            visit.answer = Given::Set;
        }
    }

    /// Removes cookies of our name that the server set: only lbd knows what they would mean.
    fn forbid(&self, headers: &mut HeaderMap) -> bool {
        let is_ours = |field: &HeaderValue| {
            let pair = field.as_bytes().split(|b| *b == b';').next();
            let name = pair.and_then(|pair| pair.split(|b| *b == b'=').next());
            name.is_some_and(|name| trimmed(name) == &*self.name)
        };
        let fields = headers.get_all(SET_COOKIE);
        if !fields.iter().any(is_ours) {
            return false;
        }
        let left = fields.iter().filter(|field| !is_ours(field));
        replace(headers, SET_COOKIE, left.cloned().collect());
        true
    }

    fn set_cookie(&self, position: usize) -> Option<HeaderValue> {
        let value = self.values.get(position)?;
        let length = self.name.len() + 1 + value.len() + self.attributes.len();
        let mut cookie = Vec::with_capacity(length);
        cookie.extend_from_slice(&self.name);
        cookie.push(b'=');
        cookie.extend_from_slice(value.as_bytes());
        cookie.extend_from_slice(self.attributes.as_bytes());
        HeaderValue::from_maybe_shared(bytes::Bytes::from(cookie)).ok()
    }
}

/// Puts `values` in the place of all fields of this name.
fn replace(headers: &mut HeaderMap, name: HeaderName, values: Vec<HeaderValue>) {
    let mut values = values.into_iter();
    match values.next() {
        None => headers.remove(&name),
        Some(first) => headers.insert(&name, first),
    };
    for value in values {
        headers.append(&name, value);
    }
}

/// RFC 6265, 4.1.1.
fn attributes(sticky: &config::Sticky) -> String {
    let mut text = format!("; Path={}", sticky.path);
    if let Some(domain) = &sticky.domain {
        text += "; Domain=";
        text += domain;
    }
    if let Some(age) = sticky.max_age {
        text += &format!("; Max-Age={}", age.as_secs());
    }
    if sticky.http_only {
        text += "; HttpOnly";
    }
    if sticky.secure {
        text += "; Secure";
    }
    text += match sticky.same_site {
        Some(SameSite::Strict) => "; SameSite=Strict",
        Some(SameSite::Lax) => "; SameSite=Lax",
        Some(SameSite::None) => "; SameSite=None",
        None => "",
    };
    text
}

/// A Cookie field without the cookies of this name, whose values `hear` is told; `None` where there
/// is none. Pairs are parted by semicolons and nothing else (RFC 6265, 4.2.1): quotes hide none.
fn without(field: &[u8], name: &[u8], mut hear: impl FnMut(&[u8])) -> Option<Vec<u8>> {
    let mut ours = |pair: &[u8]| {
        let equals = pair.iter().position(|b| *b == b'=')?;
        let value = trimmed(&pair[equals + 1..]);
        (trimmed(&pair[..equals]) == name).then(|| hear(unquoted(value)))
    };
    let mut found = false;
    let mut rest = Vec::new();
    let mut first = true;
    for pair in field.split(|b| *b == b';') {
        if ours(pair).is_some() {
            found = true;
            continue;
        }
        if !first {
            rest.push(b';');
        }
        rest.extend_from_slice(pair);
        first = false;
    }
    if !found {
        return None;
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b';');
    // What is first or last now may have a blank beside it that stood in the midst.
    Some(match rest.iter().all(blank) {
        true => Vec::new(),
        false => trimmed(&rest).to_vec(),
    })
}

/// Without the blanks around it (RFC 9110, 5.6.3).
fn trimmed(text: &[u8]) -> &[u8] {
    let solid = |b: &u8| !matches!(b, b' ' | b'\t');
    let start = text.iter().position(solid).unwrap_or(text.len());
    let end = text.iter().rposition(solid).map_or(start, |last| last + 1);
    &text[start..end]
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

fn make_private(headers: &mut HeaderMap) {
    for name in &FOR_SHARED_CACHES {
        headers.remove(name);
    }
    let given = headers.get_all(CACHE_CONTROL).iter();
    let given: Vec<&[u8]> = given.map(HeaderValue::as_bytes).collect();
    let private = cache_control::private(&given);
    // Parts of field values, joined by commas, are one.
    if let Some(private) = private.and_then(|text| HeaderValue::from_bytes(&text).ok()) {
        headers.insert(CACHE_CONTROL, private);
    }
}

/// What the cookie of a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cookie {
    Absent,
    Unknown,
    /// The server at this position.
    Names(usize),
}

/// What an answer did about the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    Set,
    /// The server's own was taken out.
    Removed,
}

/// What the cookie did for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visit {
    sticky: bool,
    cookie: Cookie,
    /// The session is, or was last, on the server that the cookie names.
    followed: bool,
    /// Tells the client from others.
    client: u64,
    answer: Given,
}

impl Visit {
    /// Of a backend without stickiness.
    pub(super) const NONE: Self = Self {
        sticky: false,
        cookie: Cookie::Absent,
        followed: false,
        client: 0,
        answer: Given::Nothing,
    };

    fn of(cookie: Cookie) -> Self {
        Self {
            sticky: true,
            cookie,
            ..Self::NONE
        }
    }

    /// The server that the client is to go back to.
    pub(super) fn wanted(&self) -> Option<usize> {
        match self.cookie {
            Cookie::Names(server) => Some(server),
            Cookie::Absent | Cookie::Unknown => None,
        }
    }

    /// Whose request it is. Many clients may share an address; fewer share their User-Agent, too.
    pub(super) fn by(&mut self, address: IpAddr, headers: &HeaderMap) {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        let agent = headers.get(USER_AGENT);
        agent.map(HeaderValue::as_bytes).hash(&mut hasher);
        self.client = hasher.finish();
    }

    /// The server that the session is on now. Where the cookie led there, says whose.
    pub(super) fn on(&mut self, server: Option<usize>) -> Option<u64> {
        self.followed = server.is_some() && server == self.wanted();
        self.followed.then_some(self.client)
    }
}

impl Visit {
    /// The third and fourth flag of the access log.
    pub(super) fn flags(self) -> CookieFlags {
        if !self.sticky {
            return CookieFlags::default();
        }
        let request = match self.cookie {
            Cookie::Absent => b'N',
            Cookie::Unknown => b'I',
            Cookie::Names(_) if self.followed => b'V',
            Cookie::Names(_) => b'D',
        };
        let answer = match self.answer {
            Given::Nothing => b'N',
            Given::Set => b'I',
            Given::Removed => b'D',
        };
        CookieFlags([request, answer])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sticky(lines: &str) -> Sticky {
        let text = format!(
            "[frontend.web]\nbind = ':0'\ndefault_backend = 'app'\n[backend.app]\n{lines}\n\
             servers = [{{ name = 'w1', address = '10.0.0.1:1' }},\
             {{ name = 'w2', address = '10.0.0.2:1', cookie = 'second' }}]\n"
        );
        let config = config::read("test.toml", &text).unwrap();
        Sticky::new(&config.backends[0]).unwrap()
    }

    fn plain() -> Sticky {
        sticky("sticky = { cookie = 'SRVID' }")
    }

    fn map(name: HeaderName, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("a"));
        for value in values {
            headers.append(&name, HeaderValue::from_bytes(value).unwrap());
        }
        headers.insert("accept", HeaderValue::from_static("*/*"));
        headers
    }

    fn values(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.get_all(name).iter().map(text).collect()
    }

    /// What the cookies of a request mean, and which are left for the server.
    fn taken(fields: &[&str]) -> (Visit, Vec<String>) {
        let fields: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).collect();
        let mut headers = map(COOKIE, &fields);
        let visit = plain().take(&mut headers);
        (visit, values(&headers, COOKIE))
    }

    #[test]
    fn the_cookie_is_taken_out_and_nothing_else() {
        for (fields, wanted, left) in [
            (&["SRVID=w1"][..], Some(0), &[][..]),
            (&["a=1; SRVID=second; b=2"], Some(1), &["a=1; b=2"]),
            (&["SRVID=w1; a=1"], Some(0), &["a=1"]),
            (&["a=1; SRVID=w1"], Some(0), &["a=1"]),
            (&["a=1;SRVID=w1;b=2"], Some(0), &["a=1;b=2"]),
            (
                &["a=1 ;\t SRVID = w1 \t;  b=2 ; "],
                Some(0),
                &["a=1 ;  b=2 ;"],
            ),
            (&["SRVID=\"second\""], Some(1), &[]),
            (&["SRVID=w1;"], Some(0), &[]),
            (&["; ;SRVID=w1; "], Some(0), &[]),
            (&["a=1", "SRVID=w1", "b=2"], Some(0), &["a=1", "b=2"]),
            (&["SRVID=w1", "a=1; a=2;; x"], Some(0), &["a=1; a=2;; x"]),
            (&["a=\"b; SRVID=w1; c\""], Some(0), &["a=\"b; c\""]),
        ] {
            let (visit, rest) = taken(fields);
            assert_eq!(visit.wanted(), wanted, "{fields:?}");
            assert_eq!(rest, left, "{fields:?}");
        }
    }

    #[test]
    fn what_is_not_the_cookie_is_left_alone() {
        for field in [
            "a=1; b=2",
            "srvid=w1",
            "SRVID",
            "XSRVID=w1",
            "SRVID2=w1",
            "a=SRVID=w1",
            "",
            ";;",
            "=w1",
        ] {
            let (visit, rest) = taken(&[field]);
            assert_eq!((visit.wanted(), visit.cookie), (None, Cookie::Absent));
            assert_eq!(rest, [field]);
        }
    }

    #[test]
    fn the_first_that_means_a_server_counts_and_all_go() {
        let (visit, rest) = taken(&["SRVID=gone; SRVID=second", "SRVID=w1; a=1; SRVID="]);
        assert_eq!((visit.wanted(), rest), (Some(1), vec!["a=1".to_owned()]));
        for unknown in ["SRVID=", "SRVID=W1", "SRVID=w2", "SRVID=w1x", "SRVID=\"w1"] {
            let (visit, rest) = taken(&[unknown]);
            assert_eq!((visit.wanted(), visit.cookie), (None, Cookie::Unknown));
            assert!(rest.is_empty(), "{unknown}");
        }
    }

    #[test]
    fn a_response_gets_the_cookie_only_where_the_client_needs_it() {
        for (cookie, answered_by, flags) in [
            (&[][..], 0, "NI"),
            (&["SRVID=gone"], 0, "II"),
            (&["SRVID=w1"], 0, "VN"),
            (&["SRVID=w1"], 1, "DI"),
        ] {
            let (mut visit, _) = taken(cookie);
            visit.on(Some(answered_by));
            let mut headers = HeaderMap::new();
            plain().give(&mut headers, answered_by, &mut visit);
            assert_eq!(visit.flags().to_string(), flags);
            let set = [
                "SRVID=w1; Path=/; HttpOnly",
                "SRVID=second; Path=/; HttpOnly",
            ];
            match flags.ends_with('I') {
                true => {
                    assert_eq!(values(&headers, SET_COOKIE), [set[answered_by]]);
                    assert_eq!(values(&headers, CACHE_CONTROL), ["private"]);
                }
                false => assert!(headers.is_empty(), "{headers:?}"),
            }
        }
        let (mut visit, _) = taken(&["SRVID=w1"]);
        visit.on(None);
        assert_eq!(
            (
                visit.flags().to_string().as_str(),
                taken(&[]).0.flags().to_string().as_str()
            ),
            ("DN", "NN")
        );
        assert_eq!(Visit::NONE.flags().to_string(), "--");
    }

    #[test]
    fn the_attributes_are_those_of_the_configuration() {
        let sticky = sticky(
            "sticky = { cookie = '__Secure-x', secure = true, same_site = 'none', http_only = false,\
             max_age = '1h', path = '/app', domain = 'example.com' }",
        );
        let mut headers = HeaderMap::new();
        sticky.give(&mut headers, 1, &mut Visit::of(Cookie::Absent));
        assert_eq!(
            values(&headers, SET_COOKIE),
            [
                "__Secure-x=second; Path=/app; Domain=example.com; Max-Age=3600; Secure; SameSite=None"
            ]
        );
    }

    #[test]
    fn what_the_server_sets_under_our_name_does_not_arrive() {
        let given: [&[u8]; 4] = [
            b"a=1; Path=/",
            b" SRVID = evil; Path=/",
            b"SRVID",
            b"b=SRVID=2",
        ];
        let mut headers = map(SET_COOKIE, &given);
        let (mut visit, _) = taken(&["SRVID=w1"]);
        visit.on(Some(0));
        plain().give(&mut headers, 0, &mut visit);
        assert_eq!(values(&headers, SET_COOKIE), ["a=1; Path=/", "b=SRVID=2"]);
        assert_eq!(visit.flags().to_string(), "VD");
        let mut headers = map(SET_COOKIE, &given[1..2]);
        plain().give(&mut headers, 1, &mut Visit::of(Cookie::Absent));
        assert_eq!(
            values(&headers, SET_COOKIE),
            ["SRVID=second; Path=/; HttpOnly"]
        );
    }

    #[test]
    fn shared_caches_are_told_to_keep_out() {
        let mut headers = map(CACHE_CONTROL, &[b"public, max-age=60"]);
        headers.insert("cdn-cache-control", HeaderValue::from_static("max-age=600"));
        headers.insert("surrogate-control", HeaderValue::from_static("max-age=600"));
        plain().give(&mut headers, 0, &mut Visit::of(Cookie::Absent));
        assert_eq!(values(&headers, CACHE_CONTROL), ["private, max-age=60"]);
        assert!(
            !FOR_SHARED_CACHES
                .iter()
                .any(|name| headers.contains_key(name))
        );
    }

    /// A pair as it may stand in a field, near to our cookie as often as not.
    fn pair() -> impl Strategy<Value = String> {
        let name = prop_oneof!["SRVID", "srvid", "SRVI", "[a-c\"]{0,3}", "[!-:<-~]{0,6}"];
        let value = prop_oneof!["w1", "second", "\"w1\"", "[ -:<-~\u{e9}]{0,8}"];
        let equals = prop_oneof![Just(""), Just("="), Just(" = ")];
        (name, equals, value).prop_map(|(name, equals, value)| format!("{name}{equals}{value}"))
    }

    fn is_ours(pair: &[u8]) -> bool {
        let mut parts = pair.splitn(2, |b| *b == b'=');
        parts.next().map(trimmed) == Some(b"SRVID") && parts.next().is_some()
    }

    /// The pairs of all fields, blanks around them left out, and without ours.
    fn others(fields: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let pairs = fields.iter().flat_map(|field| field.split(|b| *b == b';'));
        let others = pairs
            .map(trimmed)
            .filter(|pair| !is_ours(pair) && !pair.is_empty());
        others.map(<[u8]>::to_vec).collect()
    }

    proptest! {
        #[test]
        fn taking_the_cookie_leaves_every_other_byte_for_byte(
            fields in prop::collection::vec(prop::collection::vec(pair(), 0..5), 0..4),
            glue in prop_oneof![Just(";"), Just("; "), Just(" ;\t")],
        ) {
            let joined = fields.iter().map(|pairs| pairs.join(glue).trim().as_bytes().to_vec());
            let before: Vec<Vec<u8>> = joined.collect();
            let fields: Vec<&[u8]> = before.iter().map(Vec::as_slice).collect();
            let mut headers = map(COOKIE, &fields);
            let visit = plain().take(&mut headers);
            let after = headers.get_all(COOKIE).iter().map(|field| field.as_bytes().to_vec());
            let after: Vec<Vec<u8>> = after.collect();
            prop_assert_eq!(others(&after), others(&before));
            let ours = |fields: &[Vec<u8>]| {
                let mut pairs = fields.iter().flat_map(|field| field.split(|b| *b == b';'));
                pairs.any(is_ours)
            };
            prop_assert!(!ours(&after), "{:?}", after);
            match ours(&before) {
                true => prop_assert!(visit.cookie != Cookie::Absent),
                false => prop_assert_eq!(&after, &before),
            }
            // A field that the cookie was not in is the same field.
            for field in before.iter().filter(|field| !field.split(|b| *b == b';').any(is_ours)) {
                prop_assert!(after.contains(field));
            }
            prop_assert_eq!((&headers["host"], &headers["accept"]), (
                &HeaderValue::from_static("a"), &HeaderValue::from_static("*/*")
            ));
        }

        #[test]
        fn any_bytes_are_taken_without_a_word(field in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = HeaderValue::from_bytes(&field) {
                let mut headers = HeaderMap::from_iter([(COOKIE, value)]);
                plain().take(&mut headers);
                let left = headers.get(COOKIE).map_or(0, HeaderValue::len);
                prop_assert!(left <= field.len());
            }
        }
    }
}
