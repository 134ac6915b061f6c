//! Every key of the configuration, changed alone and together with others.

use proptest::prelude::*;
use proptest::sample::subsequence;

use super::diff;
use crate::config::{Config, read};
use crate::plan::{Change, Effect, Kind, Part, Section};

/// A configuration with every key.
const WHOLE: &str = include_str!("whole.toml");

/// A line each: the key that differs then, what stands in [`WHOLE`] once, and what is put in its place.
const EDITS: &str = include_str!("edits.txt");

struct Edit {
    key: &'static str,
    from: &'static str,
    to: &'static str,
}

fn edits() -> Vec<Edit> {
    let edit = |line: &'static str| {
        let mut cells = line.split('|').map(str::trim);
        let mut cell = || cells.next().expect("three cells a line");
        let (key, from, to) = (cell(), cell(), cell());
        Edit { key, from, to }
    };
    EDITS.lines().map(edit).collect()
}

fn edited(Edit { from, to, .. }: &Edit) -> Config {
    assert_eq!(WHOLE.matches(from).count(), 1, "{from}");
    of(&WHOLE.replace(from, to))
}

/// With these edits, but for those whose text an earlier one took away.
fn edited_by<'e>(edits: impl IntoIterator<Item = &'e Edit>) -> Config {
    let edit = |text: String, Edit { from, to, .. }: &Edit| text.replace(from, to);
    of(&edits.into_iter().fold(WHOLE.to_owned(), edit))
}

fn of(text: &str) -> Config {
    read("lbd.toml", text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

fn keys(changes: &[Change]) -> Vec<&str> {
    changes.iter().filter_map(|c| c.key.as_deref()).collect()
}

#[test]
fn every_key_is_compared() {
    let whole = of(WHOLE);
    assert_eq!(diff(&whole, &whole), []);
    for edit in edits() {
        let changes = diff(&whole, &edited(&edit));
        let (key, from) = (edit.key, edit.from);
        assert!(keys(&changes).contains(&key), "{key}, {from}: {changes:#?}");
    }
}

proptest! {
    #[test]
    fn only_configurations_that_are_the_same_differ_in_nothing(
        one in subsequence((0..edits().len()).collect::<Vec<_>>(), 0..4),
        other in subsequence((0..edits().len()).collect::<Vec<_>>(), 0..4),
    ) {
        let edits = edits();
        let with = |which: Vec<usize>| edited_by(which.iter().map(|at| &edits[*at]));
        let (one, other) = (with(one), with(other));
        let changes = diff(&one, &other);
        prop_assert_eq!(changes.is_empty(), one == other);
        for change in changes {
            let secret = change.key.as_ref().is_some_and(|key| key.ends_with("password_hash"));
            let told = change.was != change.now || change.change == Kind::Moved || secret;
            prop_assert!(told, "{:?} tells of no difference", change);
        }
    }
}

/// One frontend and backend, and what the test adds.
fn small(routes: &str, servers: &str) -> Config {
    of(&format!(
        "[frontend.web]\nbind = [\"*:80\"]\ndefault_backend = \"app\"\n{routes}\n\
         [backend.app]\nservers = [{servers}]\n\
         [backend.api]\nservers = [{{ name = \"one\", address = \"10.0.0.9:80\" }}]\n"
    ))
}

fn route(path: &str, backend: &str) -> String {
    format!("[[frontend.web.routes]]\npath = \"{path}\"\nbackend = \"{backend}\"\n")
}

fn server(name: &str, last: u8) -> String {
    format!("{{ name = \"{name}\", address = \"10.0.0.{last}:80\" }},")
}

/// `change part key was -> now`, one a line.
fn told(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| {
        let part = match &change.place.part {
            Some(Part::Route(at)) => format!("route {at}"),
            Some(Part::Server(name)) => format!("server {name}"),
            Some(Part::Bind(address)) => format!("bind {address}"),
            None => change.place.name.clone(),
        };
        let or_none = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
        format!(
            "{:?} {part} {} {} -> {}",
            change.change,
            or_none(&change.key),
            or_none(&change.was),
            or_none(&change.now)
        )
    };
    changes.iter().map(line).collect()
}

#[test]
fn servers_are_known_by_their_names() {
    let before = small("", &(server("web01", 11) + &server("web02", 12)));
    let after = small("", &(server("web02", 12) + &server("web03", 13)));
    let changes = diff(&before, &after);
    let expected = [
        "Removed server web01 - 10.0.0.11:80 -> -",
        "Added server web03 - - -> 10.0.0.13:80",
    ];
    assert_eq!(told(&changes), expected);
    assert_eq!(changes[0].effect, Effect::SessionsFinish);
    assert_eq!(changes[0].place.name, "app");
    assert_eq!(changes[1].effect, Effect::Joins);
    let swapped = small("", &(server("web02", 12) + &server("web01", 11)));
    assert_eq!(told(&diff(&before, &swapped)), ["Moved app servers - -> -"]);
}

#[test]
fn routes_are_known_by_what_they_match_and_their_order_counts() {
    let before = small(
        &(route("/a", "app") + &route("/b", "app") + &route("/c", "api")),
        &server("web01", 11),
    );
    let after = small(
        &(route("/c", "api") + &route("/a", "api") + &route("/d", "app")),
        &server("web01", 11),
    );
    let expected = [
        "Removed route 2 - /b* -> backend app -> -",
        "Moved route 1 - 3 -> 1",
        "Changed route 2 action /a* -> backend app -> /a* -> backend api",
        "Added route 3 - - -> /d* -> backend app",
    ];
    assert_eq!(told(&diff(&before, &after)), expected);
}

#[test]
fn a_default_shows_where_it_comes_out() {
    let before = small("", &server("web01", 11));
    let text = "[defaults.timeouts]\nclient = \"20s\"\nserver = \"90s\"\n\
         [frontend.web]\nbind = [\"*:80\"]\ndefault_backend = \"app\"\n\
         [backend.app]\nservers = [{ name = \"web01\", address = \"10.0.0.11:80\" }]\n\
         [backend.api]\nservers = [{ name = \"one\", address = \"10.0.0.9:80\" }]\n\
         [backend.api.timeouts]\nserver = \"30s\"\n";
    let expected = [
        "Changed web timeouts.client 30s -> 20s",
        "Changed app timeouts.server 30s -> 90s",
    ];
    assert_eq!(told(&diff(&before, &of(text))), expected);
}

#[test]
fn the_admin_address_comes_moves_and_goes() {
    let without = small("", &server("web01", 11));
    let with = |bind: &str| Config {
        admin: of(&WHOLE.replace("127.0.0.1:8404", bind)).admin,
        ..without.clone()
    };
    let (one, other) = (with("127.0.0.1:1"), with("127.0.0.1:2"));
    let told = |old, new| told(&diff(old, new));
    assert_eq!(told(&without, &one), ["Added  - - -> 127.0.0.1:1, TLS"]);
    assert_eq!(
        told(&one, &other),
        ["Changed  bind 127.0.0.1:1 -> 127.0.0.1:2"]
    );
    assert_eq!(told(&one, &without), ["Removed  - 127.0.0.1:1, TLS -> -"]);
}

#[test]
fn whole_sections_come_and_go() {
    let one = small("", &server("web01", 11));
    let two = of(
        "[frontend.shop]\nbind = [\"*:80\", \"*:8080\"]\ndefault_backend = \"app\"\n\
         [backend.app]\nhealth = false\nservers = [{ name = \"web01\", address = \"10.0.0.11:80\" }]\n",
    );
    let changes = diff(&one, &two);
    let expected = [
        "Removed web - http, 0.0.0.0:80 -> -",
        "Added shop - - -> http, 0.0.0.0:80, 0.0.0.0:8080",
        "Removed api - http, roundrobin, 1 server -> -",
        "Changed app health tcp, every 2s, timeout 2s, rise 2, fall 3 -> -",
    ];
    assert_eq!(told(&changes), expected);
    // The one takes over where the other listened: connections go on.
    assert_eq!(changes[0].effect, Effect::NewRequests);
    assert_eq!(changes[1].effect, Effect::Listens);
    let sections: Vec<_> = changes.iter().map(|change| change.place.section).collect();
    assert_eq!(sections[1..3], [Section::Frontend, Section::Backend]);
}
