//! The bound on TLS handshakes in progress: who waits, who is served, and who makes place.

use std::thread;

use lb_tests::tls::Client;
use lb_tests::wire::End;
use lb_tests::{Authority, Lbd, Origin, Wire, eventually, is};

use crate::tls::{config, setup};

/// What a handshake begins with, and no more.
const BEGINNING: [u8; 4] = [0x16, 0x03, 0x01, 0x02];

/// A daemon that does two handshakes at once.
fn two(timeouts: &str) -> (Authority, Origin, Lbd) {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let config = config("", origin.addr()).replace(
        "\n\n[backend",
        &format!("\ntimeouts = {{ {timeouts} }}\n\n[backend"),
    );
    let setup = setup(&config, &[("a.pem", &issued)]);
    let lbd = setup.global("threads = 2\nmax_handshakes = 2").start();
    (authority, origin, lbd)
}

fn half(lbd: &Lbd) -> Wire {
    let mut wire = Wire::connect(lbd.addr());
    wire.send(BEGINNING);
    wire
}

#[track_caller]
fn counts(lbd: &Lbd, in_progress: u64, waiting: u64) {
    eventually("so many are in progress and wait", || {
        let daemon = lbd.status().daemon;
        is(
            (daemon.handshakes, daemon.handshakes_waiting),
            (in_progress, waiting),
        )
    });
}

#[test]
fn one_too_many_waits_until_another_has_ended() {
    let (authority, _origin, mut lbd) = two("tls_handshake = \"1h\"");
    assert_eq!(lbd.status().daemon.handshakes_limit, 2);
    let client = Client::new(&authority, "a.test");
    let addr = lbd.addr();
    let another = || {
        let client = client.clone();
        thread::spawn(move || client.shake(addr))
    };
    // Who says nothing takes no place.
    let _silent = [(); 4].map(|()| Wire::connect(addr));
    client.shake(addr).expect("there is a place");
    let [first, second] = [half(&lbd), half(&lbd)];
    counts(&lbd, 2, 0);
    let waits = another();
    counts(&lbd, 2, 1);
    first.abort();
    waits.join().expect("it ends").expect("its turn has come");
    drop(second);
    counts(&lbd, 0, 0);

    let halves = [half(&lbd), half(&lbd)];
    counts(&lbd, 2, 0);
    let waits = another();
    counts(&lbd, 2, 1);
    // A reload that allows more lets it in, too.
    lbd.rewrite_global("threads = 2\nmax_handshakes = 3");
    lbd.reload().exits(0);
    waits.join().expect("it ends").expect("there is a place");
    drop(halves);
    counts(&lbd, 0, 0);
}

/// Long before the time for a handshake is over.
#[test]
fn a_slow_one_makes_place_for_who_waits() {
    let (authority, _origin, lbd) = two("tls_handshake = \"1h\"");
    let _slow = [half(&lbd), half(&lbd)];
    counts(&lbd, 2, 0);
    let client = Client::new(&authority, "a.test");
    client.shake(lbd.addr()).expect("its turn has come");
    let daemon = lbd.status().daemon;
    assert!(daemon.connections < 3, "{daemon:?}");
}

#[test]
fn waiting_is_within_the_time_for_a_handshake() {
    let (_authority, _origin, lbd) = two("tls_handshake = \"500ms\"");
    let mut all = [(); 5].map(|()| half(&lbd));
    for wire in &mut all {
        assert_ne!(wire.rest().1, End::Silence);
    }
    counts(&lbd, 0, 0);
}
