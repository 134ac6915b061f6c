//! Cookies by which an application knows its users, told from others by their names. Pure.

use http::HeaderMap;
use http::header::SET_COOKIE;

/// Longer names belong to no session that anybody has heard of.
const LONGEST: usize = 64;

/// The name of a cookie of this response that looks like a session.
pub(super) fn find(headers: &HeaderMap) -> Option<&str> {
    let mut fields = headers.get_all(SET_COOKIE).iter();
    fields.find_map(|field| of_session(field.as_bytes()))
}

/// The name in a Set-Cookie field (RFC 6265, 4.1.1), if it looks like a session's: PHPSESSID,
/// JSESSIONID, ASP.NET_SessionId, `laravel_session`, `connect.sid` and what is called like them. A
/// cookie that is taken away is none.
fn of_session(field: &[u8]) -> Option<&str> {
    let pair = field.split(|b| *b == b';').next()?;
    let equals = pair.iter().position(|b| *b == b'=')?;
    let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
    let name = std::str::from_utf8(name).ok()?;
    let is_taken_away = matches!(value, b"" | b"\"\"" | b"deleted");
    (!is_taken_away && name.len() <= LONGEST && looks_like_session(name)).then_some(name)
}

fn looks_like_session(name: &str) -> bool {
    let name = name.as_bytes();
    let is = |part: &[u8], wanted: &str| part.eq_ignore_ascii_case(wanted.as_bytes());
    let has = |wanted: &str| name.windows(wanted.len()).any(|part| is(part, wanted));
    has("session") || has("sessid") || name.len() >= 3 && is(&name[name.len() - 3..], "sid")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn sessions_are_known_by_the_names_that_frameworks_give_them() {
        for name in [
            "PHPSESSID",
            "JSESSIONID",
            "connect.sid",
            "sessionid",
            "session",
            "ASP.NET_SessionId",
            "laravel_session",
            "_myapp_session",
            "ci_session",
            "__Host-SID",
            "sid",
        ] {
            let field = format!("{name}=abc; Path=/; HttpOnly");
            assert_eq!(of_session(field.as_bytes()), Some(name));
        }
    }

    #[test]
    fn other_cookies_and_those_that_are_taken_away_are_none() {
        for field in [
            "theme=dark",
            "csrftoken=abc",
            "_ga=GA1.2.3",
            "SRVID=web01",
            "side=left",
            "PHPSESSID=; Max-Age=0",
            "PHPSESSID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT",
            "sid",
            "=sid",
            "",
        ] {
            assert_eq!(of_session(field.as_bytes()), None, "{field}");
        }
        assert_eq!(of_session(b"\xff\xfesid=1"), None);
        let long = format!("{}sid=1", "x".repeat(LONGEST));
        assert_eq!(of_session(long.as_bytes()), None);
    }

    #[test]
    fn the_first_of_several_fields_that_is_one_is_found() {
        let mut headers = HeaderMap::new();
        assert_eq!(find(&headers), None);
        for field in ["theme=dark", "sid=1", "PHPSESSID=2"] {
            headers.append(SET_COOKIE, HeaderValue::from_static(field));
        }
        assert_eq!(find(&headers), Some("sid"));
    }
}
