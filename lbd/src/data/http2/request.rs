//! A request as it comes by HTTP/2, made into one as [`request`](crate::data::request) takes it. Pure,
//! but for the key of a WebSocket.

use h2::RecvStream;
use h2::ext::Protocol;
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, COOKIE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request};

use crate::data::fault::Fault;
use crate::data::framing::{MAX_HEAD, MAX_TARGET};
use crate::data::request_body::{RequestBody, StreamBody};
use crate::data::websocket;

/// What a client asked for on a stream.
pub(super) struct Asked {
    pub(super) request: Request<RequestBody>,
    /// It asks for a tunnel (RFC 8441).
    pub(super) connect: Option<Box<Connect>>,
}

/// A tunnel that was asked for.
pub(super) struct Connect {
    /// What the client sends there.
    pub(super) from_client: RecvStream,
    /// How a WebSocket's server proves that it knows what it was asked (RFC 6455, 4.2.2).
    accept: Option<HeaderValue>,
}

/// What a client asked for that it does not get.
pub(super) struct Refused {
    pub(super) fault: Fault,
    /// Of which types it takes the answer.
    pub(super) accept: Option<HeaderValue>,
}

pub(super) fn read(request: Request<RecvStream>) -> Result<Asked, Refused> {
    let (mut head, stream) = request.into_parts();
    let refused = |head: &Parts, fault| Refused {
        fault,
        accept: head.headers.get(ACCEPT).cloned(),
    };
    bound(&head).map_err(|fault| refused(&head, fault))?;
    join_cookies(&mut head.headers);
    let (body, connect) = match head.extensions.remove::<Protocol>() {
        Some(protocol) => {
            let connect = upgrade(&mut head, &protocol, stream);
            let connect = connect.map_err(|fault| refused(&head, fault))?;
            (RequestBody::None, Some(connect))
        }
        None if stream.is_end_stream() => (RequestBody::None, None),
        None => {
            let body = StreamBody::new(stream, &head.headers);
            (RequestBody::Http2(body), None)
        }
    };
    Ok(Asked {
        request: Request::from_parts(head, body),
        connect,
    })
}

/// The same bounds as for HTTP/1, and a target that can be asked for there.
fn bound(head: &Parts) -> Result<(), Fault> {
    let target = head
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if target.len() > MAX_TARGET {
        return Err(Fault::TargetTooLong);
    }
    let is_target = target.starts_with('/') || target == "*" || head.method == Method::CONNECT;
    let (mut size, mut fits) = (target.len(), is_target);
    for (name, value) in &head.headers {
        size += name.as_str().len() + value.len() + 4;
        fits &= *name != CONTENT_LENGTH || is_number(value);
    }
    match fits {
        _ if size > MAX_HEAD => Err(Fault::HeadTooLarge),
        true => Ok(()),
        false => Err(Fault::Malformed),
    }
}

fn is_number(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
}

/// A client may send its cookies apart; others know one field only (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    // Most requests repeat no field at all.
    if headers.len() == headers.keys_len() {
        return;
    }
    let crumbs = headers.get_all(COOKIE).iter();
    let crumbs: Vec<&[u8]> = crumbs.map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    // Field values that are joined by such make one.
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice())) {
        headers.insert(COOKIE, whole);
    }
}

/// Makes it a request to go on with another protocol, as HTTP/1 knows it (RFC 8441, 5).
fn upgrade(
    head: &mut Parts,
    protocol: &Protocol,
    stream: RecvStream,
) -> Result<Box<Connect>, Fault> {
    let protocol = protocol.as_str();
    let name = HeaderValue::from_str(protocol).map_err(|_| Fault::Malformed)?;
    if protocol.is_empty() || protocol.contains(',') || protocol.eq_ignore_ascii_case("h2c") {
        return Err(Fault::Malformed);
    }
    // Nothing that comes on the stream is the content of a request.
    head.headers.remove(CONTENT_LENGTH);
    head.method = Method::GET;
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, name);
    let accept = protocol.eq_ignore_ascii_case("websocket").then(|| {
        let key = websocket::key(fastrand::u128(..));
        let accept = websocket::accept(key.as_bytes());
        head.headers.insert(SEC_WEBSOCKET_KEY, key);
        accept
    });
    Ok(Box::new(Connect {
        from_client: stream,
        accept,
    }))
}

impl Connect {
    /// Whether a server that says to go on means what it was asked. What only HTTP/1 has use for is
    /// taken from the head.
    pub(super) fn is_proved(&self, headers: &mut HeaderMap) -> bool {
        let proof = headers.remove(SEC_WEBSOCKET_ACCEPT);
        self.accept.is_none() || proof == self.accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_of_cookies_are_one_field() {
        let mut headers = HeaderMap::new();
        for crumb in ["a=1", "b=2; c=3", "d"] {
            headers.append(COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut headers);
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3; d"]);
    }

    #[test]
    fn bounds_and_targets_are_those_of_http1() {
        let judge = |uri: &str, field: usize| {
            let request = Request::get(uri).header("a", "x".repeat(field)).body(());
            bound(&request.unwrap().into_parts().0)
        };
        assert_eq!(judge("https://a.test/", 100), Ok(()));
        assert_eq!(judge("*", 100), Ok(()));
        assert_eq!(judge("https://a.test/", MAX_HEAD), Err(Fault::HeadTooLarge));
        let long = format!("https://a.test/{}", "x".repeat(MAX_TARGET));
        assert_eq!(judge(&long, 1), Err(Fault::TargetTooLong));
    }
}
