//! Routes: what they match tells them apart, and the first match wins, so that their order counts.

use super::words::{Words, joined};
use super::{Differ, matched};
use crate::config::{HostPattern, PathPattern, Route};
use crate::plan::{Effect, Kind, Part};

/// What a route matches.
#[derive(PartialEq, Eq, Hash)]
struct Matcher<'a> {
    host: Option<&'a HostPattern>,
    path: Option<&'a PathPattern>,
    methods: &'a [String],
    headers: &'a [(String, String)],
}

impl<'a> Matcher<'a> {
    fn of(route: &'a Route) -> Self {
        Self {
            host: route.host.as_ref(),
            path: route.path.as_ref(),
            methods: &route.methods,
            headers: &route.headers,
        }
    }
}

pub(super) fn compare(at: &mut Differ<'_>, old: &[Route], new: &[Route]) {
    let effect = Effect::NewRequests;
    let all = matched(old, new, Matcher::of);
    for (position, gone) in &all.gone {
        at.part(Part::Route(position + 1))
            .removed(summary(gone), effect);
    }
    for (position, one) in all.present.iter().enumerate() {
        let mut at = at.part(Part::Route(position + 1));
        let Some((before, old)) = one.old else {
            at.added(summary(one.new), effect);
            continue;
        };
        let Route {
            host: _,
            path: _,
            methods: _,
            headers: _,
            plain,
            action,
        } = old;
        if one.moved {
            let places = (
                Some((before + 1).to_string()),
                Some((position + 1).to_string()),
            );
            at.tell(Kind::Moved, None, places, effect);
        }
        at.key("plain", plain, &one.new.plain, effect);
        let to = |action: &_| {
            format!(
                "{} {}",
                matches(old),
                Words::words(action).unwrap_or_default()
            )
        };
        if *action != one.new.action {
            at.tell(
                Kind::Changed,
                Some("action"),
                (Some(to(action)), Some(to(&one.new.action))),
                effect,
            );
        }
    }
}

/// `api.example.com /v1/* backend api`
fn summary(route: &Route) -> String {
    let plain = route.plain.then(|| "plain".to_owned());
    let action = route.action.words().unwrap_or_default();
    joined([Some(format!("{} {action}", matches(route))), plain])
}

fn matches(route: &Route) -> String {
    let header = |(name, value): &(String, String)| format!("{name}={value}");
    let headers: Vec<String> = route.headers.iter().map(header).collect();
    let methods = (!route.methods.is_empty()).then(|| route.methods.join("|"));
    let parts = [methods, route.host.words(), route.path.words()];
    let parts: Vec<String> = parts.into_iter().flatten().chain(headers).collect();
    match parts.is_empty() {
        true => "everything ->".to_owned(),
        false => format!("{} ->", parts.join(" ")),
    }
}
