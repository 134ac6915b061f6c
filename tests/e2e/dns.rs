//! Servers whose addresses are host names.

use lb_proto::state::{Health, State};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK};
use lb_tests::origin::Health as Says;
use lb_tests::wire::{Response, get, request};
use lb_tests::{Dns, Lbd, Origin, Setup, Wire, eventually, is};

const NAME: &str = "app.internal";

/// One server `web` of the backend `app`, at this port of the name.
fn config(lines: &str, port: u16) -> String {
    servers(
        lines,
        &format!("{{ name = \"web\", address = \"{NAME}:{port}\" }}"),
    )
}

fn servers(lines: &str, servers: &str) -> String {
    format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
         [backend.app]\n{lines}\nservers = [{servers}]\n"
    )
}

fn setup(dns: &Dns, config: String) -> Setup {
    Setup::new(config).global(&format!("threads = 2\n{}", dns.line()))
}

#[track_caller]
fn answered_by(lbd: &Lbd, origin: &str) {
    eventually("the origin answers", || {
        let response: Response = get(lbd.addr(), "/");
        is(
            response.origin().map(str::to_owned),
            Some(origin.to_owned()),
        )
    });
}

#[test]
fn a_name_is_looked_up_before_the_first_request_and_shown() {
    let (dns, origin) = (Dns::new(), Origin::start("a"));
    dns.set(NAME, 60, ["127.0.0.1"]);
    let lbd = setup(&dns, config(NO_CHECK, origin.addr().port())).start();
    assert_eq!(get(lbd.addr(), "/").origin(), Some("a"));
    let seen = lbd.server("app/web");
    assert_eq!(seen.address, origin.addr().to_string());
    let host = seen.host.expect("it has a name");
    assert_eq!(
        (host.name.as_str(), host.resolved, host.error),
        (NAME, true, None)
    );
    lbd.lbctl(["status", "app/web"]).exits(0).says(NAME);
}

#[test]
fn a_name_in_the_hosts_file_needs_no_dns() {
    let (dns, origin) = (Dns::new(), Origin::start("a"));
    let server = format!(
        "{{ name = \"web\", address = \"localhost:{}\" }}",
        origin.addr().port()
    );
    let lbd = setup(&dns, servers(NO_CHECK, &server)).start();
    assert_eq!(get(lbd.addr(), "/").origin(), Some("a"));
    assert_eq!(dns.questions(), 0);
}

#[test]
fn a_name_that_leads_elsewhere_moves_the_server_and_its_health_starts_over() {
    let (dns, old, other) = (Dns::new(), Origin::start("old"), Origin::start("other"));
    let new = old.start_beside(2, "new");
    new.set_health(Says::Hang);
    dns.set(NAME, 0, ["127.0.0.1"]);
    let both = format!(
        "{{ name = \"web\", address = \"{NAME}:{}\" }}, {{ name = \"other\", address = \"{}\" }}",
        old.addr().port(),
        other.addr()
    );
    let lbd = setup(&dns, servers(QUICK_CHECK, &both)).start();
    lbd.wait_until_healthy("app/web");
    lbd.wait_until_healthy("app/other");
    let mut kept = Wire::connect(lbd.addr());
    for _ in 0..4 {
        assert_eq!(kept.send(request("GET", "/")).response().status, 200);
    }
    dns.set(NAME, 0, ["127.0.0.2"]);
    lbd.wait_for_state("app/web", State::Down);
    assert_eq!(lbd.server("app/web").address, new.addr().to_string());
    let before = old.requests();
    for _ in 0..4 {
        let response = kept.send(request("GET", "/")).response();
        assert_eq!(response.origin(), Some("other"));
    }
    new.set_health(Says::Status(200));
    lbd.wait_for_state("app/web", State::Up);
    answered_by(&lbd, "new");
    assert_eq!(old.requests(), before, "a kept connection was used again");
    lbd.wait_for_log("server moved");
}

#[test]
fn a_server_stays_as_long_as_its_address_is_among_the_answers() {
    let (dns, first) = (Dns::new(), Origin::start("first"));
    let _second = first.start_beside(2, "second");
    dns.set(NAME, 0, ["127.0.0.1", "127.0.0.2"]);
    let lbd = setup(&dns, config(NO_CHECK, first.addr().port())).start();
    assert_eq!(get(lbd.addr(), "/").origin(), Some("first"));
    dns.set(NAME, 0, ["127.0.0.2", "127.0.0.1"]);
    let asked = dns.questions();
    eventually("it has asked again", || {
        is(dns.questions() > asked + 1, true)
    });
    assert_eq!(get(lbd.addr(), "/").origin(), Some("first"));
    dns.set(NAME, 0, ["127.0.0.2"]);
    answered_by(&lbd, "second");
}

#[test]
fn an_answer_that_disappears_keeps_the_last_address_and_says_so() {
    let (dns, origin) = (Dns::new(), Origin::start("a"));
    let moved = origin.start_beside(2, "moved");
    dns.set(NAME, 0, ["127.0.0.1"]);
    let lbd = setup(&dns, config(NO_CHECK, origin.addr().port())).start();
    let error = || {
        let host = lbd.server("app/web").host;
        host.expect("it has a name").error
    };
    for (vanish, says) in [
        (Dns::remove as fn(&Dns, &str), "no such name"),
        (|dns, name| dns.set(name, 0, []), "no address"),
        (Dns::fail, "Server Failure"),
        (Dns::be_silent, "no answer"),
    ] {
        vanish(&dns, NAME);
        eventually("it says that the look-up fails", || {
            let error = error().unwrap_or_default();
            is(error.contains(says), true).map_err(|_| format!("{error:?}, wanted {says:?}"))
        });
        assert_eq!(get(lbd.addr(), "/").origin(), Some("a"), "{says}");
        let seen = lbd.server("app/web");
        assert_eq!(
            (seen.state, seen.address),
            (State::Up, origin.addr().to_string())
        );
        let asked = dns.questions();
        eventually("it asks again", || is(dns.questions() > asked, true));
        dns.set(NAME, 0, ["127.0.0.1"]);
        eventually("it is well again", || is(error(), None));
    }
    // Once each time, however often it was tried.
    eventually("the log has said so", || {
        is(lbd.log().matches("does not resolve").count(), 4)
    });
    dns.remove(NAME);
    eventually("it fails again", || is(error().is_some(), true));
    let status = lbd.lbctl(["status", "app/web"]).exits(0);
    status.says("app.internal, look-up has failed for");
    dns.set(NAME, 0, ["127.0.0.2"]);
    answered_by(&lbd, "moved");
    assert_eq!(error(), None);
    assert_eq!(lbd.server("app/web").address, moved.addr().to_string());
}

#[test]
fn a_name_that_leads_nowhere_keeps_nothing_from_starting() {
    let (dns, a, b) = (Dns::new(), Origin::start("a"), Origin::start("b"));
    let both = format!(
        "{{ name = \"web\", address = \"{NAME}:{}\" }}, {{ name = \"b\", address = \"{}\" }}",
        a.addr().port(),
        b.addr()
    );
    let mut lbd = setup(&dns, servers(NO_CHECK, &both)).start();
    let seen = lbd.server("app/web");
    assert_eq!((seen.state, seen.health), (State::Down, Health::Down));
    assert_eq!(seen.address, format!("{NAME}:{}", a.addr().port()));
    for _ in 0..4 {
        assert_eq!(get(lbd.addr(), "/").origin(), Some("b"));
    }
    eventually("the status says why", || {
        let shown = lbd.lbctl(["status"]).exits(0).stdout;
        is(shown.contains("DNS: no such name"), true)
    });
    // Neither a reload nor the operator brings it up.
    lbd.rewrite(format!("# again\n{}", servers(NO_CHECK, &both)));
    lbd.reload().exits(0);
    assert_eq!(lbd.server("app/web").state, State::Down);
    lbd.lbctl(["maint", "app/web"]).exits(0);
    lbd.lbctl(["ready", "app/web"]).exits(0);
    assert_eq!(lbd.server("app/web").state, State::Down);

    dns.set(NAME, 60, ["127.0.0.1"]);
    lbd.wait_for_state("app/web", State::Up);
    answered_by(&lbd, "a");
}

#[test]
fn a_reload_looks_new_names_up_before_it_swaps() {
    let (dns, origin) = (Dns::new(), Origin::start("a"));
    let moved = origin.start_beside(2, "moved");
    let port = origin.addr().port();
    let fixed = format!("{{ name = \"web\", address = \"{}\" }}", origin.addr());
    let mut lbd = setup(&dns, servers(NO_CHECK, &fixed)).start();
    dns.set(NAME, 3600, ["127.0.0.2"]);
    lbd.rewrite(config(NO_CHECK, port));
    lbd.reload().exits(0);
    assert_eq!(get(lbd.addr(), "/").origin(), Some("moved"));
    // A reload that leaves the name alone leaves the server alone, and asks again all the same.
    let asked = dns.questions();
    lbd.rewrite(format!("# again\n{}", config(NO_CHECK, port)));
    lbd.reload().exits(0);
    assert_eq!(lbd.server("app/web").address, moved.addr().to_string());
    eventually("it asks again", || is(dns.questions() > asked, true));
    lbd.rewrite(servers(NO_CHECK, &fixed));
    lbd.reload().exits(0);
    assert_eq!(get(lbd.addr(), "/").origin(), Some("a"));
}

#[test]
fn ipv6_is_taken_where_there_is_no_ipv4() {
    let (dns, origin) = (Dns::new(), Origin::start("a"));
    let port = origin.addr().port();
    dns.set(NAME, 60, ["::1"]);
    dns.set("both.internal", 60, ["::1", "127.0.0.1"]);
    let both = format!(
        "{{ name = \"six\", address = \"{NAME}:{port}\" }}, \
         {{ name = \"four\", address = \"both.internal:{port}\" }}"
    );
    let lbd = setup(&dns, servers(NO_CHECK, &both)).start();
    assert_eq!(lbd.server("app/six").address, format!("[::1]:{port}"));
    assert_eq!(lbd.server("app/four").address, format!("127.0.0.1:{port}"));
}

#[test]
fn an_address_stays_as_long_as_it_is_among_the_answers() {
    let dns = Dns::new();
    dns.set(NAME, 0, ["::1"]);
    let lbd = setup(&dns, config(NO_CHECK, 9)).start();
    assert_eq!(lbd.server("app/web").address, "[::1]:9");
    dns.set(NAME, 0, ["127.0.0.1", "::1"]);
    let asked = dns.questions();
    // Two questions a look-up: for addresses of either kind.
    eventually("it was looked up twice", || {
        is(dns.questions() >= asked + 4, true)
    });
    assert_eq!(lbd.server("app/web").address, "[::1]:9");
    dns.set(NAME, 0, ["127.0.0.1"]);
    eventually("it moves", || {
        is(lbd.server("app/web").address, "127.0.0.1:9".to_owned())
    });
}

#[test]
fn names_may_have_underscores() {
    let (dns, origin) = (Dns::new(), Origin::start("a"));
    let port = origin.addr().port();
    dns.set("my_app.internal", 60, ["127.0.0.1"]);
    let config = config(NO_CHECK, port).replace(NAME, "my_app.internal");
    let lbd = setup(&dns, config).start();
    assert_eq!(get(lbd.addr(), "/").origin(), Some("a"));
}
