//! Reload: a good file costs nobody a request, a bad one changes nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lb_proto::state::{Admin, Health, State};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::origin::Health as Says;
use lb_tests::port::Port;
use lb_tests::wire::{End, request};
use lb_tests::{Lbd, Load, Origin, Setup, Wire, eventually, is, wire};

/// A port that nobody has yet.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// `config` and one more frontend at `bind`, for the same backend.
fn and_frontend(config: &str, name: &str, bind: SocketAddr) -> String {
    format!("{config}\n[frontend.{name}]\nbind = [\"{bind}\"]\ndefault_backend = \"app\"\n")
}

fn try_get(addr: SocketAddr) -> Result<u16, String> {
    let mut wire = Wire::try_connect(addr).map_err(|e| e.to_string())?;
    let response = wire.send(request("GET", "/")).try_response("GET");
    response.map(|r| r.status).map_err(|e| e.to_string())
}

fn refused(addr: SocketAddr) -> Result<(), String> {
    match Wire::try_connect(addr) {
        Err(_) => Ok(()),
        Ok(_) => Err("it accepts".into()),
    }
}

#[test]
fn fifty_reloads_under_load_with_listeners_changed_fail_nothing() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let extra = Port::new();
    let three = app(QUICK_CHECK, &origins);
    let two = app(QUICK_CHECK, &origins[..2]);
    let mut lbd = Lbd::start(three.clone());
    for server in ["app/a", "app/b", "app/c"] {
        lbd.wait_until_healthy(server);
    }
    lbd.lbctl(["drain", "app/b"]).exits(0);
    let drained_at = origins[1].requests();

    let keeping = Load::on(lbd.addr()).start();
    let connecting = Load::on(lbd.addr()).clients(2).fresh_connections().start();
    for round in 0..50 {
        let servers = if round % 3 == 0 { &two } else { &three };
        let with_extra = round % 2 == 0;
        lbd.rewrite(if with_extra {
            and_frontend(servers, "extra", extra.addr())
        } else {
            servers.clone()
        });
        lbd.reload().exits(0);
        if with_extra {
            eventually("the added listener answers", || {
                is(try_get(extra.addr()), Ok(200))
            });
        } else {
            eventually("the removed listener refuses", || refused(extra.addr()));
        }
        keeping.go_on_for(20);
        connecting.go_on_for(5);
    }
    keeping.stop().assert_clean();
    connecting.stop().assert_clean();

    let status = lbd.status();
    assert_eq!(status.daemon.config.generation, 51);
    let b = lbd.server("app/b");
    assert_eq!(
        (b.admin, b.state),
        (Admin::Drain, State::Drain),
        "the drain was lost"
    );
    assert_eq!(
        origins[1].requests(),
        drained_at,
        "the drained server got requests"
    );
}

#[test]
fn counters_health_and_connections_outlive_a_reload() {
    let origins = Origin::start_all(["a"]);
    let config = app(QUICK_CHECK, &origins);
    let mut lbd = Lbd::start(config.clone());
    lbd.wait_until_healthy("app/a");
    let addr = lbd.addr();
    let mut kept = Wire::connect(addr);
    for _ in 0..10 {
        assert_eq!(kept.send(request("GET", "/")).response().status, 200);
    }
    let pooled = origins[0].connections();
    origins[0].set_health(Says::Hang);

    lbd.rewrite(and_frontend(&config, "extra", ANY));
    lbd.reload().exits(0);
    let status = lbd.status();
    assert_eq!(lbd.addr(), addr, "the listener moved");
    assert_eq!(status.frontends[0].requests_total, 10);
    assert_eq!(status.frontends[0].connections, 1);
    let a = lbd.server("app/a");
    assert_eq!((a.sessions_total, a.health), (10, Health::Up));
    assert_eq!(kept.send(request("GET", "/")).response().status, 200);
    let probing = 2;
    assert!(
        origins[0].connections() <= pooled + probing,
        "the pooled connection was not used again"
    );
}

#[test]
fn an_unchanged_file_is_no_new_generation() {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.reload().exits(0);
    assert_eq!(lbd.status().daemon.config.generation, 1);
}

#[test]
fn a_bad_file_exits_3_says_why_and_changes_nothing() {
    let origins = Origin::start_all(["a"]);
    let config = app(NO_CHECK, &origins);
    let mut lbd = Lbd::start(config.clone());
    let before = lbd.status();
    let load = Load::on(lbd.addr()).start();
    lbd.rewrite(config.replace("default_backend = \"app\"", "default_backend = \"ap\""));
    let output = lbd.reload().exits(3);
    let output = output
        .says("lbd.toml")
        .says("default_backend = \"ap\"")
        .says("app");
    assert!(output.stdout.is_empty(), "talk on stdout: {output:#?}");
    load.go_on_for(50);
    load.stop().assert_clean();
    let (after, before) = (lbd.status().daemon.config, before.daemon.config);
    assert_eq!(
        (after.generation, after.loaded_at, after.sha256),
        (before.generation, before.loaded_at, before.sha256)
    );
    assert_eq!(after.file_differs, Some(true));
    let last = after.last_reload.expect("there was one");
    assert!(!last.ok && last.error.is_some_and(|error| error.contains("`ap`")));

    std::fs::remove_file(lbd.config_file()).expect("it is ours");
    let output = lbd.reload();
    assert!(matches!(output.code, Some(1 | 3)), "{output:#?}");
    output.says("lbd.toml");
    assert_eq!(try_get(lbd.addr()), Ok(200));
}

#[test]
fn a_taken_port_exits_1_names_its_holder_and_changes_nothing() {
    let origins = Origin::start_all(["a"]);
    let config = app(NO_CHECK, &origins);
    let mut lbd = Lbd::start(config.clone());
    let (free, taken) = (Port::new(), Port::new());
    // The test itself is the process that holds the port.
    let _holder = taken.listen().expect("it is free");
    let one = and_frontend(&config, "free", free.addr());
    lbd.rewrite(and_frontend(&one, "taken", taken.addr()));
    lbd.reload()
        .exits(1)
        .says(&taken.addr().to_string())
        .says(&std::process::id().to_string());
    let status = lbd.status();
    assert_eq!(status.daemon.config.generation, 1);
    assert_eq!(status.frontends.len(), 1);
    eventually("what was bound already is let go", || refused(free.addr()));
    assert_eq!(try_get(lbd.addr()), Ok(200));

    lbd.rewrite(and_frontend(&config, "free", free.addr()));
    lbd.reload().exits(0);
    eventually("the free one answers", || is(try_get(free.addr()), Ok(200)));
}

#[test]
fn at_the_start_a_taken_port_ends_lbd_with_1_and_names_its_holder() {
    let taken = Port::new();
    let _holder = taken.listen().expect("it is free");
    let origins = Origin::start_all(["a"]);
    let config = and_frontend(&app(NO_CHECK, &origins), "taken", taken.addr());
    let refused = Setup::new(config).try_start().expect_err("it cannot bind");
    refused
        .exits(1)
        .says(&taken.addr().to_string())
        .says(&std::process::id().to_string());
}

#[test]
fn a_removed_listener_lets_its_request_finish() {
    let origins = Origin::start_all(["a"]);
    let extra = Port::new();
    let config = app(NO_CHECK, &origins);
    let mut lbd = Lbd::start(and_frontend(&config, "extra", extra.addr()));
    origins[0].hold("/held");
    let mut held = Wire::connect(extra.addr());
    held.send(request("GET", "/held"));
    eventually("it is in flight", || is(origins[0].in_flight(), 1));
    lbd.rewrite(config);
    lbd.reload().exits(0);
    eventually("the listener refuses", || refused(extra.addr()));
    origins[0].release();
    let response = held.response();
    assert_eq!((response.status, response.cut), (200, None));
    assert!(
        !response.keeps_alive(),
        "it does not say that the connection ends"
    );
    assert_eq!(
        held.rest().1,
        End::Eof,
        "the connection of a removed listener stays"
    );
}

#[test]
fn a_removed_server_finishes_what_it_has_and_gets_nothing_new() {
    let origins = Origin::start_all(["a", "b"]);
    let mut lbd = Lbd::start(app(NO_CHECK, &origins));
    origins.iter().for_each(|origin| origin.hold("/held"));
    let mut held: Vec<Wire> = (0..2).map(|_| Wire::connect(lbd.addr())).collect();
    for wire in &mut held {
        wire.send(request("GET", "/held"));
    }
    for origin in &origins {
        eventually("it is in flight", || is(origin.in_flight(), 1));
    }
    lbd.rewrite(app(NO_CHECK, &origins[1..]));
    lbd.reload().exits(0);
    for _ in 0..10 {
        assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("b"));
    }
    assert_eq!(origins[0].requests(), 1);
    origins.iter().for_each(Origin::release);
    for wire in &mut held {
        assert_eq!(wire.response().status, 200);
    }
}

#[test]
fn a_server_with_a_new_address_starts_over() {
    let origins = Origin::start_all(["a", "b"]);
    let moved = Origin::start("moved");
    moved.set_health(Says::Hang);
    let config = app(QUICK_CHECK, &origins);
    let mut lbd = Lbd::start(config.clone());
    for server in ["app/a", "app/b"] {
        lbd.wait_until_healthy(server);
    }
    let (old, new) = (origins[0].addr().to_string(), moved.addr().to_string());
    lbd.rewrite(config.replace(&old, &new));
    lbd.reload().exits(0);
    let a = lbd.server("app/a");
    assert_eq!((a.address, a.health), (new, Health::Down));
    for _ in 0..4 {
        assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("b"));
    }
    moved.set_health(Says::Status(200));
    lbd.wait_for_state("app/a", State::Up);
    eventually("it takes requests", || {
        is(wire::get(lbd.addr(), "/").origin(), Some("moved"))
    });
}

#[test]
fn a_drain_that_waits_outlives_a_reload() {
    let origins = Origin::start_all(["a"]);
    let config = app(NO_CHECK, &origins);
    let mut lbd = Lbd::start(config.clone());
    origins[0].hold("/held");
    let mut held = Wire::connect(lbd.addr());
    held.send(request("GET", "/held"));
    eventually("it is in flight", || is(origins[0].in_flight(), 1));
    let mut drain = lbd.lbctl_in_background(["drain", "app/a"]);
    lbd.wait_for_state("app/a", State::Drain);
    lbd.rewrite(and_frontend(&config, "extra", ANY));
    lbd.reload().exits(0);
    assert_eq!(lbd.server("app/a").sessions, 1, "the session was forgotten");
    assert!(drain.is_running());
    origins[0].release();
    assert_eq!(held.response().status, 200);
    drain.wait().exits(0);
}
