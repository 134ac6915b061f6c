//! `[traces]` with a collector that is dead, hangs, refuses or is spoken to by TLS: requests never notice.

use std::fs;
use std::net::TcpListener;
use std::thread;

use lb_tests::collector::Does;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::metrics::metrics;
use lb_tests::port::Port;
use lb_tests::wire::get;
use lb_tests::{Authority, Collector, Lbd, Load, Origin, Setup, TlsFront, eventually, is};

const ADMIN: &str = "[admin]\nbind = \"127.0.0.1:0\"\n";

/// Spans exported and dropped, and exports that failed.
fn counts(lbd: &Lbd) -> [f64; 3] {
    let metrics = metrics(lbd.admin());
    [
        "lbd_trace_spans_exported_total",
        "lbd_trace_spans_dropped_total",
        "lbd_trace_export_failures_total",
    ]
    .map(|name| metrics[name])
}

#[test]
fn a_collector_that_is_dead_is_told_of_once_and_costs_nothing_but_spans() {
    let (origin, dead) = (Origin::start("a"), Port::new());
    let section = format!("[traces]\notlp = \"http://{}\"\nsample = 1\n", dead.addr());
    let lbd = Lbd::start(format!("{ADMIN}{section}{}", app(NO_CHECK, [&origin])));
    let load = Load::on(lbd.addr()).start();
    load.go_on_for(600);
    load.stop().assert_clean();
    eventually("each is counted", || {
        let [exported, dropped, failures] = counts(&lbd);
        is((exported, failures >= 6.0), (0.0, true))?;
        let over = get(lbd.addr(), "/").status;
        is((over, dropped >= 600.0), (200, true))
    });
    lbd.wait_for_log("cannot export traces");
    let told = lbd.log().matches("cannot export traces").count();
    assert_eq!(told, 1, "{}", lbd.log());
}

#[test]
fn a_collector_that_cannot_just_now_gets_them_later() {
    let (origin, collector) = (Origin::start("a"), Collector::start());
    let section = collector.section("sample = 1");
    let lbd = Lbd::start(format!("{ADMIN}{section}{}", app(NO_CHECK, [&origin])));
    collector.does(Does::Answer(503));
    assert_eq!(get(lbd.addr(), "/").status, 200);
    eventually("it was tried", || is(collector.exports() >= 1, true));
    collector.does(Does::Take);
    eventually("it is taken", || {
        is(counts(&lbd)[..2].to_vec(), vec![1.0, 0.0])
    });
    lbd.wait_for_log("traces are exported again");
    assert!(lbd.log().contains("503"), "{}", lbd.log());
    // All on one connection.
    assert_eq!(collector.connections(), 1);

    collector.does(Does::Refuse(1));
    assert_eq!(get(lbd.addr(), "/").status, 200);
    eventually("it is counted", || {
        is(counts(&lbd)[..2].to_vec(), vec![1.0, 1.0])
    });
    lbd.wait_for_log("too\\nmany");

    collector.does(Does::Answer(400));
    assert_eq!(get(lbd.addr(), "/").status, 200);
    // No use in trying that again.
    let before = collector.exports();
    eventually("it is given up", || is(counts(&lbd)[1], 2.0));
    assert!(collector.exports() <= before + 1);
}

#[test]
fn one_that_closes_every_connection_is_told_of_in_words() {
    let origin = Origin::start("a");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let at = listener.local_addr().expect("it listens");
    thread::spawn(move || listener.incoming().for_each(drop));
    let section = format!("[traces]\notlp = \"http://{at}\"\nsample = 1\n");
    let lbd = Lbd::start(format!("{ADMIN}{section}{}", app(NO_CHECK, [&origin])));
    assert_eq!(get(lbd.addr(), "/").status, 200);
    lbd.wait_for_log("cannot export traces");
    assert!(!lbd.log().contains("channel"), "{}", lbd.log());
}

#[test]
fn a_collector_that_hangs_holds_up_neither_requests_nor_reload_nor_stop() {
    let (origin, collector) = (Origin::start("a"), Collector::start());
    collector.does(Does::Hang);
    let app = app(NO_CHECK, [&origin]);
    let mut lbd = Lbd::start(format!("{ADMIN}{}{app}", collector.section("sample = 1")));
    let load = Load::on(lbd.addr()).start();
    load.go_on_for(600);
    eventually("an export is under way", || is(collector.exports(), 1));
    load.go_on_for(600);
    lbd.rewrite(format!("{ADMIN}{}{app}", collector.section("sample = 0.5")));
    assert_eq!(lbd.reload().code, Some(0));
    load.stop().assert_clean();
    assert_eq!(collector.exports(), 1, "neither was waited for");
    assert_eq!(lbd.stop(), Some(0));
    let log = lbd.log();
    assert!(
        log.contains("stopped before the last traces were exported"),
        "{log}"
    );
}

#[test]
fn by_https_only_who_is_trusted_is_sent_any() {
    let (origin, collector) = (Origin::start("a"), Collector::start());
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (issuer, works) in [(&authority, true), (&stranger, false)] {
        let front = TlsFront::showing(&issuer.issue(&["127.0.0.1"])).before(collector.addr());
        let setup = Setup::new("");
        let ca = setup.folder().join("ca.pem");
        fs::write(&ca, authority.root()).expect("the folder is ours");
        let section = format!(
            "[traces]\notlp = \"https://{}\"\nca = {ca:?}\nsample = 1\n",
            front.addr()
        );
        let config = format!("{ADMIN}{section}{}", app(NO_CHECK, [&origin]));
        let lbd = setup.config(config).start();
        assert_eq!(get(lbd.addr(), "/").status, 200);
        match works {
            true => eventually("it is taken", || is(collector.taken().len(), 1)),
            false => lbd.wait_for_log("cannot export traces"),
        }
    }
    assert_eq!(collector.taken().len(), 1);
}
