//! Certificates that are about to expire: told by the log, by `status` and by `validate`.

use std::time::{Duration, SystemTime};

use lb_proto::request::ReloadCerts;
use lb_tests::{Authority, Issued, Origin};

use crate::tls::{config, setup};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// For so many days and a half more.
fn left(authority: &Authority, name: &str, days: u32) -> Issued {
    let now = SystemTime::now();
    authority.issue_for(&[name], now - DAY, now + days * DAY + DAY / 2)
}

fn gone(authority: &Authority, name: &str) -> Issued {
    let now = SystemTime::now();
    authority.issue_for(&[name], now - 30 * DAY, now - 2 * DAY - DAY / 2)
}

#[test]
fn what_is_about_to_expire_is_told_at_the_start_and_whenever_it_is_read() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let certs = [
        ("late.pem", &gone(&authority, "late.test")),
        ("long.pem", &left(&authority, "long.test", 40)),
        ("soon.pem", &left(&authority, "soon.test", 6)),
        ("week.pem", &left(&authority, "week.test", 7)),
    ];
    let setup = setup(&config("", origin.addr()), &certs);
    let validated = setup.validate().exits(0);
    let lbd = setup.start();
    let folder = lbd.folder().join("certs");
    let (late, soon) = (
        "late.pem (late.test) expired 2 days ago",
        "soon.pem (soon.test) expires in 6 days",
    );
    for text in [late, soon] {
        assert!(validated.stderr.contains(text), "{validated:#?}");
        lbd.wait_for_log(text);
    }
    assert!(!lbd.log().contains("week.test") && !lbd.log().contains("long.test"));

    left(&authority, "week.test", 1).write(&folder, "week.pem");
    let read = lbd
        .client()
        .call(&ReloadCerts::default())
        .expect("it reads them");
    let week = "week.pem (week.test) expires in 1 day";
    assert!(
        read.warnings.iter().any(|warning| warning.contains(week)),
        "{read:#?}"
    );
    lbd.wait_for_log(week);

    left(&authority, "long.test", 0).write(&folder, "long.pem");
    let long = "long.pem (long.test) expires in less than a day";
    lbd.reload().exits(0).says(long);
    lbd.wait_for_log(long);
}

#[test]
fn an_intermediate_that_has_expired_is_told() {
    let origin = Origin::start("a");
    let issued = Authority::out_of_date().issue(&["a.test"]);
    let setup = setup(&config("", origin.addr()), &[("a.pem", &issued)]);
    let validated = setup.validate().exits(0);
    let (whose, what) = (
        "the intermediate certificate of Test Issuer in",
        "has expired",
    );
    let told = |text: &str| text.lines().any(|l| l.contains(whose) && l.contains(what));
    assert!(told(&validated.stderr), "{validated:#?}");
    setup.start().wait_for_log(whose);
}

#[test]
fn the_status_has_those_first_that_end_first() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let certs = [
        ("a.pem", &left(&authority, "a.test", 40)),
        ("b.pem", &left(&authority, "b.test", 5)),
        ("c.pem", &gone(&authority, "c.test")),
        ("d.pem", &left(&authority, "d.test", 20)),
    ];
    let lbd = setup(&config("", origin.addr()), &certs).start();
    let json = lbd.lbctl(["status", "--json"]).exits(0).json();
    let told = json["certificates"].as_array().expect("a list").iter();
    let told: Vec<_> = told
        .map(|one| (one["days_left"].as_i64(), one["state"].as_str()))
        .collect();
    let valid = |days| (Some(days), Some("valid"));
    assert_eq!(
        told,
        [valid(40), valid(5), (Some(-3), Some("expired")), valid(20)]
    );
    let tls = &json["frontends"][0]["tls"][0];
    assert_eq!(tls["bind"], lbd.addr().to_string());

    let table = lbd.lbctl(["status"]).exits(0).stdout;
    let at = |text: &str| {
        table
            .find(text)
            .unwrap_or_else(|| panic!("{text:?} is not in {table}"))
    };
    assert!(at("expired 2 days ago") < at("5 days") && at("5 days") < at("20 days"));
    assert!(at("20 days") < at("40 days") && at("CERTIFICATE") < at("backend app"));
}
