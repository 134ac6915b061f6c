//! `Cache-Control` of an answer that is for one client alone (RFC 9111, 5.2.2). Pure.

/// The directives of an answer that no shared cache may keep, from those that the server gave; `None`
/// where they say so already. What only shared caches mind goes, what a browser minds stays; what
/// cannot be read becomes `no-store`.
pub(super) fn private(fields: &[&[u8]]) -> Option<Vec<u8>> {
    // What a quote hides that nobody closes, each cache sees its own way.
    if !fields.iter().all(|field| is_whole(field)) {
        return Some(b"no-store".to_vec());
    }
    let all: Vec<&[u8]> = fields.iter().flat_map(|field| directives(field)).collect();
    let says = |wanted: &str| {
        let mut all = all.iter();
        all.any(|directive| directive.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    // `private` with field names lets the rest of the answer be kept; only the plain word counts.
    let said = says("no-store") || says("private");
    if said && !all.iter().any(|directive| is_for_shared(directive)) {
        return None;
    }
    let first = (!said).then_some(b"private".as_slice());
    let kept = all
        .into_iter()
        .filter(|directive| !is_for_shared(directive));
    let said: Vec<&[u8]> = first.into_iter().chain(kept).collect();
    Some(said.join(b", ".as_slice()))
}

/// The directives of a field, blanks around them and empty ones left out. A comma in quotes parts
/// nothing.
fn directives(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quotes = Quotes::default();
    let parts = field.split(move |b| !quotes.hold(*b) && *b == b',');
    parts
        .map(<[u8]>::trim_ascii)
        .filter(|part| !part.is_empty())
}

/// Whether every quote is closed.
fn is_whole(field: &[u8]) -> bool {
    let mut quotes = Quotes::default();
    for byte in field {
        quotes.hold(*byte);
    }
    !quotes.open
}

/// Follows quoted strings, byte by byte (RFC 9110, 5.6.4).
#[derive(Debug, Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    /// Whether this byte stands in quotes.
    fn hold(&mut self, byte: u8) -> bool {
        let was_open = self.open;
        let escaped = std::mem::take(&mut self.escaped);
        if was_open && !escaped && byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' && !escaped {
            self.open = !was_open;
        }
        was_open
    }
}

fn is_for_shared(directive: &[u8]) -> bool {
    let name = directive.split(|b| *b == b'=').next().unwrap_or_default();
    let name = name.trim_ascii();
    [b"public".as_slice(), b"s-maxage", b"proxy-revalidate"]
        .iter()
        .any(|shared| name.eq_ignore_ascii_case(shared))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_private(fields: &[&str]) -> Option<String> {
        let fields: Vec<&[u8]> = fields.iter().map(|field| field.as_bytes()).collect();
        let text = private(&fields)?;
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn an_answer_that_says_nothing_or_invites_shared_caches_becomes_private() {
        for (given, wanted) in [
            (&[][..], "private"),
            (&["max-age=60"], "private, max-age=60"),
            (&["Public, max-age=60, s-maxage=600"], "private, max-age=60"),
            (
                &["no-cache", "must-revalidate"],
                "private, no-cache, must-revalidate",
            ),
            (
                &["private=\"set-cookie, x-user\", proxy-revalidate,"],
                "private, private=\"set-cookie, x-user\"",
            ),
            (
                &["ext=\"a\\\", public\", public"],
                "private, ext=\"a\\\", public\"",
            ),
            (&["private, public"], "private"),
            (&["s-maxage=600, no-store"], "no-store"),
            (&["a=\"", "max-age=60, b=\"\\", "public"], "no-store"),
        ] {
            assert_eq!(made_private(given).as_deref(), Some(wanted), "{given:?}");
        }
    }

    #[test]
    fn an_answer_that_no_shared_cache_may_keep_stays_as_it_is() {
        for given in [
            "private",
            "no-store",
            "max-age=0, Private",
            "no-cache,NO-STORE",
        ] {
            assert_eq!(made_private(&[given]), None, "{given}");
        }
    }
}
