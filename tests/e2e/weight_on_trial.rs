//! Weights set by hand while a configuration with others is on trial, and who hears of it.

use lb_proto::event::Event;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::eventually::LIMIT;
use lb_tests::{Lbd, Origin};

const TRIAL: [&str; 3] = ["reload", "--confirm-within", "1h"];

/// Of the servers a and b; a has this weight.
fn weighing(origins: &[Origin], weight: u16) -> String {
    let a = format!("name = \"a\", weight = {weight}");
    app(NO_CHECK, origins).replace("name = \"a\"", &a)
}

/// 7 was set over 1, and 5 is on trial.
fn on_trial() -> (Vec<Origin>, Lbd) {
    let origins: Vec<Origin> = Origin::start_all(["a", "b"]).into();
    let mut lbd = Lbd::start(weighing(&origins, 1));
    lbd.lbctl(["weight", "app/a", "7", "--reason", "a big one"])
        .exits(0);
    lbd.rewrite(weighing(&origins, 5));
    lbd.lbctl(TRIAL).exits(0);
    (origins, lbd)
}

/// The weight of a, and why it was set.
fn weight(lbd: &Lbd) -> (u16, Option<String>) {
    let server = lbd.server("app/a");
    let set = server.overrides.weight;
    (server.weight, set.and_then(|set| set.reason))
}

fn as_before() -> (u16, Option<String>) {
    (7, Some("a big one".to_owned()))
}

#[test]
fn what_was_set_before_the_trial_comes_back_with_it() {
    for set in ["0", "9", "configured"] {
        let (_origins, lbd) = on_trial();
        lbd.lbctl(["weight", "app/a", set]).exits(0);
        let meanwhile = set.parse().unwrap_or(5);
        assert_eq!(weight(&lbd), (meanwhile, None));
        lbd.lbctl(["rollback"])
            .exits(0)
            .says("the weight 7 set by")
            .says("counts again");
        assert_eq!(weight(&lbd), as_before(), "{set}");
    }
}

#[test]
fn it_comes_back_after_a_crash_too_and_over_several_trials() {
    let (origins, mut lbd) = on_trial();
    lbd.lbctl(["weight", "app/a", "9"]).exits(0);
    lbd.rewrite(weighing(&origins, 6));
    lbd.lbctl(TRIAL)
        .exits(0)
        .says("the weight 9 set by")
        .says("does not count meanwhile");
    lbd.lbctl(["weight", "app/a", "8"]).exits(0);
    assert_eq!(weight(&lbd).0, 8);
    lbd.kill9();
    lbd.start_again();
    assert_eq!(weight(&lbd), as_before());
    lbd.wait_for_log("counts again");
}

#[test]
fn confirmed_what_was_set_on_trial_stays_and_what_was_before_ends() {
    let (_origins, mut lbd) = on_trial();
    lbd.lbctl(["weight", "app/a", "9", "--reason", "bigger"])
        .exits(0);
    lbd.lbctl(["confirm"])
        .exits(0)
        .says("from 1 to 5, which ends the weight 7 set by");
    let bigger = (9, Some("bigger".to_owned()));
    assert_eq!(weight(&lbd), bigger);
    lbd.kill9();
    lbd.start_again();
    assert_eq!(weight(&lbd), bigger);
}

#[test]
fn events_and_explain_tell_of_a_weight_that_a_configuration_changes() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(weighing(&origins, 1));
    let mut events = lbd.client().watch().expect("it streams");
    let mut next = || {
        loop {
            let event = events.next(LIMIT).expect("it streams");
            if let Some(Event::Weight {
                was,
                weight,
                reason,
                ..
            }) = event
            {
                return (was, weight, reason);
            }
        }
    };
    lbd.rewrite(weighing(&origins, 3));
    lbd.reload().exits(0);
    let changes = "the configuration changes its weight from 1 to 3";
    assert_eq!(next(), (1, 3, changes.to_owned()));
    lbd.lbctl(["explain", "app/a"]).exits(0).says(changes);

    // It ends what was set, though the weight that counts is the same.
    lbd.lbctl(["weight", "app/a", "4"]).exits(0);
    assert_eq!(next().1, 4);
    lbd.rewrite(weighing(&origins, 4));
    lbd.reload().exits(0);
    let (was, weight, reason) = next();
    assert_eq!((was, weight), (4, 4));
    let ends = "the configuration changes its weight from 3 to 4, which ends the weight 4 set by";
    assert!(reason.starts_with(ends), "{reason}");
    lbd.lbctl(["events", "--no-follow"]).exits(0).says(ends);
}
