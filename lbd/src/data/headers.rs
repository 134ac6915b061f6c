//! What a proxy changes in a message's header fields (RFC 9110, 7.6). Pure.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, MAX_FORWARDS, RANGE, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use super::request_id::REQUEST_ID;

/// Whether a field belongs to one connection (RFC 9110, 7.6.1). By its text: names are compared one
/// field after the other, and a match on text looks at its length first.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade"
    )
}

/// What means something in a head alone, for a message's framing, routing or content: a server that
/// merges trailers into the head must not find it there (RFC 9110, 6.5.1).
static ONLY_IN_HEAD: [HeaderName; 13] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    MAX_FORWARDS,
    RANGE,
    SET_COOKIE,
    TRAILER,
];

/// Whether a field may stand in trailers.
pub(super) fn may_trail(name: &HeaderName) -> bool {
    let forwarded = || name.as_str().starts_with("x-forwarded-");
    !ONLY_IN_HEAD.contains(name) && !is_hop_by_hop(name) && !forwarded()
}

/// Takes all other fields from trailers.
pub(super) fn keep_only_trailing(trailers: &mut HeaderMap) {
    let strays = trailers.keys().filter(|name| !may_trail(name));
    let strays: Vec<HeaderName> = strays.cloned().collect();
    for name in strays {
        trailers.remove(name);
    }
}

/// The Host of a request is missing, repeated or malformed, or its target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadHost;

/// The authority a request is for (RFC 9112, 3.2.2 and 3.2.3): the target's where it has one, else
/// the Host field's. `None` where an HTTP/1.0 request names none. By HTTP/2 both have to agree, if both
/// are there (RFC 9113, 8.3.1).
pub(super) fn authority(
    version: Version,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, BadHost> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    let by_http2 = version == Version::HTTP_2;
    let is_named = host.is_some() || by_http2 && uri.authority().is_some();
    if hosts.next().is_some() || (!is_named && version != Version::HTTP_10) {
        return Err(BadHost);
    }
    if let (true, Some(host), Some(target)) = (by_http2, host, uri.authority())
        && !host
            .as_bytes()
            .eq_ignore_ascii_case(target.as_str().as_bytes())
    {
        return Err(BadHost);
    }
    if !host.is_none_or(|host| is_host(host.as_bytes())) {
        return Err(BadHost);
    }
    if uri
        .scheme_str()
        .is_some_and(|scheme| scheme != "http" && scheme != "https")
    {
        return Err(BadHost);
    }
    // A lone authority is the target of CONNECT only.
    if uri.scheme().is_none() && uri.authority().is_some() {
        return Err(BadHost);
    }
    match uri.authority() {
        Some(target) if !is_host(target.as_str().as_bytes()) => Err(BadHost),
        Some(target) => HeaderValue::from_str(target.as_str())
            .map(Some)
            .map_err(|_| BadHost),
        None => Ok(host.cloned()),
    }
}

/// The bytes of a registered name (RFC 3986, 3.2.2).
static IN_NAME: [bool; 256] = {
    let mut fits = [false; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        fits[at] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$')
            || matches!(byte, b'&'..=b',' | b';' | b'=');
        at += 1;
    }
    fits
};

/// Whether a Host field is `uri-host [ ":" port ]` (RFC 9110, 7.2), the empty host included.
fn is_host(host: &[u8]) -> bool {
    let in_name = |b: &u8| IN_NAME[usize::from(*b)];
    let (name, port) = match host {
        [b'[', ..] => match host.iter().position(|b| *b == b']') {
            Some(end) => (&host[1..end], &host[end + 1..]),
            None => return false,
        },
        _ => host.split_at(host.iter().position(|b| *b == b':').unwrap_or(host.len())),
    };
    let literal = host.first() == Some(&b'[');
    let name_fits = match literal {
        true => name.iter().all(|b| in_name(b) || *b == b':') && !name.is_empty(),
        false => name.iter().all(in_name),
    };
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    name_fits && port_fits
}

/// The host of an authority, without its port.
pub(super) fn host_of(authority: &str) -> &str {
    let end = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => colon,
        _ => authority.len(),
    };
    &authority[..end]
}

/// The length of a request's body, which is announced to the server as it was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    None,
    Bytes(u64),
    /// Chunked; hyper alone would not say so for GET.
    Unknown,
}

/// Turns a client's header fields into those for a server, but for what lbd adds ([`own_fields`]); true:
/// they ask for another protocol.
///
/// [`own_fields`]: super::own_fields
pub(super) fn prepare_request(headers: &mut HeaderMap, version: Version, length: Length) -> bool {
    let (mut protocol, mut trailers) = (None, false);
    if headers.keys().any(is_hop_by_hop) {
        protocol = asked_protocol(headers, version);
        trailers = takes_trailers(headers, version);
        strip_hop_by_hop(headers);
    }
    match length {
        // Whatever it said: a server that waited for more would take the next request for it.
        Length::None => {
            if headers.get(CONTENT_LENGTH).is_some_and(|said| said != "0") {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        Length::Unknown => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Length::Bytes(n) => {
            // "05" is read as 5 here, and 5 twice as 5; a server may think otherwise.
            let mut said = headers.get_all(CONTENT_LENGTH).iter();
            let first = said.next();
            if first.is_some_and(|said| said.as_bytes().starts_with(b"0")) || said.next().is_some()
            {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(n));
            }
        }
    }
    let upgrades = protocol.is_some();
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.append(CONNECTION, HeaderValue::from_static("te"));
    }
    upgrades
}

/// The protocols that a client offers to go on with (RFC 9110, 7.8). Not h2c: what a server would
/// then be sent could not be told from requests of others.
fn asked_protocol(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let h2c = |protocol: &[u8]| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c");
    let offered = version != Version::HTTP_10
        && has_option(headers, CONNECTION, b"upgrade")
        && headers.get_all(UPGRADE).iter().count() == 1
        && !protocol.as_bytes().split(|byte| *byte == b',').any(h2c);
    offered.then(|| protocol.clone())
}

/// Whether a client takes trailers (RFC 9110, 10.1.4). HTTP/2 has no `Connection` to name that field
/// (RFC 9113, 8.2.2).
fn takes_trailers(headers: &HeaderMap, version: Version) -> bool {
    has_option(headers, TE, b"trailers")
        && (version == Version::HTTP_2 || has_option(headers, CONNECTION, b"te"))
}

/// Whether a field that is a list has this member.
pub(super) fn has_option(headers: &HeaderMap, field: HeaderName, option: &[u8]) -> bool {
    headers.get_all(field).iter().any(|value| {
        let mut members = value.as_bytes().split(|byte| *byte == b',');
        members.any(|member| member.trim_ascii().eq_ignore_ascii_case(option))
    })
}

/// Turns a server's header fields into those for a client. `names_protocol`: the one that it
/// switches to, or wants (RFC 9110, 15.2.2 and 15.5.22).
///
/// `Transfer-Encoding` overrides `Content-Length`, which then goes (RFC 9112, 6.3); so it does where there
/// can be no content (RFC 9110, 8.6).
pub(super) fn prepare_response(headers: &mut HeaderMap, status: StatusCode, names_protocol: bool) {
    let has_no_length = status.is_informational() || status == StatusCode::NO_CONTENT;
    if has_no_length || headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let protocol = names_protocol
        .then(|| headers.get(UPGRADE).cloned())
        .flatten();
    strip_hop_by_hop(headers);
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Removes what belongs to one connection, the fields that `Connection` names included.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut strays = headers.keys().filter(|name| is_hop_by_hop(name));
    let present: Vec<HeaderName> = match (strays.next(), strays.next()) {
        (None, _) => return,
        (Some(&CONNECTION), None) if names_nothing(headers) => {
            headers.remove(CONNECTION);
            return;
        }
        _ => headers
            .keys()
            .filter(|name| is_hop_by_hop(name))
            .cloned()
            .collect(),
    };
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|option| !option.eq_ignore_ascii_case("close"))
        .filter(|option| !option.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| ![HOST, CONTENT_LENGTH, REQUEST_ID].contains(name))
        .collect();
    for name in named.iter().chain(&present) {
        headers.remove(name);
    }
}

/// Whether `Connection` says what it mostly says, and so names no field.
fn names_nothing(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all(CONNECTION).iter();
    let known = |said: &HeaderValue| said == "keep-alive" || said == "close";
    said.next().is_some_and(known) && said.next().is_none()
}

/// The target as a server is asked for it: in origin-form, or `*` (RFC 9112, 3.2). An empty path is
/// `/`.
pub(super) fn origin_form(uri: &Uri) -> Uri {
    if uri.authority().is_none() {
        return uri.clone();
    }
    match uri.path_and_query() {
        Some(target) if target.as_str().starts_with('?') => {
            format!("/{}", target.as_str()).parse().unwrap_or_default()
        }
        Some(target) => target.clone().into(),
        None => Uri::default(),
    }
}

/// Whether a request may be sent again though the server may have acted on it (RFC 9110, 9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let field = |(name, value): &(&str, &str)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        let mut headers = HeaderMap::new();
        fields.iter().map(field).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    fn prepare(headers: &mut HeaderMap) -> bool {
        prepare_request(headers, Version::HTTP_11, Length::None)
    }

    #[test]
    fn fields_named_by_connection_go_but_not_what_frames_or_routes() {
        let mut headers = map(&[
            ("connection", "close, X-Secret, x-forwarded-for, host"),
            ("x-secret", "1"),
            ("x-forwarded-for", "192.0.2.7"),
            ("host", "a.example:8080"),
            ("keep-alive", "timeout=5"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("accept", "*/*"),
        ]);
        prepare(&mut headers);
        let expected = map(&[("accept", "*/*"), ("host", "a.example:8080")]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_field_named_beside_keep_alive_goes_as_well() {
        for (fields, left) in [
            (
                &[("connection", "keep-alive"), ("a", "1")][..],
                &[("a", "1")][..],
            ),
            (
                &[
                    ("connection", "keep-alive"),
                    ("connection", "a"),
                    ("a", "1"),
                ],
                &[],
            ),
            (&[("connection", "keep-alive, a"), ("a", "1")], &[]),
            (
                &[("connection", "keep-alive"), ("keep-alive", "timeout=5")],
                &[],
            ),
        ] {
            let mut headers = map(fields);
            prepare_response(&mut headers, StatusCode::OK, false);
            assert_eq!(headers, map(left), "{fields:?}");
        }
    }

    #[test]
    fn a_response_with_both_framings_loses_the_length() {
        let mut both = map(&[("content-length", "2"), ("transfer-encoding", "Chunked")]);
        prepare_response(&mut both, StatusCode::OK, false);
        assert_eq!(both, map(&[]));
    }

    #[test]
    fn a_response_that_can_have_no_content_has_no_length() {
        for (status, keeps) in [
            (200, true),
            (304, true),
            (204, false),
            (103, false),
            (101, false),
        ] {
            let mut sized = map(&[("content-length", "2")]);
            let status = StatusCode::from_u16(status).unwrap();
            prepare_response(&mut sized, status, false);
            assert_eq!(sized.contains_key("content-length"), keeps, "{status}");
        }
    }

    #[test]
    fn an_upgrade_is_passed_on_where_it_is_asked_for_and_granted() {
        let asked = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
        ];
        let mut headers = map(&asked);
        assert!(prepare(&mut headers));
        assert_eq!(headers["upgrade"], "websocket");
        assert_eq!(headers["connection"], "upgrade");
        for other in [
            [("upgrade", "websocket"), ("connection", "keep-alive")],
            [
                ("upgrade", "h2c"),
                ("connection", "upgrade, http2-settings"),
            ],
            [("upgrade", "websocket, H2C"), ("connection", "upgrade")],
        ] {
            let mut headers = map(&other);
            assert!(!prepare(&mut headers), "{other:?}");
            assert!(!headers.contains_key("upgrade"), "{other:?}");
        }
        let granted = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("keep-alive", "x"),
        ];
        let mut headers = map(&granted);
        prepare_response(&mut headers, StatusCode::SWITCHING_PROTOCOLS, true);
        assert_eq!(
            headers,
            map(&[("connection", "upgrade"), ("upgrade", "websocket")])
        );
        let mut headers = map(&granted);
        prepare_response(&mut headers, StatusCode::OK, false);
        assert_eq!(headers, map(&[]));
    }

    #[test]
    fn a_client_that_takes_trailers_is_known_as_one() {
        let mut headers = map(&[("connection", "TE"), ("te", "gzip, trailers")]);
        prepare(&mut headers);
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["connection"], "te");
    }

    #[test]
    fn there_is_one_host_and_it_is_one() {
        let uri = Uri::from_static("/");
        let ask = |version, fields: &[(&str, &str)]| authority(version, &uri, &map(fields));
        assert_eq!(ask(Version::HTTP_11, &[]), Err(BadHost));
        assert_eq!(ask(Version::HTTP_10, &[]), Ok(None));
        assert_eq!(
            ask(Version::HTTP_11, &[("host", "a"), ("host", "a")]),
            Err(BadHost)
        );
        for good in ["a.example", "a:80", "[::1]:8080", "", "127.0.0.1", "a_b"] {
            assert!(ask(Version::HTTP_11, &[("host", good)]).is_ok(), "{good}");
        }
        for bad in [
            "a b", "a/b", "a@b", "a:b", "[::1", "a:1:2", "a,b:c", "[]", "a:123456",
        ] {
            assert_eq!(
                ask(Version::HTTP_11, &[("host", bad)]),
                Err(BadHost),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_target_names_the_authority_before_host_does() {
        let uri = Uri::from_static("http://b.example:81/x?y");
        let found = authority(Version::HTTP_11, &uri, &map(&[("host", "a")])).unwrap();
        assert_eq!(found.unwrap(), "b.example:81");
        assert_eq!(origin_form(&uri), "/x?y");
        let bare = |uri: &str| origin_form(&uri.parse().unwrap()).to_string();
        assert_eq!(bare("http://a?q=1"), "/?q=1");
        assert_eq!(bare("http://a"), "/");
        assert_eq!(origin_form(&Uri::from_static("*")), "*");
    }

    #[test]
    fn what_frames_or_routes_a_message_does_not_trail_it() {
        for (name, trails) in [
            ("x-checksum", true),
            ("grpc-status", true),
            ("content-length", false),
            ("transfer-encoding", false),
            ("host", false),
            ("x-forwarded-for", false),
            ("cookie", false),
        ] {
            assert_eq!(may_trail(&HeaderName::from_static(name)), trails, "{name}");
        }
    }

    #[test]
    fn a_host_loses_its_port_and_an_address_keeps_its_colons() {
        assert_eq!(host_of("a.example:80"), "a.example");
        assert_eq!(host_of("[::1]:80"), "[::1]");
        assert_eq!(host_of("[::1]"), "[::1]");
        assert_eq!(host_of("a"), "a");
    }
}
