//! Every balance but the default, which `spread` has; backups and slow starts.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lb_proto::state::State;
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK};
use lb_tests::origin::Health;
use lb_tests::wire::{ask, get, request};
use lb_tests::{Lbd, Origin, Setup, Wire, eventually, is};

/// The frontend `web` and the backend `app` with `lines`; what each server has beside its address is
/// given with it.
fn config<'o>(lines: &str, servers: impl IntoIterator<Item = (&'o Origin, &'o str)>) -> String {
    let servers: String = servers
        .into_iter()
        .map(|(origin, more)| {
            let (name, address) = (origin.name(), origin.addr());
            format!("  {{ name = \"{name}\", address = \"{address}\"{more} }},\n")
        })
        .collect();
    format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
         [backend.app]\n{lines}\nservers = [\n{servers}]\n"
    )
}

fn equal<'o>(lines: &str, origins: impl IntoIterator<Item = &'o Origin>) -> String {
    config(lines, origins.into_iter().map(|origin| (origin, "")))
}

/// Who answers, on a connection of its own.
fn who(addr: SocketAddr, target: &str) -> String {
    let response = get(addr, target);
    response.origin().expect("an origin answered").to_owned()
}

fn counted(names: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn leastconn_keeps_equal_servers_within_one_session_across_threads() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Setup::new(equal("balance = \"leastconn\"\nhealth = false", &origins))
        .global("threads = 4")
        .start();
    origins.iter().for_each(|origin| origin.hold("/held"));
    let in_flight = || origins.each_ref().map(Origin::in_flight);
    let mut held: Vec<Wire> = Vec::new();
    for n in 1..=20 {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(request("GET", "/held"));
        held.push(wire);
        let now = eventually("one more is in flight", || {
            let now = in_flight();
            is(now.iter().sum::<u64>(), n).map(|()| now)
        });
        let apart = now.iter().max().expect("three") - now.iter().min().expect("three");
        assert!(apart <= 1, "{now:?}");
    }
    // What is left takes its turns between them: b has the least now, and gets what comes.
    origins[1].release();
    eventually("b has nothing left", || is(lbd.server("app/b").sessions, 0));
    assert_eq!(
        counted((0..10).map(|_| who(lbd.addr(), "/"))),
        counted(vec!["b".to_owned(); 10])
    );
    origins.iter().for_each(Origin::release);
    for wire in &mut held {
        assert_eq!(wire.response().status, 200);
    }
    eventually("idle servers take turns", || {
        is(
            ["a", "b", "c"].map(|s| lbd.server(&format!("app/{s}")).sessions),
            [0; 3],
        )
    });
    assert_eq!(
        counted((0..9).map(|_| who(lbd.addr(), "/")))
            .into_values()
            .collect::<Vec<_>>(),
        [3, 3, 3]
    );
}

#[test]
fn random_reaches_every_server() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(equal("balance = \"random\"\nhealth = false", &origins));
    let seen = counted((0..200).map(|_| who(lbd.addr(), "/")));
    // One in three each; less than one in ten has a chance of one in a million million.
    assert!(
        seen.len() == 3 && seen.values().all(|n| *n > 20),
        "{seen:?}"
    );
}

#[test]
fn source_gives_a_client_the_same_server_until_that_is_gone() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(equal("balance = \"source\"\nhealth = false", &origins));
    let mine = who(lbd.addr(), "/");
    for n in 0..20 {
        assert_eq!(who(lbd.addr(), &format!("/{n}")), mine);
    }
    let server = format!("app/{mine}");
    assert_eq!(lbd.lbctl(["drain", &server]).code, Some(0));
    let other = who(lbd.addr(), "/");
    assert_ne!(other, mine);
    assert_eq!(counted((0..10).map(|_| who(lbd.addr(), "/"))).len(), 1);
    assert_eq!(lbd.lbctl(["ready", &server]).code, Some(0));
    assert_eq!(who(lbd.addr(), "/"), mine);
}

#[test]
fn two_daemons_agree_on_who_has_a_path_and_lose_only_the_keys_of_who_is_lost() {
    let mut origins = Origin::start_all(["a", "b", "c", "d"]);
    let lines = format!("balance = \"uri\"\n{QUICK_CHECK}");
    let one = Lbd::start(equal(&lines, &origins));
    let other = Lbd::start(equal(&lines, origins.iter().rev()));
    let owners = |lbd: &Lbd| -> Vec<String> {
        (0..60)
            .map(|n| who(lbd.addr(), &format!("/item/{n}")))
            .collect()
    };
    let before = owners(&one);
    assert_eq!(owners(&other), before);
    assert_eq!(counted(before.clone()).len(), 4, "{before:?}");
    for (n, owner) in before.iter().enumerate() {
        assert_eq!(
            &who(one.addr(), &format!("/item/{n}?q={n}")),
            owner,
            "the query counts"
        );
    }
    origins[2].kill();
    for lbd in [&one, &other] {
        lbd.wait_for_state("app/c", State::Down);
    }
    let after = owners(&one);
    assert_eq!(owners(&other), after);
    for (before, after) in before.iter().zip(&after) {
        assert!(
            before == after || before == "c",
            "a key of {before} went to {after}"
        );
        assert_ne!(after, "c");
    }
    origins[2].revive();
    one.wait_for_state("app/c", State::Up);
    assert_eq!(owners(&one), before);
}

#[test]
fn a_header_ties_equal_values_and_requests_without_it_take_turns() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(equal(
        "balance = \"header:X-User\"\nhealth = false",
        &origins,
    ));
    assert_eq!(lbd.status().backends[0].balance, "header:x-user");
    let with = |user: usize| {
        let head = format!("GET / HTTP/1.1\r\nhost: t\r\nX-USER: user-{user}\r\n\r\n");
        ask(lbd.addr(), head).origin().expect("answered").to_owned()
    };
    let first: Vec<_> = (0..30).map(with).collect();
    assert_eq!((0..30).map(with).collect::<Vec<_>>(), first);
    assert_eq!(counted(first).len(), 3);
    let turns = counted((0..9).map(|_| who(lbd.addr(), "/")));
    assert_eq!(turns.into_values().collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn a_backup_takes_sessions_only_while_no_other_server_does() {
    let origins = Origin::start_all(["spare", "a", "b", "more"]);
    let [spare, a, b, more] = &origins;
    let backup = ", backup = true";
    let servers = [(spare, backup), (a, ""), (b, ""), (more, backup)];
    let lbd = Lbd::start(config(QUICK_CHECK, servers));
    for origin in &origins {
        lbd.wait_until_healthy(&format!("app/{}", origin.name()));
    }
    let answers = || {
        counted((0..10).map(|_| who(lbd.addr(), "/")))
            .into_keys()
            .collect::<Vec<_>>()
    };
    assert_eq!(answers(), ["a", "b"]);
    for (origin, name) in [(a, "app/a"), (b, "app/b")] {
        origin.set_health(Health::Status(500));
        lbd.wait_for_state(name, State::Down);
    }
    assert_eq!(answers(), ["spare"]);
    assert_eq!(lbd.lbctl(["maint", "app/spare"]).code, Some(0));
    assert_eq!(answers(), ["more"]);
    a.set_health(Health::Status(200));
    lbd.wait_for_state("app/a", State::Up);
    assert_eq!(answers(), ["a"]);
}

#[test]
fn a_server_that_comes_back_starts_slowly_and_one_at_the_start_does_not() {
    let origins = Origin::start_all(["a", "b"]);
    let slow = ", slow_start = \"10h\"";
    let servers = origins.iter().map(|origin| (origin, slow));
    let lbd = Lbd::start(config(NO_CHECK, servers));
    let answers = |n: usize| counted((0..n).map(|_| who(lbd.addr(), "/")));
    assert_eq!(answers(20).into_values().collect::<Vec<_>>(), [10, 10]);
    assert_eq!(lbd.lbctl(["maint", "app/b"]).code, Some(0));
    assert_eq!(lbd.lbctl(["ready", "app/b"]).code, Some(0));
    // One of sixteen against sixteen.
    assert_eq!(answers(34).into_values().collect::<Vec<_>>(), [32, 2]);
}

#[test]
fn a_slow_start_ends_with_the_whole_share() {
    let origins = Origin::start_all(["a", "b"]);
    let slow = ", slow_start = \"300ms\"";
    let servers = origins.iter().map(|origin| (origin, slow));
    let lbd = Lbd::start(config(NO_CHECK, servers));
    assert_eq!(lbd.lbctl(["maint", "app/b"]).code, Some(0));
    assert_eq!(lbd.lbctl(["ready", "app/b"]).code, Some(0));
    eventually("both take the same again", || {
        let answers = counted((0..10).map(|_| who(lbd.addr(), "/")));
        is(answers.into_values().collect::<Vec<_>>(), vec![5, 5])
    });
}
