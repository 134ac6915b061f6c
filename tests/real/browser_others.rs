//! The dashboard in a browser while others are at work: another operator, and whoever says who is let in.

use lb_proto::password::Hash;
use lb_proto::state::Admin;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{Lbd, Origin, Process};

use crate::browser::{ACTING, browser, line};

#[test]
#[ignore = "needs chromium and npm packages"]
fn what_another_has_set_meanwhile_is_not_overruled_unseen() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ACTING}{}", app(NO_CHECK, [&origin])));
    let mut browser = Process::spawn(browser("meanwhile", &lbd, &["app/a", "Drain"]));
    let opened = line(&mut browser, 1);
    assert_eq!(
        (&opened["told"], opened["will"].as_array().map(Vec::len)),
        (&"".into(), Some(3))
    );
    lbd.lbctl(["maint", "app/a", "--reason", "disk swap, hands off"])
        .exits(0);
    let told = line(&mut browser, 2);
    for text in [&told["told"], &told["will"][0]] {
        let text = text.as_str().unwrap_or_default();
        assert!(text.contains("t is maint now, by "), "{told}");
        assert!(text.contains(": disk swap, hands off"), "{told}");
    }
    let first = line(&mut browser, 3);
    assert_eq!((&told["posts"], &first["posts"]), (&0.into(), &0.into()));
    assert_eq!(line(&mut browser, 4)["posts"], 1);
    browser.wait().exits(0);
    assert_eq!(lbd.server("app/a").admin, Admin::Drain);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn whom_a_reload_removes_is_told_so_and_asks_no_more() {
    let origin = Origin::start("a");
    let user = |name: &str| {
        let hash = Hash::of("secret").expect("a password");
        format!("[[admin.users]]\nname = {name:?}\npassword_hash = \"{hash}\"\nrole = \"viewer\"\n")
    };
    let config = |name: &str| format!("{ACTING}{}{}", user(name), app(NO_CHECK, [&origin]));
    let mut lbd = Lbd::start(config("eve"));
    let mut browser = Process::spawn(browser("out", &lbd, &["eve", "secret"]));
    assert_eq!(line(&mut browser, 1)["link"], false);
    lbd.rewrite(config("ops"));
    lbd.reload().exits(0);
    let out = line(&mut browser, 2);
    let text = out["text"].as_str().unwrap_or_default();
    assert!(text.starts_with("You are no longer let in."), "{out}");
    assert_eq!(out["link"], format!("http://{}/", lbd.admin()));
    assert_eq!(out["stops"], true, "{out}");
    browser.wait().exits(0);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn a_page_waits_as_long_as_it_is_told_to() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ACTING}{}", app(NO_CHECK, [&origin])));
    let mut browser = Process::spawn(browser("wait", &lbd, &["600"]));
    let told = line(&mut browser, 1);
    let text = told["told"].as_str().unwrap_or_default();
    assert!(text.starts_with("Too many logins failed."), "{told}");
    assert!(text.ends_with("; trying again in 600 s."), "{told}");
    assert_eq!(
        (&told["waits"], &told["comesAgain"]),
        (&true.into(), &true.into())
    );
    browser.wait().exits(0);
}
