//! The configurations that are kept: `lbctl rollback --list`, where a rollback leads, whose they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use lb_proto::reply::{KeptConfig, KeptConfigs};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{Lbd, Origin};

use crate::confirm::servers;

fn kept(lbd: &Lbd) -> Vec<KeptConfig> {
    let said = lbd.lbctl(["rollback", "--list", "--json"]).exits(0).json();
    let listed: KeptConfigs = serde_json::from_value(said).expect("it is as the schema says");
    listed.kept
}

/// The number of what runs, and of where a rollback leads.
fn places(lbd: &Lbd) -> (Option<u64>, Option<u64>) {
    let kept = kept(lbd);
    let runs = kept.iter().find(|one| one.runs);
    let next = kept.iter().find(|one| one.next);
    (runs.map(|one| one.number), next.map(|one| one.number))
}

#[test]
fn it_tells_what_runs_and_where_a_rollback_leads() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins[..1]));
    assert_eq!(places(&lbd), (Some(1), None));
    lbd.rewrite(app(NO_CHECK, &origins[..2]));
    lbd.reload().exits(0);
    assert_eq!(places(&lbd), (Some(2), Some(1)));
    lbd.lbctl(["rollback", "--list"])
        .exits(0)
        .says("runs")
        .says("a rollback leads here");

    let both = kept(&lbd);
    assert_eq!((both.len(), both[0].number), (2, 2));
    assert!(both[0].by.contains("uid "), "{both:?}");
    assert_eq!(both[1].by, "the start");
    let text = fs::read_to_string(&both[0].file).expect("it is kept there");
    let file = fs::read_to_string(lbd.config_file()).expect("it is ours");
    assert!(text.ends_with(&file), "{text}");
    assert_eq!(both[0].path, lbd.config_file().display().to_string());

    // What is on trial is not kept yet, and goes to what was confirmed.
    lbd.rewrite(app(NO_CHECK, &origins));
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    assert_eq!(places(&lbd), (None, Some(2)));
    lbd.lbctl(["rollback"]).exits(0);
    assert_eq!(places(&lbd), (Some(2), Some(1)));
    lbd.lbctl(["rollback"]).exits(0);
    assert_eq!(places(&lbd), (Some(1), None));

    // It changes nothing, and what is damaged is no place to go to.
    assert_eq!(places(&lbd), (Some(1), None));
    fs::write(&both[0].file, "?").expect("it is ours");
    let left: Vec<u64> = kept(&lbd).iter().map(|one| one.number).collect();
    assert_eq!(left, [1]);
}

#[test]
fn what_is_kept_is_nobody_elses_and_damage_to_it_is_not_fatal() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.rewrite(app(NO_CHECK, &origins[1..]));
    lbd.reload().exits(0);
    let configs = lbd.folder().join("state/configs");
    let first = configs.join("000001.toml");
    let mode = fs::metadata(&first)
        .expect("it is kept")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    fs::write(&first, "# kept by lbd: {\"number\":1").expect("it is ours");
    lbd.lbctl(["rollback"]).exits(1).says("000001.toml");
    assert_eq!(servers(&lbd), ["b"]);
    assert!(configs.join("000001.unusable").exists());
    for damaged in ["000002.toml", "unconfirmed.json"] {
        fs::write(configs.join(damaged), "\0").expect("it is ours");
    }
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["b"]);
    lbd.wait_for_log("unconfirmed.json");
}
