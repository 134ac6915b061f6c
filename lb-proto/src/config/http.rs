//! The HTTP texts of the configuration: methods, header names and values, hosts, paths, statuses.
//!
//! What passes here can be compared with or written into a message as it is: no text holds a line
//! end or another control character, so no key can be used to smuggle a header.

use std::ops::RangeInclusive;

use super::problem::Fault;
use super::{HostPattern, Piece};

/// The longest host name (RFC 1035, 2.3.4), in bytes.
const MAX_HOST: usize = 253;

/// A method token (RFC 9110, 9.1). Methods are case-sensitive, so `get` is surely a slip.
pub(super) fn method(text: &str) -> Result<String, Fault> {
    if !is_token(text) {
        return Err(Fault::new(
            format!("`{text}` is not an HTTP method"),
            "write one such as \"GET\" or \"POST\"",
        ));
    }
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        let upper = text.to_ascii_uppercase();
        return Err(Fault::new(
            format!("methods are case-sensitive; did you mean `{upper}`?"),
            format!("write \"{upper}\""),
        ));
    }
    Ok(text.to_owned())
}

/// A header's name, lower-cased: names are compared without regard to case (RFC 9110, 5.1).
pub(super) fn header_name(text: &str) -> Result<String, Fault> {
    if !is_token(text) {
        return Err(Fault::new(
            format!("`{text}` is not a header name"),
            "a header name is made of letters, digits and '-', as in `x-canary`",
        ));
    }
    Ok(text.to_ascii_lowercase())
}

/// A header's value as it would arrive: without line ends and without blanks around it.
pub(super) fn header_value(text: &str) -> Result<String, Fault> {
    if text.chars().any(char::is_control) || text.trim() != text {
        return Err(Fault::new(
            "no header can have this value",
            "remove control characters and the blanks before and after the value",
        ));
    }
    Ok(text.to_owned())
}

/// A Host header's value, to be sent as it is.
pub(super) fn host_value(text: &str) -> Result<String, Fault> {
    let clean = |b: u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'?' | b'#' | b'@' | b'\\');
    if text.is_empty() || !text.bytes().all(clean) {
        return Err(Fault::new(
            format!("`{text}` is not a host"),
            "write a host name, and a port if it is needed, as in \"app.local\" or \"app.local:8080\"",
        ));
    }
    Ok(text.to_owned())
}

/// A request target in origin form without its query (RFC 9112, 3.2.1).
pub(super) fn path(text: &str) -> Result<String, Fault> {
    if text.contains(['?', '#']) {
        return Err(Fault::new(
            "only the path is compared, without the query",
            "remove the '?' or '#' and what follows",
        ));
    }
    target(text)
}

/// A request target in origin form, query allowed: what a health check asks for.
pub(super) fn target(text: &str) -> Result<String, Fault> {
    if !text.starts_with('/') {
        return Err(Fault::new(
            format!("the path `{text}` does not begin with '/'"),
            format!("write \"/{text}\""),
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::new(
            "a path has no blanks, control characters or letters outside ASCII",
            "percent-encode them as clients do, as in \"/a%20b\"",
        ));
    }
    Ok(text.to_owned())
}

/// `example.com`, `*.example.com`, or an address as clients put it into Host, such as `[::1]`.
pub(super) fn host_pattern(text: &str) -> Result<HostPattern, Fault> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    if name == "*" {
        return Err(Fault::new(
            "a host of `*` is not needed",
            "remove `host`: a route without it is for every host",
        ));
    }
    if let Some(address) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(address) => Ok(HostPattern::Exact(format!("[{address}]"))),
            Err(_) => Err(not_a_host(text)),
        };
    }
    if name.contains('/') {
        return Err(not_a_host(text));
    }
    if let Some((host, port)) = name.rsplit_once(':')
        && (!host.contains(':') || host.ends_with(']'))
    {
        return Err(Fault::new(
            format!("the host `{text}` has a port"),
            if port.bytes().all(|b| b.is_ascii_digit()) {
                format!("write \"{host}\": the port of a request is not compared")
            } else {
                "write the name alone, without ':'".to_owned()
            },
        ));
    }
    match name.strip_prefix('*') {
        Some(rest) => match rest.strip_prefix('.') {
            Some(parent) if is_host_name(parent) => Ok(HostPattern::Under(rest.to_owned())),
            _ => Err(not_a_host(text)),
        },
        None if is_host_name(name) => Ok(HostPattern::Exact(name.to_owned())),
        None => Err(not_a_host(text)),
    }
}

fn not_a_host(text: &str) -> Fault {
    if !text.is_ascii() {
        return Fault::new(
            format!("the host `{text}` has letters outside ASCII"),
            "write the name as clients send it, beginning with \"xn--\"",
        );
    }
    Fault::new(
        format!("`{text}` is not a host"),
        "write a name, as in \"api.example.com\", or \"*.example.com\" for every name under it",
    )
}

pub(super) fn is_host_name(text: &str) -> bool {
    let in_label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(in_label);
    text.len() <= MAX_HOST && text.split('.').all(is_label)
}

/// The target of a redirect: text and the placeholders `{host}`, `{path}` and `{query}`.
pub(super) fn redirect_target(text: &str) -> Result<Vec<Piece>, Fault> {
    const HOW: &str = "the placeholders are {host}, {path} and {query}; write %7B and %7D for braces that are none";
    if text.is_empty() {
        return Err(Fault::new(
            "a redirect needs a target",
            "write one, as in \"https://new.example{path}{query}\"",
        ));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::new(
            "a redirect needs a target without blanks, control characters or letters outside ASCII",
            "percent-encode them, as in \"/a%20b\"",
        ));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(brace) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(brace);
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let Some((placeholder, after)) = from.strip_prefix('{').and_then(|f| f.split_once('}'))
        else {
            return Err(Fault::new("a brace without its partner", HOW));
        };
        pieces.push(match placeholder {
            "host" => Piece::Host,
            "path" => Piece::Path,
            "query" => Piece::Query,
            other => return Err(Fault::new(format!("unknown placeholder {{{other}}}"), HOW)),
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// The statuses a health check accepts: `"200"`, `"200,204"`, `"200-399"`, or several of these.
pub(super) fn expected(text: &str) -> Result<Vec<RangeInclusive<u16>>, Fault> {
    text.split(',').map(|part| statuses(part.trim())).collect()
}

fn statuses(part: &str) -> Result<RangeInclusive<u16>, Fault> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.filter(|status| (100..=599).contains(status))
    };
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(Fault::new(
            match part {
                "" => "a status is missing".to_owned(),
                _ => format!("`{part}` is not a status or a range of statuses"),
            },
            "write statuses from 100 to 599, as in \"200\", \"200,204\" or \"200-399\"",
        )),
    }
}

/// RFC 9110, 5.6.2.
pub(super) fn token(text: &str) -> Result<String, ()> {
    is_token(text).then(|| text.to_owned()).ok_or(())
}

fn is_token(text: &str) -> bool {
    let in_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(in_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_upper_case_tokens() {
        assert_eq!(method("GET").as_deref(), Ok("GET"));
        assert_eq!(method("PURGE").as_deref(), Ok("PURGE"));
        assert!(method("get").unwrap_err().message.contains("`GET`"));
        assert!(method("").is_err() && method("GE T").is_err() && method("G\r\n").is_err());
    }

    #[test]
    fn headers_are_lower_cased_and_cannot_carry_a_second_one() {
        assert_eq!(header_name("X-Canary").as_deref(), Ok("x-canary"));
        assert!(header_name("x:y").is_err() && header_name("").is_err());
        assert_eq!(header_value("a b").as_deref(), Ok("a b"));
        assert!(header_value("1\r\nx-evil: 1").is_err() && header_value(" 1").is_err());
        assert!(host_value("app.local:80").is_ok());
        assert!(host_value("a\r\nx: y").is_err() && host_value("a b").is_err());
        assert!(host_value("").is_err());
    }

    #[test]
    fn paths_begin_with_a_slash_and_have_no_query() {
        assert_eq!(path("/v1/").as_deref(), Ok("/v1/"));
        assert!(path("v1").unwrap_err().remedy.contains("\"/v1\""));
        assert!(path("/a b").is_err() && path("/a?b").is_err() && path("/ä").is_err());
        assert!(target("/health?deep=1").is_ok() && target("/a\r\nx: y").is_err());
    }

    #[test]
    fn hosts_are_exact_or_under_a_name() {
        let exact = |text: &str| Ok(HostPattern::Exact(text.to_owned()));
        assert_eq!(host_pattern("API.Example.com."), exact("api.example.com"));
        assert_eq!(host_pattern("10.0.0.1"), exact("10.0.0.1"));
        assert_eq!(host_pattern("[0:0::1]"), exact("[::1]"));
        let under = Ok(HostPattern::Under(".example.com".to_owned()));
        assert_eq!(host_pattern("*.example.COM"), under);
        let with_port = host_pattern("example.com:8080").unwrap_err();
        assert!(with_port.remedy.contains("\"example.com\""));
        assert!(
            host_pattern("[::1]:80")
                .unwrap_err()
                .message
                .contains("has a port")
        );
        assert!(
            host_pattern("bücher.example")
                .unwrap_err()
                .remedy
                .contains("xn--")
        );
        for text in [
            "", ".", "*", "*.", "a.*.b", "*a.b", "a..b", "a b", "[::g]", "::1",
        ] {
            assert!(host_pattern(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_redirect_has_three_placeholders() {
        let pieces = vec![
            Piece::Text("https://new.example".to_owned()),
            Piece::Path,
            Piece::Query,
        ];
        assert_eq!(
            redirect_target("https://new.example{path}{query}"),
            Ok(pieces)
        );
        assert_eq!(redirect_target("{host}"), Ok(vec![Piece::Host]));
        let unknown = redirect_target("/{pth}").unwrap_err();
        assert_eq!(unknown.message, "unknown placeholder {pth}");
        for text in ["", "/{", "/}", "/{path", "/{{path}}", "/a b", "/a\r\nx: y"] {
            assert!(redirect_target(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn expected_statuses_are_lists_and_ranges() {
        assert_eq!(expected("200"), Ok(vec![200..=200]));
        assert_eq!(expected("200, 204"), Ok(vec![200..=200, 204..=204]));
        assert_eq!(expected("200-299,404"), Ok(vec![200..=299, 404..=404]));
        for text in ["", "2xx", "99", "600", "399-200", "200-", "+20", "200,,204"] {
            assert!(expected(text).is_err(), "{text:?}");
        }
    }
}
