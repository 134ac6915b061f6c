//! What axe-core finds in the dashboard, and how it looks, at each size and in both themes.
//!
//! Pictures are written to `target/dashboard`.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use lb_proto::state::State;
use lb_tests::daemon::{QUICK_CHECK, app_at};
use lb_tests::port::Port;
use lb_tests::{Authority, Lbd, Origin, Process, Setup, lbctl, programs, wire};
use serde_json::Value;

use crate::browser::{ACTING, browser, line};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Three sizes in two themes, nothing serious in any.
#[track_caller]
fn look(lbd: &Lbd, name: &str) {
    let folder = programs::workspace().join("target/dashboard");
    fs::create_dir_all(&folder).expect("a folder below target");
    let folder = folder.display().to_string();
    let mut browser = Process::spawn(browser("shots", lbd, &[&folder, name]));
    for number in 1..=6 {
        let shot = line(&mut browser, number);
        assert_eq!(shot["overflows"], false, "{shot:#}");
        let found = shot["found"].as_array().expect("a list");
        let serious = |v: &&Value| v["impact"] == "serious" || v["impact"] == "critical";
        assert_eq!(found.iter().filter(serious).count(), 0, "{shot:#}");
    }
    browser.wait().exits(0);
}

#[test]
#[ignore = "needs chromium and npm packages"]
fn nothing_serious_at_any_size_in_any_theme() {
    let (origins, dead) = (Origin::start_all(["web01", "web02", "web03"]), Port::new());
    let servers = origins.iter().map(|origin| (origin.name(), origin.addr()));
    let lines_of_app = format!("{QUICK_CHECK}\nsticky = {{ cookie = \"SRVID\" }}");
    let app = app_at(&lines_of_app, servers.chain([("web04", dead.addr())]));
    let lbd = Lbd::start(format!("{ACTING}{app}"));
    for server in ["app/web01", "app/web02", "app/web03"] {
        lbd.wait_until_healthy(server);
    }
    for _ in 0..100 {
        assert_eq!(wire::get(lbd.addr(), "/").status, 200);
    }
    lbd.lbctl(["drain", "app/web02", "--reason", "kernel update"])
        .exits(0);
    lbd.lbctl(["maint", "app/web03"]).exits(0);
    lbd.lbctl(["weight", "app/web01", "3"]).exits(0);
    look(&lbd, "mixed");
    look(&lbd, "dialog");
}

/// A backend's table, of servers at one address.
fn backend(name: &str, check: &str, servers: impl IntoIterator<Item = String>) -> String {
    let servers: String = servers
        .into_iter()
        .map(|s| format!("  {{ {s} }},\n"))
        .collect();
    format!("[backend.{name}]\nhealth = {{ {check} }}\nservers = [\n{servers}]\n")
}

/// What hundreds of servers, certificates, a rolling maintenance and a configuration on trial come to on one page.
#[test]
#[ignore = "needs chromium and npm packages"]
fn nothing_serious_where_there_is_much_to_tell() {
    const LONG: &str = "payments-worker-with-a-long-name.eu-central-1a.internal.example";
    let (origin, dead, authority) = (Origin::start("a"), Port::new(), Authority::new());
    let setup = Setup::new("");
    let certs = setup.folder().join("certs");
    fs::create_dir(&certs).expect("the folder is ours");
    let now = SystemTime::now();
    for (name, days) in [("shop", 80), ("soon", 5), ("late", 0), (LONG, 20)] {
        let names: Vec<String> = (0..12).map(|n| format!("{name}{n}.test")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let issued = authority.issue_for(&names, now - 10 * DAY, now + days * DAY);
        issued.write(&certs, &format!("{name}.pem"));
    }
    let at = |name: String, addr| format!("name = \"{name}\", address = \"{addr}\"");
    let addr_of = |n| {
        if n % 20 == 7 {
            dead.addr()
        } else {
            origin.addr()
        }
    };
    let app = (0..200).map(|n| at(format!("web{n:03}"), addr_of(n)));
    let api = (0..80).map(|n| at(format!("api{n:02}"), origin.addr()));
    let batch = (0..20).map(|n| at(format!("{LONG}-{n}"), origin.addr()));
    let config = [
        format!("{ACTING}[defaults.timeouts]\nconnect = \"4s\"\n"),
        format!(
            "[frontend.web]\ndefault_backend = \"app\"\nbind = [\"127.0.0.1:0\", \
             {{ address = \"127.0.0.1:0\", tls = {{ certs = [{certs:?}] }} }}]\n"
        ),
        backend("app", "interval = \"1s\", fall = 1", app),
        backend("api", "interval = \"1s\", rise = 1", api),
        backend("batch", "interval = \"1s\"", batch),
    ];
    let mut lbd = setup.config(config.concat()).start();
    lbd.wait_for_state("app/web187", State::Down);
    for _ in 0..400 {
        wire::get(lbd.addr(), "/");
    }
    let mut out = String::from("set -e\n");
    for n in (3..200).step_by(20) {
        writeln!(
            out,
            "\"$LBCTL\" drain app/web{n:03} --no-wait --reason 'kernel update of rack {n}'"
        )
        .expect("a string");
        writeln!(out, "\"$LBCTL\" maint app/web{:03}", n + 1).expect("a string");
        writeln!(out, "\"$LBCTL\" weight app/web{:03} 7", n + 2).expect("a string");
    }
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &out])
        .env("LBCTL", programs::lbctl())
        .env("LBCTL_SOCKET", lbd.socket());
    Process::run(shell).exits(0);
    lbd.rewrite_with(|config| config.replace("connect = \"4s\"", "connect = \"3s\""));
    lbd.lbctl(["reload", "--confirm-within", "30m"]).exits(0);
    let hook = "until [ -e \"$LB_TEST_GO\" ]; do sleep 0.1; done";
    let mut rolling = lbctl::command(
        &lbd.socket(),
        [
            "rolling-maintenance",
            "api",
            "--server",
            "api/api00",
            "--exec",
            hook,
        ],
    );
    let go = lbd.folder().join("go");
    rolling.env("LB_TEST_GO", &go);
    let rolling = Process::spawn(rolling);
    lbd.wait_for_state("api/api00", State::Maint);
    let page = wire::ask(lbd.admin(), "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").text();
    for told in ["rolling maintenance of api by", "is on trial", "expired"] {
        assert!(page.contains(told), "{told} is not told");
    }
    look(&lbd, "many");
    fs::write(go, "").expect("the folder is ours");
    rolling.wait().exits(0);
}
