//! Rolling maintenance that goes well: every server in its turn, and no client notices.

use std::fs;

use lb_proto::rolling::Phase;
use lb_proto::state::{Admin, Health, State};
use lb_tests::daemon::{NO_CHECK, QUICK_CHECK, app};
use lb_tests::terminal::OnTerminal;
use lb_tests::wire::request;
use lb_tests::{Lbd, Load, Origin, Setup, Wire, eventually, is, lbctl};
use serde_json::{Value, json};

const ROLLING: &str = "rolling-maintenance";

/// Three servers under load, each really away while its hook runs.
#[test]
fn each_server_is_maintained_in_its_turn_and_no_request_fails() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    let load = Load::on(lbd.addr()).start();
    load.go_on_for(200);
    // What the daemon says of the server, while it is maintained.
    let hook = "echo maintained at $LB_ADDRESS; \
                \"$LBCTL\" status $LB_BACKEND/$LB_SERVER --json > \"$FOLDER/$LB_SERVER.json\"";
    let mut command = lbctl::command(
        &lbd.socket(),
        [ROLLING, "app", "--exec", hook, "--reason", "new kernel"],
    );
    command
        .env("LBCTL", lb_tests::programs::lbctl())
        .env("FOLDER", lbd.folder());
    let output = lb_tests::Process::run(command).exits(0);
    for origin in &origins {
        let name = origin.name();
        let line = format!("{name} | maintained at {}\n", origin.addr());
        assert!(output.stdout.contains(&line), "{output:#?}");
        let seen = fs::read(lbd.folder().join(format!("{name}.json"))).expect("the hook wrote it");
        let seen: Value = serde_json::from_slice(&seen).expect("it is JSON");
        let server = &seen["backends"][0]["servers"][0];
        assert_eq!(
            (&server["admin"], &server["sessions"]),
            (&json!("maint"), &json!(0))
        );
        let reason = &server["overrides"]["admin"]["reason"];
        assert_eq!(*reason, "rolling maintenance: new kernel");
        let now = lbd.server(&format!("app/{name}"));
        assert_eq!((now.admin, now.health), (Admin::Ready, Health::Up));
    }
    let says = output.stderr.as_str();
    assert!(says.contains("app: 3 servers maintained in "), "{says}");
    assert!(
        says.contains("2 of 2 other servers are up, 66 % of the capacity"),
        "{says}"
    );
    // Those of before it was out are no news.
    assert!(!says.contains("its checks succeed"), "{says}");
    assert_eq!(lbd.status().backends[0].rolling, None);
    load.stop().assert_clean();
}

#[test]
fn a_server_that_is_out_already_is_somebodys_and_stays_as_it_is() {
    let origins = Origin::start_all(["a", "b", "c", "d"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    lbd.lbctl(["maint", "app/b"]).exits(0);
    lbd.lbctl(["drain", "app/c"]).exits(0);
    let output = lbd
        .lbctl([ROLLING, "app", "--exec", "echo at $LB_SERVER"])
        .exits(0);
    assert_eq!(output.stdout, "a | at a\nd | at d\n");
    let output = output.says("app/b is left out: it is in maint already");
    output.says("app/c is left out: it is in drain already");
    let admin = |id| lbd.server(id).admin;
    assert_eq!(
        (admin("app/b"), admin("app/c")),
        (Admin::Maint, Admin::Drain)
    );
}

#[test]
fn only_the_servers_named_have_a_turn() {
    let origins = Origin::start_all(["a", "b", "c"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let rolling = |servers: [&str; 2]| {
        let [one, other] = servers;
        let hook = [
            "--exec",
            "echo at $LB_SERVER",
            "--server",
            one,
            "--server",
            other,
        ];
        let args = [ROLLING, "app"].into_iter().chain(hook);
        lb_tests::Process::run(lbctl::command(&lbd.socket(), args))
    };
    let output = rolling(["c", "app/a"]).exits(0);
    assert_eq!(output.stdout, "a | at a\nc | at c\n");
    rolling(["c", "x"]).exits(6).says("did you mean");
    rolling(["c", "other/x"]).exits(6);
}

#[test]
fn a_dry_run_changes_nothing_and_says_where_it_would_stop() {
    let mut origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(QUICK_CHECK, &origins));
    let dry = || lbd.lbctl([ROLLING, "app", "--exec", "./patch.sh", "--dry-run"]);
    let output = dry().exits(0);
    assert!(
        output
            .stdout
            .contains("app/a: drain (at most 10m), maint, ./patch.sh")
    );
    assert!(!output.stdout.contains("would stop"), "{output:#?}");
    origins[1].kill();
    lbd.wait_for_state("app/b", State::Down);
    dry().exits(0).says("it would stop here, --min-up wants 1");
    let document = lbd
        .lbctl([ROLLING, "app", "--dry-run", "--json"])
        .exits(0)
        .json();
    let turn = &document["todo"][1];
    assert_eq!(
        *turn,
        json!({ "server": "b", "others_up": ["a"], "capacity_percent": 50 })
    );
    assert_eq!(lbd.server("app/a").admin, Admin::Ready);
}

#[test]
fn scripts_get_an_event_a_line_the_hooks_output_included() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let hook = "echo one; echo two >&2";
    let output = lbd
        .lbctl([ROLLING, "app", "--exec", hook, "--json"])
        .exits(0);
    let events: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is a document"))
        .collect();
    let of = |event: &str| {
        events
            .iter()
            .filter(|e| e["event"] == event)
            .collect::<Vec<_>>()
    };
    assert_eq!(events[0]["todo"], json!(["a", "b"]));
    let phases: Vec<&Value> = of("phase").iter().map(|event| &event["phase"]).collect();
    assert_eq!(phases[..4], ["drain", "maint", "return", "done"]);
    let said: Vec<_> = of("output")
        .iter()
        .map(|e| {
            (
                e["server"].as_str(),
                e["stream"].as_str(),
                e["line"].as_str(),
            )
        })
        .collect();
    for line in [("stdout", "one"), ("stderr", "two")] {
        assert!(
            said.contains(&(Some("app/a"), Some(line.0), Some(line.1))),
            "{said:?}"
        );
    }
    let last = events.last().expect("there are some");
    assert_eq!(
        (&last["event"], &last["done"]),
        (&json!("finished"), &json!(["a", "b"]))
    );
}

#[test]
fn without_a_terminal_or_a_hook_nobody_can_be_asked() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(app(NO_CHECK, [&origin]));
    lbd.lbctl([ROLLING, "app"]).exits(2).says("--exec");
    lbd.lbctl([ROLLING, "nothing", "--exec", "true"]).exits(6);
    assert_eq!(lbd.server("app/a").admin, Admin::Ready);
}

#[test]
fn on_a_terminal_it_asks_for_each_server_and_enter_goes_on() {
    let origins = Origin::start_all(["a", "b"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    let mut rolling = OnTerminal::spawn(lbctl::command(&lbd.socket(), ["rolling", "app"]));
    for name in ["a", "b"] {
        let id = format!("app/{name}");
        lbd.wait_for_state(&id, State::Maint);
        rolling.shows(&format!("{id}  is drained and in maint; Enter when done"));
        let status = lbd.status().backends.remove(0);
        let current = status
            .rolling
            .as_ref()
            .and_then(|rolling| rolling.current());
        assert_eq!(
            current.map(|turn| (turn.server.as_str(), turn.phase)),
            Some((name, Phase::Maint))
        );
        rolling.types("\n");
        lbd.wait_for_state(&id, State::Up);
    }
    let (code, screen) = rolling.wait();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("app: 2 servers maintained"), "{screen}");
}

/// Sessions of clients whose cookie names the server begin until it is in maint.
#[test]
fn sticky_clients_reach_it_while_it_drains_and_not_while_it_is_maintained() {
    let origins = Origin::start_all(["a", "b"]);
    let sticky = format!("{NO_CHECK}\nsticky = {{ cookie = \"SRVID\" }}");
    let lbd = Setup::new(app(&sticky, &origins)).start();
    origins[0].hold("/held");
    let mut held = Wire::connect(lbd.addr());
    held.send("GET /held HTTP/1.1\r\nHost: a.test\r\nCookie: SRVID=a\r\n\r\n");
    eventually("it is in flight", || is(origins[0].in_flight(), 1));
    let visit = || {
        let mut wire = Wire::connect(lbd.addr());
        wire.send("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: SRVID=a\r\n\r\n");
        wire.response().text()
    };
    let folder = lbd.folder().display().to_string();
    let hook = format!("touch {folder}/begun; until test -e {folder}/go; do sleep 0.02; done");
    let rolling =
        lbd.lbctl_in_background([ROLLING, "app", "--server", "a", "--exec", hook.as_str()]);
    lbd.wait_for_state("app/a", State::Drain);
    assert_eq!(visit(), "a");
    origins[0].release();
    eventually("the hook runs", || {
        match lbd.folder().join("begun").exists() {
            true => Ok(()),
            false => Err("it does not"),
        }
    });
    assert_eq!(visit(), "b");
    fs::write(lbd.folder().join("go"), "").expect("the folder is ours");
    rolling.wait().exits(0);
    assert_eq!(held.response().status, 200);
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", "/"));
    assert_eq!(wire.response().status, 200);
}
