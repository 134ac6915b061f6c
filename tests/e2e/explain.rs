//! `lbctl explain`: the reason first, then everything that led to it.

use lb_proto::reply::{self, Because};
use lb_proto::request::Explain;
use lb_proto::state::State;
use lb_proto::status::Rising;
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::origin::Health;
use lb_tests::{Lbd, Origin, eventually, held, is};

#[track_caller]
pub(crate) fn explain(lbd: &Lbd, server: &str) -> reply::Explain {
    let server = server.parse().expect("it is a name");
    let told = lbd.client().call(&Explain { server });
    told.expect("the daemon tells")
}

#[test]
fn a_server_that_is_down_says_what_its_checks_saw() {
    let origins = Origin::start_all(["web01", "web02"]);
    let check = QUICK_CHECK.replace("fall = 2", "fall = 3, expect = \"200\"");
    let lbd = Lbd::start(app(&check, &origins));
    lbd.wait_until_healthy("app/web01");
    lbd.wait_until_healthy("app/web02");
    assert_eq!(explain(&lbd, "app/web01").share.percent, 50.0);
    origins[0].set_health(Health::Status(404));
    lbd.wait_for_state("app/web01", State::Down);
    let said = lbd.lbctl(["explain", "app/web01"]).exits(0);
    let first = said.stdout.lines().next().unwrap_or_default();
    assert!(first.starts_with("app/web01 down since "), "{said:#?}");
    let reason = ": 3 of 3 checks failed, GET /healthz answered 404, expected 200";
    assert!(first.ends_with(reason), "{said:#?}");

    let told = explain(&lbd, "app/web01");
    assert_eq!(told.share.because, Because::NotUp);
    let rules = told.check.expect("it is checked");
    assert_eq!((rules.rise, rules.fall, rules.interval_ms), (2, 3, 50));
    assert_eq!(
        (rules.path.as_deref(), rules.expect.as_deref()),
        (Some("/healthz"), Some("200"))
    );
    let last = told.probes.last().expect("it was probed");
    assert_eq!(
        (last.status, Some(last)),
        (Some(404), told.server.last_check.as_ref())
    );
    assert_eq!(explain(&lbd, "app/web02").share.percent, 100.0);

    let document = lbd
        .lbctl(["explain", "app/web01", "--json"])
        .exits(0)
        .json();
    let sentence = document["sentence"].as_str().unwrap_or_default();
    assert!(sentence.ends_with(reason), "{document:#}");
    assert_eq!(document["server"]["name"], "web01");
    assert!(
        document["next"][0]
            .as_str()
            .is_some_and(|s| s.starts_with("curl -i")),
        "{document:#}"
    );
}

#[test]
fn no_more_than_the_last_probes_are_kept_and_they_end_with_the_last() {
    let origin = Origin::start("web01");
    let lbd = Lbd::start(app(QUICK_CHECK, [&origin]));
    eventually("more probes than are kept", || {
        let probes = origin.probes();
        (probes > 20).then_some(()).ok_or(probes)
    });
    let told = explain(&lbd, "app/web01");
    assert_eq!(told.probes.len(), 16);
    let times: Vec<&String> = told.probes.iter().map(|probe| &probe.at).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn who_took_it_out_is_told_and_what_it_waits_for_afterwards() {
    let origins = Origin::start_all(["web01", "web02"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    lbd.wait_until_healthy("app/web01");
    lbd.wait_until_healthy("app/web02");
    lbd.lbctl(["maint", "app/web01", "--reason", "new disk"])
        .exits(0);
    let uid = rustix::process::geteuid().as_raw();
    let said = lbd.lbctl(["explain", "app/web01"]).exits(0);
    assert!(
        said.stdout.starts_with("app/web01 in maint since "),
        "{said:#?}"
    );
    assert!(
        said.stdout.contains(&format!("uid {uid}, pid ")) && said.stdout.contains(", new disk\n"),
        "{said:#?}"
    );
    assert!(
        said.stdout.contains("lbctl ready app/web01 --wait"),
        "{said:#?}"
    );

    origins[0].set_health(Health::Hang);
    lbd.lbctl(["ready", "app/web01"]).exits(0);
    let said = lbd.lbctl(["explain", "app/web01"]).exits(0);
    let waits = ": 0 of 2 checks that it needs have succeeded since ready by ";
    assert!(said.stdout.contains(waits), "{said:#?}");
    origins[0].set_health(Health::Status(200));
    lbd.wait_for_state("app/web01", State::Up);
    let said = lbd.lbctl(["explain", "app/web01"]).exits(0);
    assert!(
        said.stdout
            .contains(": 2 of 2 checks succeeded, GET /healthz answered 200"),
        "{said:#?}"
    );
}

#[test]
fn a_server_that_is_to_come_up_waits_for_its_checks_and_status_says_so() {
    let origins = Origin::start_all(["web01", "web02"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    lbd.wait_until_healthy("app/web01");
    lbd.wait_until_healthy("app/web02");
    lbd.lbctl(["maint", "app/web01"]).exits(0);
    origins[0].set_health(Health::Hang);
    lbd.lbctl(["ready", "app/web01"]).exits(0);
    let status = lbd.lbctl(["status"]).exits(0).stdout;
    let waits = "it waits for its checks: 0 of 2 succeeded";
    assert!(status.contains(waits), "{status}");
    let rising = lbd.server("app/web01").rising;
    assert_eq!(rising, Some(Rising { has: 0, needs: 2 }));
    origins[0].set_health(Health::Status(200));
}

/// A server whose checks have failed some times and are far from bringing it down.
fn failing_a_little(origins: &[Origin; 2]) -> Lbd {
    let check = QUICK_CHECK.replace("fall = 2", "fall = 1000");
    let lbd = Lbd::start(app(&check, origins));
    lbd.wait_until_healthy("app/web01");
    lbd.wait_until_healthy("app/web02");
    origins[0].set_health(Health::Status(500));
    eventually("some checks have failed", || {
        let against = explain(&lbd, "app/web01").against;
        (against > 0).then_some(()).ok_or(against)
    });
    // From now on no check says anything for a while.
    origins[0].set_health(Health::Hang);
    lbd
}

#[test]
fn results_from_before_maint_do_not_count() {
    let origins = Origin::start_all(["web01", "web02"]);
    let lbd = failing_a_little(&origins);
    lbd.lbctl(["maint", "app/web01"]).exits(0);
    lbd.lbctl(["ready", "app/web01"]).exits(0);
    assert_eq!(explain(&lbd, "app/web01").against, 0);
}

#[test]
fn results_by_rules_that_a_reload_changed_do_not_count() {
    let origins = Origin::start_all(["web01", "web02"]);
    let mut lbd = failing_a_little(&origins);
    lbd.rewrite_with(|config| config.replace("rise = 2", "rise = 3"));
    lbd.reload().exits(0);
    eventually("the checks have begun anew", || {
        is(explain(&lbd, "app/web01").against, 0)
    });
}

#[test]
fn sessions_are_told_by_their_kind() {
    let origin = Origin::start("web01");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    let mut wire = held::one(lbd.addr(), &origin);
    let kinds = explain(&lbd, "app/web01").sessions;
    assert_eq!(
        (kinds.requests, kinds.tunnels, kinds.connections),
        (1, 0, 0)
    );
    origin.release();
    wire.response();
    eventually("the request is over", || {
        is(explain(&lbd, "app/web01").sessions.requests, 0)
    });
}

#[test]
fn a_share_says_why_it_is_what_it_is() {
    let origins = Origin::start_all(["web01", "web02", "zero", "spare"]);
    let config = app(NO_CHECK, &origins);
    let at = |name: &str| format!("name = \"{name}\",");
    let config = config
        .replace(&at("web01"), "name = \"web01\", weight = 3,")
        .replace(&at("zero"), "name = \"zero\", weight = 0,")
        .replace(&at("spare"), "name = \"spare\", backup = true,");
    let lbd = Lbd::start(config);
    let share = |name: &str| {
        let share = explain(&lbd, name).share;
        (share.percent, share.because)
    };
    assert_eq!(share("app/web01"), (75.0, Because::Weight));
    assert_eq!(share("app/web02"), (25.0, Because::Weight));
    assert_eq!(share("app/zero"), (0.0, Because::Weightless));
    assert_eq!(share("app/spare"), (0.0, Because::Spare));
    lbd.lbctl(["weight", "app/web02", "3"]).exits(0);
    assert_eq!(share("app/web02"), (50.0, Because::Weight));
    let said = lbd.lbctl(["explain", "app/web02"]).exits(0);
    assert!(
        said.stdout.contains("weight    3, configured 1; set at "),
        "{said:#?}"
    );
    assert!(said.stdout.contains("weight 1 -> 3, by "), "{said:#?}");
    for name in ["app/web01", "app/web02"] {
        lbd.lbctl(["drain", name, "--no-wait"]).exits(0);
    }
    assert_eq!(share("app/web01"), (0.0, Because::NotUp));
    assert_eq!(share("app/spare"), (100.0, Because::StandsIn));
}

#[test]
fn a_name_that_is_none_is_6_with_the_near_one() {
    let origin = Origin::start("web01");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    lbd.lbctl(["explain", "app/web1"])
        .exits(6)
        .says("app/web01");
    lbd.lbctl(["explain", "web01"]).exits(6).says("app/web01");
    lbd.lbctl(["explain", "app"])
        .exits(6)
        .says("app is a backend");
}
