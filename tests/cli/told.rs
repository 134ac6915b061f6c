//! What is told of how things are, and what to do about it: `explain` and `doctor`.

use lb_proto::state::State;
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::origin::Health;
use lb_tests::port::Port;
use lb_tests::{Lbd, Origin, Setup, held};

use crate::transcript::Transcript;

/// One probe a server: the next one comes hours later.
const ONE_CHECK: &str =
    r#"health = { type = "http", path = "/healthz", interval = "24h", rise = 1, fall = 1 }"#;

fn checked_once(origins: &[Origin]) -> Lbd {
    let lbd = Lbd::start(app(ONE_CHECK, origins));
    for origin in origins {
        lbd.wait_until_healthy(&format!("app/{}", origin.name()));
    }
    lbd
}

#[test]
fn explain() {
    let origins = Origin::start_all(["web01", "web02"]);
    let lbd = checked_once(&origins);
    let mut said = Transcript::of(&lbd, &origins);
    said.lbctl("explain app/web01");
    said.lbctl("explain app/web1");
    said.lbctl("explain app");
    let held = held::one_each(lbd.addr(), &origins);
    said.lbctl("weight app/web01 3 --reason canary");
    said.lbctl("drain app/web02 --no-wait --reason disk");
    said.lbctl("explain app/web01");
    said.lbctl("explain app/web02");
    said.lbctl("maint app/web02 --reason disk");
    said.lbctl("explain app/web02");
    origins[1].set_health(Health::Status(404));
    said.lbctl("ready app/web02");
    lbd.wait_for_state("app/web02", State::Down);
    said.lbctl("explain app/web02");
    drop(held);
    said.matches("explain");
}

#[test]
fn doctor() {
    let origins = Origin::start_all(["web01", "web02"]);
    let refuses = Port::new();
    let config = app(QUICK_CHECK, &origins);
    let mut lbd = Setup::new(&config).start();
    for server in ["app/web01", "app/web02"] {
        lbd.wait_until_healthy(server);
    }
    let mut said = Transcript::of(&lbd, &origins);
    said.name(&refuses.addr().to_string(), "REFUSES");
    said.name(&refuses.addr().port().to_string(), "PORT");
    // These depend on the machine.
    said.leave_out("fine: lbd has ");
    said.leave_out("not looked at: whether the clock");
    said.leave_out("problem: the clock");
    said.leave_out("fine: the clock");
    for problems in ["0 problems", "1 problem", "2 problems", "3 problems"] {
        said.leave_out(problems);
    }
    said.lbctl("doctor --config FILE");
    for origin in &origins {
        origin.set_health(Health::Status(404));
    }
    lbd.wait_for_state("app/web01", State::Down);
    lbd.wait_for_state("app/web02", State::Down);
    said.lbctl("doctor --config FILE");
    lbd.rewrite(
        app(NO_CHECK, &origins)
            .replace(&origins[0].addr().to_string(), &refuses.addr().to_string()),
    );
    said.lbctl("doctor --config FILE");
    lbd.reload().exits(0);
    lbd.rewrite("[frontend");
    lbd.reload().exits(3);
    said.lbctl("doctor --config FILE");
    said.lbctl("doctor --config FILE --quiet");
    said.matches("doctor");
}
