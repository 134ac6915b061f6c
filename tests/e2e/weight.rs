//! `weight`: how much of the new sessions a server gets, whatever the configuration says.

use std::collections::BTreeMap;

use lb_proto::error::ErrorCode;
use lb_proto::request::SetWeight;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{Lbd, Origin, wire};

/// How many of so many requests each server answers.
fn counts(lbd: &Lbd, requests: u32, path: impl Fn(u32) -> String) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for n in 0..requests {
        let answer = wire::get(lbd.addr(), &path(n));
        let name = answer.origin().expect("a server answers").to_owned();
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn of(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
    pairs
        .iter()
        .map(|(name, n)| ((*name).to_owned(), *n))
        .collect()
}

#[test]
fn the_rotation_follows_at_once_and_back() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let rotation = || counts(&lbd, 12, |_| "/".to_owned());
    assert_eq!(rotation(), of(&[("a", 4), ("b", 4), ("c", 4)]));
    lbd.lbctl(["weight", "app/a", "4"])
        .exits(0)
        .says("app/a has weight 4; it was 1, and 1 is configured");
    assert_eq!(rotation(), of(&[("a", 8), ("b", 2), ("c", 2)]));
    lbd.lbctl(["weight", "app/a", "configured"])
        .exits(0)
        .says("app/a has weight 1, as configured; it was 4");
    assert_eq!(rotation(), of(&[("a", 4), ("b", 4), ("c", 4)]));
    assert_eq!(lbd.server("app/a").overrides.weight, None);
}

#[test]
fn weight_0_leaves_only_the_clients_whose_cookie_names_it() {
    let origins = Origin::start_all(["a", "b"]);
    let lines = format!("{NO_CHECK}\nsticky = {{ cookie = \"S\" }}");
    let lbd = Lbd::start(app(&lines, &origins));
    lbd.lbctl(["weight", "app/a", "0", "--reason", "leaves soon"])
        .exits(0);
    assert_eq!(counts(&lbd, 6, |_| "/".to_owned()), of(&[("b", 6)]));
    let mut wire = lb_tests::Wire::connect(lbd.addr());
    wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: S=a\r\n\r\n");
    assert_eq!(wire.response().origin(), Some("a"));
    let set = lbd.server("app/a").overrides.weight.expect("it is set");
    assert_eq!(set.reason.as_deref(), Some("leaves soon"));

    lbd.lbctl(["weight", "app/b", "0"])
        .exits(0)
        .says("no other server of app is up");
    assert_eq!(wire::get(lbd.addr(), "/").status, 503);
}

#[test]
fn keys_are_spread_by_it_and_the_others_stay_where_they_are() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(&format!("{NO_CHECK}\nbalance = \"uri\""), &origins));
    let owners = || -> Vec<Option<String>> {
        let answers = (0..200).map(|n| wire::get(lbd.addr(), &format!("/{n}")));
        answers.map(|a| a.origin().map(str::to_owned)).collect()
    };
    let share = |owners: &[Option<String>]| {
        owners
            .iter()
            .filter(|owner| owner.as_deref() == Some("a"))
            .count()
    };
    let before = owners();
    assert!((60..=140).contains(&share(&before)), "{}", share(&before));
    lbd.lbctl(["weight", "app/a", "4"]).exits(0);
    let heavier = owners();
    assert!(share(&heavier) > 135, "{}", share(&heavier));
    let moves =
        |(was, is): (&Option<String>, &Option<String>)| was == is || is.as_deref() == Some("a");
    assert!(before.iter().zip(&heavier).all(moves));
    lbd.lbctl(["weight", "app/a", "0"]).exits(0);
    assert_eq!(share(&owners()), 0);
    lbd.lbctl(["weight", "app/a", "1"]).exits(0);
    assert_eq!(owners(), before);
}

#[test]
fn what_is_no_weight_is_refused() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    for wrong in ["257", "-1", "x", ""] {
        lbd.lbctl(["weight", "app/a", wrong]).exits(2);
    }
    let error = lbd.client().call(&SetWeight {
        server: "app/a".parse().expect("a name"),
        weight: Some(257),
        reason: None,
    });
    let error = error.expect_err("it is too much");
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert_eq!(error.message, "a weight is from 0 to 256, not 257");
    lbd.lbctl(["weight", "app/b", "1"]).exits(6);
    assert_eq!(lbd.server("app/a").weight, 1);
}
