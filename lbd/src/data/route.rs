//! Which route a request takes: first match wins. Pure.
//!
//! Routes that name a host are found through an index, so a thousand virtual hosts cost a request
//! no more than one.

use std::borrow::Cow;
use std::collections::HashMap;

use http::{HeaderMap, HeaderName, Method};
use lb_proto::config::{Action, HostPattern, PathPattern, Piece, Route};
use lb_proto::name::BackendName;

/// The routes of one frontend.
#[derive(Debug)]
pub(super) struct Routes {
    rules: Vec<Rule>,
    /// For each exact host, the rules that name it, in order.
    exact: HashMap<String, Vec<usize>>,
    /// For each `.suffix`, the rules for hosts under it, in order.
    under: HashMap<String, Vec<usize>>,
    any_host: Vec<usize>,
    default: Option<usize>,
}

#[derive(Debug)]
struct Rule {
    path: Option<PathPattern>,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, String)>,
    target: Target,
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A position in the snapshot's backends.
    Backend(usize),
    Redirect {
        to: Vec<Piece>,
        status: u16,
    },
    Respond {
        status: u16,
    },
}

/// What routes look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// Without port.
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
}

impl Routes {
    /// `position` finds a backend; a route whose backend it does not find is left out, which a
    /// checked configuration never has.
    pub(super) fn new<'r>(
        routes: impl IntoIterator<Item = &'r Route>,
        default: Option<&BackendName>,
        position: impl Fn(&BackendName) -> Option<usize>,
    ) -> Self {
        let mut this = Self {
            rules: Vec::new(),
            exact: HashMap::new(),
            under: HashMap::new(),
            any_host: Vec::new(),
            default: default.and_then(&position),
        };
        for route in routes {
            let Some(rule) = Rule::new(route, &position) else {
                continue;
            };
            let rules = match &route.host {
                Some(HostPattern::Exact(host)) => this.exact.entry(host.clone()).or_default(),
                Some(HostPattern::Under(host)) => this.under.entry(host.clone()).or_default(),
                None => &mut this.any_host,
            };
            rules.push(this.rules.len());
            this.rules.push(rule);
        }
        this
    }

    pub(super) fn find(&self, subject: Subject<'_>) -> Option<Target> {
        let first = self
            .first_match(subject)
            .map(|i| self.rules[i].target.clone());
        first.or(self.default.map(Target::Backend))
    }

    fn first_match(&self, subject: Subject<'_>) -> Option<usize> {
        let among = |rules: &[usize]| {
            rules
                .iter()
                .copied()
                .find(|i| self.rules[*i].matches(subject))
        };
        let mut first = among(&self.any_host);
        let mut consider = |rules: Option<&Vec<usize>>| {
            let found = rules.and_then(|rules| among(rules));
            first = match (first, found) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        if self.exact.is_empty() && self.under.is_empty() {
            return first;
        }
        let host = normal_host(subject.host);
        consider(self.exact.get(host.as_ref()));
        if !self.under.is_empty() {
            for (at, _) in host.match_indices('.').filter(|(at, _)| *at > 0) {
                consider(self.under.get(&host[at..]));
            }
        }
        first
    }
}

impl Rule {
    fn new(route: &Route, position: impl Fn(&BackendName) -> Option<usize>) -> Option<Self> {
        let target = match &route.action {
            Action::Backend(name) => Target::Backend(position(name)?),
            Action::Redirect { to, status } => Target::Redirect {
                to: to.clone(),
                status: *status,
            },
            Action::Respond { status } => Target::Respond { status: *status },
        };
        let method = |m: &String| Method::from_bytes(m.as_bytes()).ok();
        let header = |(name, value): &(String, String)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value.clone()))
        };
        Some(Self {
            path: route.path.clone(),
            methods: route.methods.iter().filter_map(method).collect(),
            headers: route.headers.iter().filter_map(header).collect(),
            target,
        })
    }

    fn matches(&self, subject: Subject<'_>) -> bool {
        let path = match &self.path {
            None => true,
            Some(PathPattern::Prefix(prefix)) => subject.path.starts_with(prefix.as_str()),
            Some(PathPattern::Exact(path)) => subject.path == path,
        };
        path && (self.methods.is_empty() || self.methods.contains(subject.method))
            && self.headers.iter().all(|(name, wanted)| {
                subject
                    .headers
                    .get_all(name)
                    .iter()
                    .any(|v| v.as_bytes() == wanted.as_bytes())
            })
    }
}

/// Lower case and without trailing dot, as patterns are kept.
fn normal_host(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(host.to_ascii_lowercase()),
        false => Cow::Borrowed(host),
    }
}

/// Fills in a redirect's target. `host` keeps its port; `query` has no question mark.
pub(super) fn redirect_target(to: &[Piece], host: &str, path: &str, query: Option<&str>) -> String {
    let mut target = String::new();
    for piece in to {
        match piece {
            Piece::Text(text) => target.push_str(text),
            Piece::Host => target.push_str(host),
            Piece::Path => target.push_str(path),
            Piece::Query => {
                if let Some(query) = query {
                    target.push('?');
                    target.push_str(query);
                }
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(status: u16) -> Action {
        Action::Respond { status }
    }

    fn route(host: Option<HostPattern>, path: Option<PathPattern>, status: u16) -> Route {
        Route {
            host,
            path,
            methods: vec![],
            headers: vec![],
            plain: false,
            action: respond(status),
        }
    }

    fn exact(host: &str) -> Option<HostPattern> {
        Some(HostPattern::Exact(host.into()))
    }

    fn under(host: &str) -> Option<HostPattern> {
        Some(HostPattern::Under(host.into()))
    }

    fn prefix(path: &str) -> Option<PathPattern> {
        Some(PathPattern::Prefix(path.into()))
    }

    fn ask(routes: &[Route], host: &str, path: &str) -> Option<u16> {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let subject = Subject {
            host,
            path,
            method: &method,
            headers: &headers,
        };
        match Routes::new(routes, None, |_| None).find(subject)? {
            Target::Respond { status } => Some(status),
            _ => None,
        }
    }

    #[test]
    fn the_first_match_wins_whichever_index_holds_it() {
        let routes = [
            route(under(".example.com"), prefix("/v1/"), 201),
            route(exact("api.example.com"), None, 202),
            route(None, prefix("/v1/"), 203),
            route(under(".example.com"), None, 204),
            route(None, None, 205),
        ];
        assert_eq!(ask(&routes, "api.example.com", "/v1/x"), Some(201));
        assert_eq!(ask(&routes, "API.Example.com.", "/"), Some(202));
        assert_eq!(ask(&routes, "a.b.example.com", "/"), Some(204));
        assert_eq!(ask(&routes, "example.com", "/v1/"), Some(203));
        assert_eq!(ask(&routes, "example.com", "/"), Some(205));
        assert_eq!(ask(&routes, "", "/"), Some(205));
    }

    #[test]
    fn exact_paths_methods_and_headers_all_have_to_match() {
        let mut only = route(None, Some(PathPattern::Exact("/a".into())), 201);
        only.methods = vec!["POST".into()];
        only.headers = vec![("x-canary".into(), "1".into())];
        let table = Routes::new(&[only], None, |_| None);
        let mut headers = HeaderMap::new();
        headers.append("x-canary", "0".parse().unwrap());
        headers.append("x-canary", "1".parse().unwrap());
        let subject = Subject {
            host: "",
            path: "/a",
            method: &Method::POST,
            headers: &headers,
        };
        assert!(table.find(subject).is_some());
        assert!(
            table
                .find(Subject {
                    path: "/ab",
                    ..subject
                })
                .is_none()
        );
        assert!(
            table
                .find(Subject {
                    method: &Method::GET,
                    ..subject
                })
                .is_none()
        );
        assert!(
            table
                .find(Subject {
                    headers: &HeaderMap::new(),
                    ..subject
                })
                .is_none()
        );
    }

    #[test]
    fn redirects_keep_path_and_query_as_asked() {
        let to = [
            Piece::Text("https://".into()),
            Piece::Host,
            Piece::Path,
            Piece::Query,
        ];
        assert_eq!(
            redirect_target(&to, "a:80", "/x", Some("y=1")),
            "https://a:80/x?y=1"
        );
        assert_eq!(redirect_target(&to, "a", "/", None), "https://a/");
    }
}
