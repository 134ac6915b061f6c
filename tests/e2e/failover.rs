//! A server dies, and nobody notices.

use lb_proto::state::State;
use lb_tests::daemon::{QUICK_CHECK, app};
use lb_tests::origin::Health;
use lb_tests::{Lbd, Load, Origin, eventually, wire};

#[test]
fn an_origin_killed_under_load_fails_no_idempotent_request() {
    let mut origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    let load = Load::on(lbd.addr()).clients(8).start();
    load.go_on_for(500);
    for _ in 0..3 {
        origins[1].kill();
        load.go_on_for(500);
        lbd.wait_for_state("app/b", State::Down);
        load.go_on_for(500);

        origins[1].revive();
        lbd.wait_for_state("app/b", State::Up);
        let before = origins[1].requests();
        load.go_on_for(500);
        assert!(origins[1].requests() > before, "b is not in rotation again");
    }
    load.stop().assert_clean();
}

#[test]
fn a_server_whose_check_fails_leaves_rotation_until_it_has_risen() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    lbd.wait_until_healthy("app/b");
    origins[1].set_health(Health::Status(500));
    lbd.wait_for_state("app/b", State::Down);

    let before = origins[1].requests();
    for _ in 0..20 {
        assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("a"));
    }
    assert_eq!(origins[1].requests(), before);

    origins[1].set_health(Health::Status(200));
    eventually("b answers again", || {
        let response = wire::get(lbd.addr(), "/");
        match response.origin() {
            Some("b") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(lbd.server("app/b").state, State::Up);
}

#[test]
fn with_every_server_down_the_answer_is_503_until_one_is_back() {
    let mut origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    origins.iter_mut().for_each(Origin::kill);
    for server in ["app/a", "app/b"] {
        lbd.wait_for_state(server, State::Down);
    }
    let response = wire::get(lbd.addr(), "/");
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert!(response.origin().is_none());

    origins[0].revive();
    lbd.wait_for_state("app/a", State::Up);
    assert_eq!(wire::get(lbd.addr(), "/").origin(), Some("a"));
}
