//! Whether a request that changes something was made by a page of ours, or by no page at all: what a browser says
//! of that. Pure.

use http::HeaderMap;
use http::header::{HeaderName, ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// `host` is what the request was sent to, `secure` whether by TLS. Somebody else may have taken TLS off before us, so
/// that without it both will do.
pub(super) fn is_ours(headers: &HeaderMap, host: &str, secure: bool) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let same = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => origin
            .to_str()
            .is_ok_and(|origin| leads_to(origin, host, secure)),
        _ => false,
    };
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    // "none": a person asked, and no page.
    same && sites.all(|site| site == "same-origin" || site == "none")
}

fn leads_to(origin: &str, host: &str, secure: bool) -> bool {
    let authority = match origin.split_once("://") {
        Some(("https", authority)) => authority,
        Some(("http", authority)) if !secure => authority,
        _ => return false,
    };
    authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ours(headers: &[(HeaderName, &'static str)], secure: bool) -> bool {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, value);
        }
        is_ours(&all, "lb1.example:8404", secure)
    }

    #[test]
    fn programs_and_our_own_pages_may_ask() {
        assert!(ours(&[], true));
        for (origin, secure) in [
            ("http://lb1.example:8404", false),
            ("https://lb1.example:8404", false),
            ("https://LB1.example:8404", true),
        ] {
            assert!(ours(&[(ORIGIN, origin)], secure), "{origin}");
        }
        for site in ["same-origin", "none"] {
            assert!(ours(&[(SEC_FETCH_SITE, site)], false), "{site}");
        }
    }

    #[test]
    fn other_pages_may_not() {
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://lb1.example",
            "http://lb1.example:84040",
            "http://lb1.example:8404.evil.example",
            "ftp://lb1.example:8404",
            "lb1.example:8404",
        ] {
            assert!(!ours(&[(ORIGIN, origin)], false), "{origin}");
        }
        assert!(!ours(&[(ORIGIN, "http://lb1.example:8404")], true));
        for site in ["cross-site", "same-site", "x"] {
            assert!(!ours(&[(SEC_FETCH_SITE, site)], false), "{site}");
        }
        let ours_too = (ORIGIN, "http://lb1.example:8404");
        assert!(!ours(&[ours_too.clone(), (ORIGIN, "null")], false));
        assert!(!ours(&[ours_too, (SEC_FETCH_SITE, "cross-site")], false));
    }
}
