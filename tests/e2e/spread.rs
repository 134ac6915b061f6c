//! Round robin, exact by weight, for the process and not per thread.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{Lbd, Load, Origin, Setup, wire};

/// Asks on a connection of its own each time, so that the requests fall on every data thread.
fn who_answers(addr: SocketAddr, requests: usize) -> Vec<String> {
    (0..requests)
        .map(|_| {
            let response = wire::get(addr, "/");
            response.origin().expect("an origin answered").to_owned()
        })
        .collect()
}

fn counted(names: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

#[test]
fn three_requests_in_a_row_reach_three_equal_servers() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Setup::new(app(NO_CHECK, &origins))
        .global("threads = 4")
        .start();
    let answered = who_answers(lbd.addr(), 300);
    for (at, three) in answered.windows(3).enumerate() {
        assert_eq!(
            counted(three).len(),
            3,
            "requests {at} to {}: {three:?}",
            at + 2
        );
    }
}

#[test]
fn weights_hold_exactly_and_weight_zero_takes_nothing() {
    let origins = Origin::start_all(["a", "b", "c", "none"]);
    let servers: String = origins
        .iter()
        .zip([1, 2, 3, 0])
        .map(|(origin, weight)| {
            let (name, address) = (origin.name(), origin.addr());
            format!("  {{ name = \"{name}\", address = \"{address}\", weight = {weight} }},\n")
        })
        .collect();
    let lbd = Lbd::start(format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
         [backend.app]\nbalance = \"roundrobin\"\nhealth = false\nservers = [\n{servers}]\n"
    ));
    let answered = who_answers(lbd.addr(), 600);
    let wanted = BTreeMap::from([("a", 100), ("b", 200), ("c", 300)]);
    assert_eq!(counted(&answered), wanted);
    for (at, round) in answered.chunks(6).enumerate() {
        let wanted = BTreeMap::from([("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(counted(round), wanted, "round {at}: {round:?}");
    }
}

#[test]
fn load_on_many_connections_spreads_evenly_too() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Setup::new(app(NO_CHECK, &origins))
        .global("threads = 4")
        .start();
    let load = Load::on(lbd.addr()).clients(8).start();
    load.go_on_for(2000);
    let tally = load.stop();
    tally.assert_clean();
    let seen = origins.each_ref().map(Origin::requests);
    assert_eq!(seen.iter().sum::<u64>(), tally.ok);
    let spread = seen.iter().max().expect("three") - seen.iter().min().expect("three");
    assert!(spread <= 1, "{seen:?}");
}
