//! `lbctl reload --confirm-within` and `lbctl confirm`: what nobody confirms does not stay, whatever
//! becomes of the daemon meanwhile.

use lb_proto::event::Event;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::eventually::LIMIT;
use lb_tests::{Lbd, Load, Origin, Process, eventually, is};
use rustix::process::Signal;

/// Two configurations: of the servers a and b, and of b alone.
fn two() -> ([Origin; 2], String, String) {
    let origins = Origin::start_all(["a", "b"]);
    let both = app(NO_CHECK, &origins);
    let one = app(NO_CHECK, &origins[1..]);
    (origins, both, one)
}

pub(crate) fn servers(lbd: &Lbd) -> Vec<String> {
    let status = lbd.status();
    let servers = status.backends.iter().flat_map(|b| &b.servers);
    servers.map(|server| server.name.to_string()).collect()
}

#[test]
fn unconfirmed_it_goes_back_by_itself_and_no_request_fails() {
    let (_origins, both, one) = two();
    let mut lbd = Lbd::start(both);
    let mut events = lbd.client().watch().expect("it streams");
    let load = Load::on(lbd.addr()).start();
    load.go_on_for(50);
    lbd.rewrite(one);
    lbd.lbctl(["reload", "--confirm-within", "1s"])
        .exits(0)
        .says("- server a")
        .says("unless `lbctl confirm` comes before");
    load.go_on_for(50);
    eventually("the former configuration is back", || {
        is(servers(&lbd), vec!["a".to_owned(), "b".to_owned()])
    });
    load.go_on_for(50);
    load.stop().assert_clean();

    lbd.wait_for_log("not confirmed within 1s: going back");
    let config = lbd.status().daemon.config;
    assert_eq!((config.generation, config.confirmed), (3, true));
    assert_eq!((config.trial, config.file_differs), (None, Some(true)));
    let last = config.last_reload.expect("there was one");
    assert!(!last.ok && last.error.is_some_and(|e| e.contains("not confirmed")));
    lbd.lbctl(["status"])
        .exits(0)
        .says("the last reload failed")
        .says("the file says something else by now");
    lbd.lbctl(["confirm"])
        .exits(1)
        .says("nothing waits to be confirmed");

    lbd.lbctl(["events", "--audit", "--no-follow"])
        .exits(0)
        .says("rollback generation 2 → generation 3  by lbd (uid ")
        .says("): not confirmed within 1s");

    let mut reasons = Vec::new();
    while reasons.len() < 2 {
        let event = events.next(LIMIT).expect("it streams");
        if let Some(Event::Config { reason, .. }) = event {
            reasons.push(reason);
        }
    }
    let on_trial = reasons[0].ends_with(", to be confirmed within 1s");
    assert!(
        on_trial && reasons[0].starts_with("loaded by "),
        "{reasons:?}"
    );
    assert_eq!(
        reasons[1],
        "generation 2 rolled back: not confirmed within 1s"
    );
}

#[test]
fn confirmed_it_stays_and_outlives_a_restart() {
    let (_origins, both, one) = two();
    let mut lbd = Lbd::start(both);
    lbd.rewrite(one);
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    let config = lbd.status().daemon.config;
    assert!(!config.confirmed);
    let trial = config.trial.expect("it is on trial");
    assert!(
        trial
            .confirm_left_s
            .is_some_and(|left| (1..=3600).contains(&left))
    );
    assert!(trial.by.contains("uid ") && trial.confirm_until.is_some());
    lbd.lbctl(["status"])
        .exits(0)
        .says("not confirmed: goes back in");
    lbd.lbctl(["confirm"]).exits(0).says("generation 2 stays");
    let config = lbd.status().daemon.config;
    assert_eq!((config.confirmed, config.trial), (true, None));
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["b"]);
    assert_eq!(lbd.status().daemon.config.file_differs, Some(false));
}

#[test]
fn killed_before_it_is_confirmed_it_starts_from_what_was() {
    let (_origins, both, one) = two();
    let mut lbd = Lbd::start(both.clone());
    lbd.rewrite(one.clone());
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    assert_eq!(servers(&lbd), ["b"]);
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a", "b"]);
    lbd.wait_for_log("was not confirmed: started from the configuration of");
    let config = lbd.status().daemon.config;
    assert_eq!((config.file_differs, config.confirmed), (Some(true), true));
    lbd.lbctl(["plan"]).exits(0).says("- server a");

    // Nor does a second start forget it, after an orderly stop.
    assert_eq!(lbd.stop(), Some(0));
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a", "b"]);
    // Until somebody says so.
    lbd.reload().exits(0);
    assert_eq!(servers(&lbd), ["b"]);
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["b"]);
}

/// Killed, it starts from both servers, which were confirmed; edited while it is down, with nothing on trial,
/// from the file as usual.
#[track_caller]
fn a_crash_tries_nothing_and_an_edit_after_it_counts(lbd: &mut Lbd, origins: &[Origin]) {
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(lbd), ["a", "b"]);
    lbd.wait_for_log("was not confirmed");
    // Edited while it is down, with nothing on trial: as usual.
    assert_eq!(lbd.stop(), Some(0));
    lbd.rewrite(app("retries = 2\nhealth = false", &origins[..1]));
    lbd.start_again();
    assert_eq!(servers(lbd), ["a"]);
}

#[test]
fn a_file_that_is_edited_while_one_waits_is_not_confirmed_by_a_crash() {
    let (origins, both, one) = two();
    let mut lbd = Lbd::start(both.clone());
    lbd.rewrite(one);
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    lbd.rewrite(app(NO_CHECK, &origins[..1]));
    a_crash_tries_nothing_and_an_edit_after_it_counts(&mut lbd, &origins);
    assert!(!lbd.log().contains("not confirmed"), "{}", lbd.log());
    // And where the file is put right, nothing is to be said.
    assert_eq!(lbd.stop(), Some(0));
    lbd.rewrite(both);
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a", "b"]);
    assert!(!lbd.log().contains("not confirmed"), "{}", lbd.log());
}

#[test]
fn nor_is_a_file_that_was_edited_before_it_went_back() {
    let (origins, both, one) = two();
    let other = app(NO_CHECK, &origins[..1]);
    for broken in [false, true] {
        let mut lbd = Lbd::start(both.clone());
        lbd.rewrite(one.clone());
        lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
        lbd.rewrite(other.clone());
        if broken {
            lbd.rewrite_with(|file| format!("x = [\n{file}"));
        }
        lbd.lbctl(["rollback"]).exits(0);
        a_crash_tries_nothing_and_an_edit_after_it_counts(&mut lbd, &origins);
    }
}

#[test]
fn killed_meanwhile_it_starts_from_what_was_though_the_file_is_of_no_use() {
    let (_origins, both, one) = two();
    let certificate = |file: String| {
        let bind = "bind = [\"127.0.0.1:0\"]";
        assert!(file.contains(bind), "{file}");
        let tls = "bind = [{ address = \"127.0.0.1:0\", tls = { certs = [\"/nowhere\"] } }]";
        file.replace(bind, tls)
    };
    let breaks: [(&str, &dyn Fn(String) -> String); 3] = [
        ("key with no value", &|file| format!("nothing\n{file}")),
        ("unclosed array", &|file| format!("x = [\n{file}")),
        ("/nowhere", &certificate),
    ];
    for (why, break_it) in breaks {
        let mut lbd = Lbd::start(both.clone());
        lbd.rewrite(one.clone());
        lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
        lbd.rewrite_with(break_it);
        // Nor does a second start forget it.
        for _ in 0..2 {
            lbd.kill9();
            lbd.start_again();
            assert_eq!(servers(&lbd), ["a", "b"], "{why}");
            lbd.wait_for_log("was not confirmed: started from the configuration of");
            lbd.wait_for_log("the file cannot be used");
        }
        // Put right, it is as usual.
        lbd.rewrite(both.clone());
        lbd.reload().exits(0);
        lbd.rewrite_with(break_it);
        assert_eq!(lbd.stop(), Some(0));
        assert_ne!(Process::run(lbd.command()).code, Some(0));
    }
}

#[test]
fn after_it_went_back_a_restart_does_not_bring_it_again() {
    let (_origins, both, one) = two();
    let mut lbd = Lbd::start(both);
    lbd.rewrite(one);
    lbd.lbctl(["reload", "--confirm-within", "1s"]).exits(0);
    eventually("it went back", || is(servers(&lbd).len(), 2));
    lbd.kill9();
    lbd.start_again();
    assert_eq!(servers(&lbd), ["a", "b"]);
    lbd.wait_for_log("was not confirmed");
}

#[test]
fn while_one_waits_only_one_that_is_to_be_confirmed_takes_its_place() {
    let (origins, both, one) = two();
    let mut lbd = Lbd::start(both.clone());
    lbd.rewrite(one);
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    let other = app("retries = 1\nhealth = false", &origins[1..]);
    lbd.rewrite(other);
    lbd.reload()
        .exits(1)
        .says("waits to be confirmed until")
        .says("lbctl confirm");
    lbd.lbctl(["reload", "--rollback-if-down"]).exits(1);
    lbd.signal(Signal::HUP);
    lbd.wait_for_log("reload asked by SIGHUP");
    lbd.wait_for_log("reload refused");
    assert_eq!(lbd.status().daemon.config.generation, 2);
    // An invalid one does not end the trial of the other.
    lbd.rewrite("nothing");
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(3);
    assert!(!lbd.status().daemon.config.confirmed);

    lbd.rewrite(app("retries = 2\nhealth = false", &origins[1..]));
    lbd.lbctl(["reload", "--confirm-within", "2h"]).exits(0);
    assert_eq!(lbd.status().daemon.config.generation, 3);
    // What comes back is what was confirmed, not the first that was on trial.
    lbd.lbctl(["rollback"]).exits(0);
    assert_eq!(servers(&lbd), ["a", "b"]);
    lbd.rewrite(both);
    assert_eq!(lbd.status().daemon.config.file_differs, Some(false));
}

#[test]
fn the_same_file_again_gives_more_time() {
    let (_origins, both, one) = two();
    let mut lbd = Lbd::start(both);
    lbd.rewrite(one);
    let left = |lbd: &Lbd| {
        let trial = lbd.status().daemon.config.trial;
        trial.and_then(|trial| trial.confirm_left_s)
    };
    lbd.lbctl(["reload", "--confirm-within", "1h"]).exits(0);
    lbd.lbctl(["reload", "--confirm-within", "10h"])
        .exits(0)
        .says("nothing changed");
    assert!(left(&lbd).is_some_and(|left| left > 3600));
    assert_eq!(lbd.status().daemon.config.generation, 2);
}

#[test]
fn nothing_is_on_trial_where_nothing_changed() {
    let (_origins, both, _) = two();
    let lbd = Lbd::start(both);
    lbd.lbctl(["reload", "--confirm-within", "1h"])
        .exits(0)
        .says("nothing changed");
    assert!(lbd.status().daemon.config.confirmed);
    lbd.lbctl(["confirm"]).exits(1);
}

#[test]
fn what_cannot_be_watched_over_a_restart_is_refused() {
    let (_origins, both, _) = two();
    let lbd = Lbd::start(both);
    let other = lbd.folder().join("elsewhere");
    let file = std::fs::read_to_string(lbd.config_file()).expect("it is ours");
    let state = lbd.folder().join("state");
    let file = file.replace(&format!("{state:?}"), &format!("{other:?}"));
    std::fs::write(lbd.config_file(), file).expect("it is ours");
    lbd.lbctl(["reload", "--confirm-within", "1h"])
        .exits(1)
        .says("state_dir cannot be changed on trial");
    assert_eq!(lbd.status().daemon.config.generation, 1);
    lbd.reload().exits(0);
    for wrong in ["0s", "1500ms", "25h", "soon"] {
        lbd.lbctl(["reload", "--confirm-within", wrong]).exits(2);
    }
}

#[test]
fn without_disk_there_is_no_trial_and_nothing_changes() {
    let (_origins, both, one) = two();
    let mut lbd = Lbd::start(both);
    let configs = lbd.folder().join("state/configs");
    std::fs::remove_dir_all(&configs).expect("it is ours");
    std::fs::write(&configs, "in the way").expect("the folder is ours");
    lbd.rewrite(one);
    lbd.lbctl(["reload", "--confirm-within", "1h"])
        .exits(1)
        .says("a trial cannot be written down");
    assert_eq!(servers(&lbd), ["a", "b"]);
    // A plain reload works, and says what it does without.
    lbd.reload().exits(0).says("the configuration is not kept");
    assert_eq!(servers(&lbd), ["b"]);
    lbd.lbctl(["rollback"]).exits(1);
}
