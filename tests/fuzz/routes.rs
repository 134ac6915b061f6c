//! The route matcher against the rule that it is to follow: the first route all of whose conditions
//! hold, looked for one after the other.

#![no_main]

use arbitrary::Arbitrary;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lb_proto::config::{Action, HostPattern, PathPattern, Piece, Route};
use libfuzzer_sys::fuzz_target;

#[path = "../../lbd/src/data/route.rs"]
mod route;

use route::{Routes, Subject, Target, redirect_target};

/// Few letters, so that conditions meet requests.
#[derive(Debug, Arbitrary)]
struct Input {
    routes: Vec<Wanted>,
    requests: Vec<Request>,
}

#[derive(Debug, Arbitrary)]
struct Wanted {
    host: Option<(bool, Labels)>,
    path: Option<(bool, Path)>,
    methods: Vec<Verb>,
    headers: Vec<(Name, Value)>,
}

#[derive(Debug, Arbitrary)]
struct Request {
    host: Host,
    path: Path,
    query: Option<String>,
    method: Verb,
    headers: Vec<(Name, Value)>,
}

#[derive(Debug, Arbitrary)]
enum Host {
    Of(Labels, bool),
    Any(String),
}

#[derive(Debug, Arbitrary)]
struct Labels(Label, Option<Label>, Option<Label>, Option<Label>);

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Label {
    A,
    B,
    UpperA,
    Ab,
}

#[derive(Debug, Arbitrary)]
enum Path {
    Root,
    A,
    UnderA,
    Ab,
    Any(String),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Verb {
    Get,
    Post,
    Purge,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Name {
    X,
    Y,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Value {
    One,
    Two,
}

impl Labels {
    fn text(&self) -> String {
        let labels = [Some(self.0), self.1, self.2, self.3];
        let labels = labels.iter().flatten().map(|label| match label {
            Label::A => "a",
            Label::B => "b",
            Label::UpperA => "A",
            Label::Ab => "ab",
        });
        labels.collect::<Vec<_>>().join(".")
    }
}

impl Path {
    fn text(&self) -> &str {
        match self {
            Self::Root => "/",
            Self::A => "/a",
            Self::UnderA => "/a/",
            Self::Ab => "/ab",
            Self::Any(text) => text,
        }
    }
}

impl Verb {
    fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Purge => "PURGE",
        }
    }
}

fn pair((name, value): &(Name, Value)) -> (&'static str, &'static str) {
    let name = match name {
        Name::X => "x-one",
        Name::Y => "x-two",
    };
    let value = match value {
        Value::One => "1",
        Value::Two => "2",
    };
    (name, value)
}

impl Wanted {
    /// As the configuration keeps it; the status says which one it was.
    fn route(&self, number: usize) -> Route {
        Route {
            plain: false,
            host: self.host.as_ref().map(|(under, labels)| {
                let name = labels.text().to_ascii_lowercase();
                match under {
                    true => HostPattern::Under(format!(".{name}")),
                    false => HostPattern::Exact(name),
                }
            }),
            path: self.path.as_ref().map(|(exact, path)| match exact {
                true => PathPattern::Exact(path.text().to_owned()),
                false => PathPattern::Prefix(path.text().to_owned()),
            }),
            methods: self.methods.iter().map(|m| m.text().to_owned()).collect(),
            headers: self
                .headers
                .iter()
                .map(pair)
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            action: Action::Respond {
                status: number as u16,
            },
        }
    }

    fn holds(&self, request: &Request, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let host_holds = self.host.as_ref().is_none_or(|(under, labels)| {
            let name = labels.text().to_ascii_lowercase();
            match under {
                true => host.len() > name.len() + 1 && host.ends_with(&format!(".{name}")),
                false => host == name,
            }
        });
        let path = request.path.text();
        let path_holds = self
            .path
            .as_ref()
            .is_none_or(|(exact, wanted)| match exact {
                true => path == wanted.text(),
                false => path.starts_with(wanted.text()),
            });
        let mut methods = self.methods.iter();
        let method_holds =
            self.methods.is_empty() || methods.any(|m| m.text() == request.method.text());
        let has = |wanted: &(Name, Value)| request.headers.iter().any(|h| pair(h) == pair(wanted));
        host_holds && path_holds && method_holds && self.headers.iter().all(has)
    }
}

fuzz_target!(|input: Input| {
    let routes: Vec<Route> = input
        .routes
        .iter()
        .enumerate()
        .map(|(i, r)| r.route(i))
        .collect();
    let matcher = Routes::new(&routes, None, |_| None);
    for request in &input.requests {
        let host = match &request.host {
            Host::Of(labels, dot) => labels.text() + if *dot { "." } else { "" },
            Host::Any(text) => text.clone(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers.iter().map(pair) {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let method = Method::from_bytes(request.method.text().as_bytes()).expect("a method");
        let found = matcher.find(Subject {
            host: &host,
            path: request.path.text(),
            method: &method,
            headers: &headers,
        });
        let first = input
            .routes
            .iter()
            .position(|route| route.holds(request, &host));
        let wanted = first.map(|number| Target::Respond {
            status: number as u16,
        });
        assert_eq!(found, wanted);
        redirected(&host, request);
    }
});

fn redirected(host: &str, request: &Request) {
    let (path, query) = (request.path.text(), request.query.as_deref());
    let pieces = [
        Piece::Text("//".to_owned()),
        Piece::Host,
        Piece::Path,
        Piece::Query,
    ];
    let mark = query.map_or(String::new(), |query| format!("?{query}"));
    let to = redirect_target(&pieces, host, path, query);
    assert_eq!(to, format!("//{host}{path}{mark}"));
}
