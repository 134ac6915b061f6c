//! What a browser sends of whoever logs in (RFC 7617). Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// A name and a password that somebody claims.
#[derive(PartialEq, Eq)]
pub(in crate::admin) struct Claim {
    pub(super) name: String,
    pub(super) password: String,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum NoClaim {
    Absent,
    Unreadable,
}

impl Claim {
    pub(in crate::admin) fn read(headers: &HeaderMap) -> Result<Self, NoClaim> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let value = match (given.next(), given.next()) {
            (None, _) => return Err(NoClaim::Absent),
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        };
        let claim = value.and_then(|value| {
            let (scheme, encoded) = value.split_once(' ')?;
            let basic = scheme.eq_ignore_ascii_case("basic");
            let bytes = BASE64_STANDARD.decode(encoded.trim()).ok()?;
            let text = String::from_utf8(bytes).ok().filter(|_| basic)?;
            let (name, password) = text.split_once(':')?;
            Some(Self {
                name: name.to_owned(),
                password: password.to_owned(),
            })
        });
        claim.ok_or(NoClaim::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<(String, String), NoClaim> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        Claim::read(&headers).map(|claim| (claim.name, claim.password))
    }

    #[test]
    fn a_name_ends_at_the_first_colon_and_a_password_has_the_rest() {
        let claim = |name: &str, password: &str| Ok((name.to_owned(), password.to_owned()));
        assert_eq!(read(&["Basic b3BzOnNlY3JldA=="]), claim("ops", "secret"));
        assert_eq!(read(&["basic  b3BzOmE6Yg=="]), claim("ops", "a:b"));
        assert_eq!(read(&["BASIC Og=="]), claim("", ""));
        assert_eq!(read(&[]), Err(NoClaim::Absent));
    }

    #[test]
    fn whatever_else_is_sent_is_no_claim() {
        for bad in [
            "",
            "Basic",
            "Basic ",
            "Basic b3Bz",
            "Basic /w==",
            "Basic !!",
            "Bearer b3BzOmE=",
        ] {
            assert_eq!(read(&[bad]), Err(NoClaim::Unreadable), "{bad}");
        }
        let good = "Basic b3BzOnNlY3JldA==";
        assert_eq!(read(&[good, good]), Err(NoClaim::Unreadable));
    }
}
