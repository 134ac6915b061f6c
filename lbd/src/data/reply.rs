//! Answers that lbd gives itself: errors, redirects, fixed statuses.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::fault::Fault;

/// The answer to a request that failed, in HTML for those who ask for it (RFC 9110, 12.5.1).
pub(super) fn fault(fault: Fault, accept: Option<&HeaderValue>) -> Response<Bytes> {
    let mut response = page(fault.status(), fault.sentence(), wants_html(accept));
    if let Some(seconds) = fault.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if fault.closes() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The same for a head that hyper never saw whole, as the bytes to send.
pub(super) fn raw_fault(fault: Fault) -> Vec<u8> {
    let status = fault.status();
    let body = text(status, fault.sentence());
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    )
    .into_bytes()
}

/// The answer of a `respond` rule.
pub(super) fn respond(status: StatusCode, accept: Option<&HeaderValue>) -> Response<Bytes> {
    let forbids_body = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if forbids_body || status == StatusCode::RESET_CONTENT {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        return response;
    }
    page(status, "", wants_html(accept))
}

/// The answer of a `redirect` rule; `None` where the target cannot stand in a header.
pub(super) fn redirect(status: StatusCode, to: &str) -> Option<Response<Bytes>> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_str(to).ok()?);
    Some(response)
}

fn page(status: StatusCode, sentence: &str, html: bool) -> Response<Bytes> {
    let (kind, body) = match html {
        true => ("text/html; charset=utf-8", html_page(status, sentence)),
        false => ("text/plain; charset=utf-8", text(status, sentence)),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn text(status: StatusCode, sentence: &str) -> String {
    match sentence {
        "" => format!("{status}\n"),
        _ => format!("{status}\n{sentence}\n"),
    }
}

fn html_page(status: StatusCode, sentence: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{status}</title>\n\
         <h1>{status}</h1>\n<p>{sentence}</p>\n</html>\n"
    )
}

fn wants_html(accept: Option<&HeaderValue>) -> bool {
    accept
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_html_and_programs_text() {
        let plain = fault(Fault::NoServer, None);
        assert_eq!(plain.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(plain.headers()[RETRY_AFTER], "5");
        let browser = HeaderValue::from_static("text/html,*/*;q=0.8");
        let html = fault(Fault::NoRoute, Some(&browser));
        assert_eq!(html.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(html.headers().get(RETRY_AFTER).is_none());
        let limited = fault(Fault::TooOften(7), None);
        assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(limited.headers()[RETRY_AFTER], "7");
    }

    #[test]
    fn a_raw_answer_says_its_length_and_closes() {
        let raw = String::from_utf8(raw_fault(Fault::HeadTooSlow)).unwrap();
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{head}"
        );
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(head.ends_with("connection: close"));
    }
}
