//! The texts of the stickiness cookie (RFC 6265, 4.1.1). What passes here stands in a `Set-Cookie`
//! field as it is: nothing in it can end the field or begin another attribute.

use super::http;
use super::problem::Fault;

pub(super) fn name(text: &str) -> Result<String, Fault> {
    http::token(text).map_err(|()| {
        Fault::new(
            format!("`{text}` cannot be the name of a cookie"),
            "write letters, digits, '-' and '_', as in \"SRVID\"",
        )
    })
}

pub(super) fn value(text: &str) -> Result<String, Fault> {
    let octet = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\');
    if text.is_empty() || !text.bytes().all(octet) {
        return Err(Fault::new(
            format!("`{text}` cannot be the value of a cookie"),
            "write visible ASCII without blanks, quotes, commas, semicolons and backslashes, as in \"w2\"",
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Result<String, Fault> {
    let clean = |b: u8| b.is_ascii_graphic() && b != b';';
    if !text.starts_with('/') || !text.bytes().all(clean) {
        return Err(Fault::new(
            format!("`{text}` cannot be the path of a cookie"),
            "write the path under which browsers send it back, as in \"/\" or \"/app\"",
        ));
    }
    Ok(text.to_owned())
}

/// A leading dot means nothing to browsers of today and is left out (RFC 6265, 5.2.3).
pub(super) fn domain(text: &str) -> Result<String, Fault> {
    let name = text.strip_prefix('.').unwrap_or(text);
    if !http::is_host_name(name) {
        return Err(Fault::new(
            format!("`{text}` cannot be the domain of a cookie"),
            "write the name whose hosts all get it, as in \"example.com\"; without `domain` only the host asked gets it",
        ));
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_add_an_attribute_or_a_header() {
        for bad in ["", "a b", "a;b", "a\r\nb", "ä", "a\0"] {
            assert!(name(bad).is_err() && value(bad).is_err(), "{bad:?}");
            assert!(path(&format!("/{bad};")).is_err() && domain(bad).is_err());
        }
        assert!(name("a=b").is_err() && value("a=b").is_ok());
        assert!(value("\"w\"").is_err() && value("a,b").is_err() && value("a\\b").is_err());
        assert_eq!(value("10.0.0.1:80").as_deref(), Ok("10.0.0.1:80"));
        assert_eq!(domain(".Example.com").as_deref(), Ok("example.com"));
        assert!(path("app").is_err() && path("/a b").is_err());
    }
}
