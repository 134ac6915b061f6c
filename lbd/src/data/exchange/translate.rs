//! Heads as HTTP/1 has them and as HTTP/2 does (RFC 9113, 8). Pure.

use h2::ext::Protocol;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::response;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, uri};

use crate::data::decode::{Head, MAX_FIELDS, Malformed};
use crate::data::own_fields::RequestHead;
use crate::data::request_id::REQUEST_ID;
use crate::data::traceparent::TRACEPARENT;

/// A request for a server as it goes on a stream. `secure`: under TLS.
///
/// One that asks for another protocol asks for a tunnel (RFC 8441).
pub(super) fn request(head: &RequestHead, secure: bool, upgrades: bool) -> Request<()> {
    let RequestHead { parts, own } = head;
    let mut headers = parts.headers.clone();
    own.clone().join(&mut headers);
    for name in [CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    // Each request has another value: in the table of those that were sent (RFC 7541, 2.3.2) it would
    // displace what they share.
    for name in [REQUEST_ID, TRACEPARENT] {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
    let protocol = headers.remove(UPGRADE).filter(|_| upgrades);
    let authority = headers.get(HOST).map(HeaderValue::as_bytes);
    let authority = authority.and_then(|host| Authority::try_from(host).ok());
    if authority.is_some() {
        headers.remove(HOST);
    }
    let mut request = Request::new(());
    *request.version_mut() = match authority {
        Some(_) => Version::HTTP_2,
        // Without one h2 takes requests as they come by HTTP/1, and the Host goes along.
        None => Version::HTTP_11,
    };
    *request.uri_mut() = target(parts.uri.path_and_query(), authority, secure);
    *request.method_mut() = parts.method.clone();
    if let Some(protocol) = protocol {
        headers.remove(SEC_WEBSOCKET_KEY);
        headers.remove(CONTENT_LENGTH);
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(first(&protocol));
    }
    *request.headers_mut() = headers;
    request
}

fn target(path: Option<&PathAndQuery>, authority: Option<Authority>, secure: bool) -> Uri {
    let mut parts = uri::Parts::default();
    parts.path_and_query = path.cloned();
    if let Some(authority) = authority {
        parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        let root = || PathAndQuery::from_static("/");
        parts.path_and_query.get_or_insert_with(root);
    }
    Uri::from_parts(parts).unwrap_or_default()
}

/// The protocol that a client would have rather than others.
fn first(protocols: &HeaderValue) -> Protocol {
    let first = protocols.to_str().unwrap_or_default().split(',').next();
    Protocol::from(first.unwrap_or_default().trim())
}

/// A response as it would have come by HTTP/1. `tunnel`: it answers one that asked for a tunnel, and
/// this is the protocol there.
pub(super) fn response(
    parts: response::Parts,
    tunnel: Option<&HeaderValue>,
) -> Result<Head, Malformed> {
    let response::Parts {
        mut status,
        mut headers,
        ..
    } = parts;
    if headers.len() > MAX_FIELDS || status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Malformed);
    }
    headers.remove(UPGRADE);
    if let Some(protocol) = tunnel.filter(|_| status.is_success()) {
        status = StatusCode::SWITCHING_PROTOCOLS;
        headers.remove(CONTENT_LENGTH);
        headers.insert(UPGRADE, protocol.clone());
    }
    Ok(Head {
        status,
        version: Version::HTTP_2,
        reason: None,
        headers,
    })
}

/// Trailers of a response without what would be merged into the head (RFC 9110, 6.5.1).
pub(super) fn response_trailers(trailers: &mut HeaderMap) {
    for framing in [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER, TE] {
        trailers.remove(framing);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::data::own_fields::OwnFields;

    fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> RequestHead {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        RequestHead {
            parts: request.body(()).unwrap().into_parts().0,
            own: OwnFields::default(),
        }
    }

    #[test]
    fn what_belongs_to_a_connection_stays_behind_and_the_host_is_the_authority() {
        let fields = [
            ("host", "a.test:8080"),
            ("connection", "te"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-forwarded-for", "192.0.2.7"),
        ];
        let request = request(&head("POST", "/a?b=c", &fields), true, false);
        assert_eq!(request.uri(), "https://a.test:8080/a?b=c");
        assert_eq!(request.version(), Version::HTTP_2);
        let left: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["te", "x-forwarded-for"]);
    }

    #[test]
    fn what_is_another_for_each_request_is_in_no_table() {
        let fields = [
            ("x-request-id", "1"),
            ("traceparent", "2"),
            ("accept", "*/*"),
        ];
        let request = request(&head("GET", "/", &fields), true, false);
        let indexed = request.headers().iter();
        let indexed = indexed.filter(|(_, value)| !value.is_sensitive());
        let indexed: Vec<_> = indexed.map(|(name, _)| name.as_str()).collect();
        assert_eq!(indexed, ["accept"]);
    }

    #[test]
    fn odd_targets_and_hosts_are_asked_for_as_they_are() {
        let asterisk = request(&head("OPTIONS", "*", &[("host", "t")]), false, false);
        assert_eq!(asterisk.uri().path_and_query().unwrap(), "*");
        let unnamed = request(&head("GET", "/x", &[("host", "")]), false, false);
        assert_eq!(unnamed.uri(), "/x");
        assert_eq!(unnamed.headers()["host"], "");
        assert_eq!(unnamed.version(), Version::HTTP_11);
    }

    #[test]
    fn an_upgrade_is_a_connect_and_its_success_an_upgrade() {
        let fields = [
            ("host", "t"),
            ("connection", "upgrade"),
            ("upgrade", "websocket, other"),
            ("sec-websocket-key", "x"),
            ("content-length", "0"),
            ("sec-websocket-version", "13"),
        ];
        let request = request(&head("GET", "/chat", &fields), false, true);
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(
            request.extensions().get(),
            Some(&Protocol::from_static("websocket"))
        );
        let left: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["sec-websocket-version"]);

        let answer = |status: u16, tunnel: bool| {
            let parts = http::Response::builder().status(status);
            let parts = parts.header(CONTENT_LENGTH, 7).body(()).unwrap();
            let protocol = HeaderValue::from_static("websocket");
            let head = response(parts.into_parts().0, tunnel.then_some(&protocol))?;
            let has_length = head.headers.contains_key(CONTENT_LENGTH);
            Ok((head.status, has_length))
        };
        assert_eq!(
            answer(200, true),
            Ok((StatusCode::SWITCHING_PROTOCOLS, false))
        );
        assert_eq!(answer(403, true), Ok((StatusCode::FORBIDDEN, true)));
        assert_eq!(answer(200, false), Ok((StatusCode::OK, true)));
        assert_eq!(answer(101, true), Err(Malformed));
    }
}
