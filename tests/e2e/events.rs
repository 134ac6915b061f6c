//! `events`: what happened lately and what happens, and who asked for it.

use std::fs;

use lb_proto::audit::{Audit, Outcome};
use lb_proto::event::Event;
use lb_proto::request::{Reload, SetState, SetWeight};
use lb_proto::state::Admin;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{Lbd, Origin, eventually};
use rustix::process::Signal;

fn parsed(stdout: &str) -> Vec<Event> {
    let lines = stdout.lines();
    let read = |line: &str| serde_json::from_str(line).expect("a line is an event");
    lines.map(read).collect()
}

/// The events that are kept, oldest first.
fn lately(lbd: &Lbd) -> Vec<Event> {
    let said = lbd.lbctl(["events", "--no-follow", "--json"]).exits(0);
    parsed(&said.stdout)
}

fn audit(lbd: &Lbd) -> Vec<Audit> {
    let said = lbd.lbctl(["events", "--audit", "--no-follow", "--json"]);
    let events = parsed(&said.exits(0).stdout).into_iter();
    events
        .map(|event| match event {
            Event::Audit(record) => record,
            other => panic!("{other:?} is no record"),
        })
        .collect()
}

/// `by who? what on from → to: reason, outcome`, without what differs from run to run.
fn in_short(record: &Audit) -> String {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "{} {} {} {} {} {}",
        record.what,
        record
            .on
            .as_deref()
            .map_or("-", |on| on.rsplit_once("/lbd.toml").map_or(on, |_| "FILE")),
        or_none(&record.from),
        or_none(&record.to),
        or_none(&record.reason),
        record.outcome.as_str(),
    )
}

#[test]
fn what_happened_is_kept_and_what_happens_follows() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["drain", "app/a", "--reason", "first"]).exits(0);
    let follows = lbd.lbctl_in_background(["events", "--json"]);
    let seen = |count: usize| {
        eventually(&format!("{count} events are shown"), || {
            let shown = parsed(&follows.stdout.so_far());
            (shown.len() == count)
                .then_some(())
                .ok_or(format!("{shown:?}"))
        });
    };
    seen(1);
    lbd.lbctl(["weight", "app/b", "3"]).exits(0);
    seen(2);
    let shown = parsed(&follows.stdout.so_far());
    assert!(matches!(&shown[0], Event::Server { reason, .. } if reason.ends_with(": first")));
    assert!(matches!(
        &shown[1],
        Event::Weight {
            was: 1,
            weight: 3,
            ..
        }
    ));
    assert_eq!(lately(&lbd), shown);

    lbd.lbctl(["events", "--no-follow"])
        .exits(0)
        .says("up → drain")
        .says("weight 1 → 3");
    let all = lbd
        .lbctl(["events", "--no-follow", "--since", "1h"])
        .exits(0);
    assert_eq!(all.stdout.lines().count(), 2);
    let none = lbd.lbctl(["events", "--no-follow", "--since", "2099-01-01T00:00:00Z"]);
    assert_eq!(none.exits(0).stdout, "");
    lbd.lbctl(["events", "--since", "yesterday"]).exits(2);
}

#[test]
fn every_change_is_on_record_with_who_asked_and_what_came_of_it() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl([
        "drain",
        "app/a",
        "--no-wait",
        "--for",
        "1h",
        "--reason",
        "kernel",
    ])
    .exits(0);
    lbd.lbctl(["maint", "app/a", "--kill"]).exits(0);
    lbd.lbctl(["weight", "app/b", "0"]).exits(0);
    let mut client = lbd.client();
    let wrong = SetWeight {
        server: "app/b".parse().expect("a name"),
        weight: Some(999),
        reason: None,
    };
    client.call(&wrong).expect_err("it is too much");
    let unknown = SetState {
        server: "app/x".parse().expect("a name"),
        admin: Admin::Drain,
        was: None,
        move_sticky: None,
        reason: None,
        for_s: None,
        kill: false,
    };
    client.call(&unknown).expect_err("there is none");
    let good = app(NO_CHECK, &origins);
    lbd.rewrite(good.replace("health = ", "retries = 1\nhealth = "));
    lbd.reload().exits(0);
    lbd.rewrite("nonsense");
    lbd.reload().exits(3);
    lbd.signal(Signal::HUP);
    lbd.wait_for_log("what=\"SIGHUP\"");
    lbd.signal(Signal::USR1);
    lbd.wait_for_log("what=\"SIGUSR1\"");
    let records = audit(&lbd);
    let told: Vec<String> = records.iter().map(in_short).collect();
    assert_eq!(
        told,
        [
            "set_state app/a ready drain, for 3600 s kernel done",
            "set_state app/a drain maint, sessions closed - done",
            "set_weight app/b 1 0 - done",
            "set_weight app/b - 999 - refused",
            "set_state app/x - drain - refused",
            "reload FILE generation 1 generation 2 - done",
            "reload FILE generation 2 - - refused",
            "SIGHUP FILE generation 2 - - refused",
            "SIGUSR1 - - - - done",
        ]
    );
    let (uid, pid) = (rustix::process::getuid().as_raw(), std::process::id());
    for record in &records[..7] {
        assert_eq!(record.by.uid, Some(uid), "{record:?}");
        assert!(record.by.pid.is_some());
    }
    assert_eq!(records[3].by.pid, Some(pid.cast_signed()));
    assert_eq!(records[4].error.as_deref(), Some("no such server: app/x"));
    // In the log as well, and there after a crash.
    lbd.wait_for_log("reason=\"kernel\"");
    lbd.rewrite(good);
    lbd.kill9();
    lbd.start_again();
    assert_eq!(audit(&lbd), records);
}

/// Each begins where the one before it has ended, and none is older than that; returns the last end.
#[track_caller]
fn chained<'a>(records: impl IntoIterator<Item = &'a Audit>) -> Option<String> {
    let mut last: Option<&Audit> = None;
    for record in records {
        if let Some(last) = last {
            assert_eq!(record.from, last.to, "{last:?}, then {record:?}");
            assert!(record.at >= last.at, "{last:?}, then {record:?}");
        }
        last = Some(record);
    }
    last.and_then(|record| record.to.clone())
}

#[test]
fn changes_that_come_at_once_are_on_record_in_their_order() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let state = |admin| SetState {
        server: "app/a".parse().expect("a name"),
        admin,
        move_sticky: None,
        reason: None,
        for_s: None,
        kill: false,
        was: None,
    };
    let weight = |weight| SetWeight {
        server: "app/b".parse().expect("a name"),
        weight: Some(weight),
        reason: None,
    };
    std::thread::scope(|scope| {
        for n in 1..=20 {
            let (lbd, state, weight) = (&lbd, &state, &weight);
            scope.spawn(move || {
                let mut client = lbd.client();
                for admin in [Admin::Drain, Admin::Maint, Admin::Ready] {
                    client.call(&state(admin)).expect("it is done");
                    client.call(&weight(n)).expect("it is done");
                }
            });
        }
    });
    let records = audit(&lbd);
    assert_eq!(records.len(), 120);
    let (states, weights): (Vec<_>, Vec<_>) = records
        .iter()
        .partition(|record| record.what == "set_state");
    let admin = lbd.server("app/a").admin.to_string();
    assert_eq!(chained(states), Some(admin));
    let weight = lbd.server("app/b").weight.to_string();
    assert_eq!(chained(weights), Some(weight));
}

#[test]
fn configurations_that_come_at_once_are_on_record_in_their_order() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let file = lbd.config_file();
    let text = fs::read_to_string(&file).expect("it is ours");
    std::thread::scope(|scope| {
        for n in 1..=4 {
            let (lbd, file, text) = (&lbd, &file, &text);
            scope.spawn(move || {
                let mut client = lbd.client();
                for round in 0..5 {
                    let another = format!("{text}queue = {{ max = {} }}\n", 10 * n + round);
                    let beside = file.with_extension(n.to_string());
                    fs::write(&beside, another).expect("it is ours");
                    fs::rename(beside, file).expect("it is ours");
                    client.call(&Reload::default()).expect("it is valid");
                }
            });
        }
    });
    let records = audit(&lbd);
    assert_eq!(records.len(), 20);
    let generation = lbd.status().daemon.config.generation;
    assert!(generation > 5, "nothing was loaded");
    assert_eq!(chained(&records), Some(format!("generation {generation}")));
}

#[test]
fn a_record_that_cannot_be_written_keeps_nobody_from_anything() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let file = lbd.folder().join("state/audit.jsonl");
    fs::create_dir(&file).expect("nothing was asked yet");
    lbd.lbctl(["drain", "app/a"]).exits(0);
    lbd.wait_for_log("changes are in this log alone");
    assert_eq!(audit(&lbd), []);
    fs::remove_dir(&file).expect("it is ours");
    lbd.lbctl(["ready", "app/a"]).exits(0);
    let records = audit(&lbd);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, Outcome::Done);
}

#[test]
fn records_follow_too() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let follows = lbd.lbctl_in_background(["events", "--audit"]);
    // Until it shows one, it may not have asked yet.
    let mut asked = 0;
    eventually("a record is shown", || {
        lbd.lbctl(["maint", "app/a"]).exits(0);
        asked += 1;
        let shown = follows.stdout.so_far();
        shown.contains("set_state").then_some(()).ok_or(shown)
    });
    eventually("each is shown, once", || {
        let shown = follows.stdout.so_far().lines().count();
        (shown == asked).then_some(()).ok_or(shown)
    });
}
