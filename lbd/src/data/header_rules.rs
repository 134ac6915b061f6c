//! A backend's header rules, ready to be obeyed. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};
use lb_proto::config;

/// What becomes of the headers of a message: removed, then set, then added.
#[derive(Debug, Clone, Default)]
pub(super) struct HeaderRules {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderRules {
    /// The configuration was read: no name and no value in it can fail here.
    pub(super) fn new(config: &config::HeaderRules) -> Self {
        let name = |name: &String| HeaderName::from_bytes(name.as_bytes()).ok();
        let field = |(of, value): &(String, String)| {
            Some((name(of)?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        Self {
            remove: config.remove.iter().filter_map(name).collect(),
            set: config.set.iter().filter_map(field).collect(),
            add: config.add.iter().filter_map(field).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn removed_then_set_then_added() {
        let rules = HeaderRules::new(&config::HeaderRules {
            remove: vec!["x-gone".to_owned(), "x-anew".to_owned()],
            set: pairs(&[("x-one", "b"), ("x-both", "1"), ("x-far", "bücher")]),
            add: pairs(&[("x-both", "2"), ("x-more", "b"), ("x-anew", "1")]),
        });
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-gone", "1"),
            ("x-gone", "2"),
            ("x-one", "a"),
            ("x-one", "a"),
            ("x-more", "a"),
            ("x-anew", "0"),
            ("x-kept", "0"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        rules.apply(&mut headers);
        let values = |name: &str| -> Vec<String> {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            headers.get_all(name).iter().map(text).collect()
        };
        assert!(values("x-gone").is_empty());
        assert_eq!(values("x-one"), ["b"]);
        assert_eq!(values("x-far"), ["bücher"]);
        assert_eq!(values("x-both"), ["1", "2"]);
        assert_eq!(values("x-more"), ["a", "b"]);
        assert_eq!(values("x-anew"), ["1"]);
        assert_eq!(values("x-kept"), ["0"]);
    }
}
