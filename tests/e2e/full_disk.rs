//! Configurations on a full disk: what was acknowledged holds after a restart, or it is said, and
//! tried again until it does.

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{FullDisk, Lbd, Origin, eventually, is};

use crate::confirm::servers;

const TRIAL: [&str; 3] = ["reload", "--confirm-within", "1h"];

/// A daemon with the server a, and the file of a and b.
fn one_and_two() -> (Vec<Origin>, Lbd, String) {
    let origins: Vec<Origin> = Origin::start_all(["a", "b"]).into();
    let lbd = Lbd::start(app(NO_CHECK, &origins[..1]));
    let two = app(NO_CHECK, &origins);
    (origins, lbd, two)
}

fn config_error(lbd: &Lbd) -> Option<String> {
    lbd.status().daemon.kept.config_error
}

fn has_room_again(lbd: &Lbd, full: FullDisk) {
    drop(full);
    eventually("it is tried again", || is(config_error(lbd), None));
    lbd.wait_for_log("could be written down");
}

#[test]
fn what_was_confirmed_there_stays() {
    let (_origins, mut lbd, two) = one_and_two();
    lbd.rewrite(two);
    lbd.lbctl(TRIAL).exits(0);
    let full = FullDisk::of(&lbd);
    lbd.lbctl(["confirm"])
        .exits(0)
        .says("the configuration is not kept: cannot write");
    lbd.lbctl(["status"])
        .exits(0)
        .says("the configuration is not kept: cannot write")
        .says("tried again");
    lbd.lbctl(["doctor"]).exits(1).says("none leads back");
    // Though nothing could be written.
    lbd.kill9();
    drop(full);
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a", "b"]);
    assert!(!lbd.log().contains("not confirmed"), "{}", lbd.log());
    assert_eq!(config_error(&lbd), None);
    lbd.lbctl(["rollback"]).exits(0);
    assert_eq!(servers(&lbd), ["a"]);
}

#[test]
fn what_cannot_be_confirmed_there_stays_on_trial() {
    let (_origins, mut lbd, two) = one_and_two();
    lbd.rewrite(two);
    lbd.lbctl(TRIAL).exits(0);
    let record = lbd.folder().join("state/configs/unconfirmed.json");
    let saved = std::fs::read(&record).expect("it is on trial");
    // A folder cannot be unlinked, whoever lbd is.
    std::fs::remove_file(&record).expect("it is ours");
    std::fs::create_dir(&record).expect("it is ours");
    lbd.lbctl(["confirm"])
        .exits(1)
        .says("cannot be confirmed, a restart would go back")
        .says("on trial as before");
    assert!(!lbd.status().daemon.config.confirmed);
    assert_eq!(config_error(&lbd), None);
    std::fs::remove_dir(&record).expect("it is ours");
    std::fs::write(&record, saved).expect("it is ours");
    lbd.lbctl(["confirm"]).exits(0);
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a", "b"]);
}

#[test]
fn what_was_rolled_back_there_does_not_come_again() {
    let (_origins, mut lbd, two) = one_and_two();
    lbd.rewrite(two);
    lbd.reload().exits(0);
    let full = FullDisk::of(&lbd);
    lbd.lbctl(["rollback"])
        .exits(0)
        .says("a restart may begin with what was left: cannot write");
    lbd.lbctl(["status"])
        .exits(0)
        .says("a restart may begin with what was left");
    has_room_again(&lbd, full);
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a"]);
    lbd.wait_for_log("was not confirmed");
}

#[test]
fn once_there_is_room_a_trial_is_possible_again() {
    let (origins, mut lbd, two) = one_and_two();
    let full = FullDisk::of(&lbd);
    lbd.rewrite(&two);
    lbd.reload().exits(0).says("the configuration is not kept");
    lbd.reload()
        .exits(0)
        .says("nothing changed")
        .says("the configuration is not kept");
    lbd.rewrite(app(NO_CHECK, &origins[1..]));
    lbd.lbctl(TRIAL)
        .exits(1)
        .says("the configuration that runs is not kept on disk");
    drop(full);
    lbd.lbctl(TRIAL).exits(0);
    assert_eq!(
        (servers(&lbd), config_error(&lbd)),
        (vec!["b".to_owned()], None)
    );
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a", "b"]);
}

#[test]
fn a_plain_reload_of_the_same_file_keeps_it() {
    let (_origins, mut lbd, two) = one_and_two();
    let full = FullDisk::of(&lbd);
    lbd.rewrite(two);
    lbd.reload().exits(0).says("the configuration is not kept");
    drop(full);
    lbd.reload().exits(0).says("nothing changed");
    assert_eq!(config_error(&lbd), None);
    assert!(lbd.folder().join("state/configs/000002.toml").exists());
}

#[test]
fn changes_that_are_in_no_audit_file_are_told_of() {
    let (_origins, lbd, _) = one_and_two();
    let error = || lbd.status().daemon.kept.audit_error;
    let full = FullDisk::of(&lbd);
    lbd.lbctl(["drain", "app/a"]).exits(0);
    let why = eventually("it is known", || error().ok_or("nothing is"));
    assert!(why.contains("audit.jsonl"), "{why}");
    lbd.lbctl(["status"])
        .exits(0)
        .says("changes are not in the audit file: cannot write");
    lbd.lbctl(["doctor"])
        .exits(1)
        .says("the audit file cannot be written");
    drop(full);
    lbd.lbctl(["ready", "app/a"]).exits(0);
    eventually("it is written again", || is(error(), None));
}
