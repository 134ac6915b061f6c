//! `[[admin.users]]`: who is let in, who may act, and that guessing leads nowhere.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lb_proto::password::Hash;
use lb_proto::state::{Admin, State};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::wire::{End, Response};
use lb_tests::{Lbd, Origin, Wire, eventually, wire};

const ON_A: &str = "/api/v1/servers/app/a/state";

pub(crate) fn user(name: &str, password: &str, role: &str) -> String {
    let hash = Hash::of(password).expect("a password");
    format!("[[admin.users]]\nname = {name:?}\npassword_hash = \"{hash}\"\nrole = \"{role}\"\n")
}

pub(crate) fn with_users(users: &[String], origin: &Origin) -> String {
    let (users, app) = (users.concat(), app(NO_CHECK, [origin]));
    format!("[admin]\nbind = \"127.0.0.1:0\"\nactions = true\n{users}\n{app}")
}

/// An operator and a viewer.
pub(crate) fn start(origin: &Origin) -> Lbd {
    let users = [
        user("ops", "op secret", "operator"),
        user("eve", "view secret", "viewer"),
    ];
    Lbd::start(with_users(&users, origin))
}

pub(crate) fn login(name: &str, password: &str) -> String {
    let encoded = BASE64_STANDARD.encode(format!("{name}:{password}"));
    format!("authorization: Basic {encoded}\r\n")
}

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

fn status(admin: SocketAddr, headers: &str) -> Response {
    wire::ask(admin, get("/api/v1/status", headers))
}

fn post(body: &str, headers: &str) -> String {
    let length = body.len();
    format!(
        "POST {ON_A} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn everything_but_health_is_for_those_who_log_in() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    assert_eq!(wire::ask(admin, get("/healthz", "")).status, 200);
    let wrong = "authorization: Basic b3Bz\r\n".to_owned();
    let bearer = "authorization: Bearer b3BzOm9wIHNlY3JldA==\r\n".to_owned();
    let twice = login("ops", "op secret").repeat(2);
    for headers in [
        String::new(),
        wrong,
        bearer,
        twice,
        login("ops", "view secret"),
        login("stranger", "op secret"),
        login("", ""),
    ] {
        for target in ["/metrics", "/api/v1/status"] {
            let refused = wire::ask(admin, get(target, &headers));
            assert_eq!(refused.status, 401, "{target} {headers}");
            let how = refused.header("www-authenticate").expect("how to log in");
            assert_eq!(how, "Basic realm=\"lbd\", charset=\"UTF-8\"");
        }
    }
    assert_eq!(
        wire::ask(admin, post("{}", "")).json()["error"]["code"],
        "not_allowed"
    );
    for (name, password) in [("ops", "op secret"), ("eve", "view secret")] {
        let headers = login(name, password);
        assert_eq!(status(admin, &headers).status, 200, "{name}");
        assert_eq!(wire::ask(admin, get("/metrics", &headers)).status, 200);
    }
    // A name that is none may be a password.
    lbd.wait_for_log("a login failed");
    lbd.wait_for_log("user=\"ops\"");
    let log = lbd.log();
    assert!(
        !log.contains("secret") && !log.contains("stranger"),
        "{log}"
    );
}

#[test]
fn operators_act_and_viewers_do_not() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    let token = std::fs::read_to_string(lbd.folder().join("state/admin.token"));
    let token = format!("x-lbd-token: {}\r\n", token.expect("a token").trim());
    let drain = r#"{"admin":"drain"}"#;
    let (ops, eve) = (login("ops", "op secret"), login("eve", "view secret"));

    let refused = wire::ask(admin, post(drain, &eve));
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].as_str()),
        (403, Some("not_allowed"))
    );
    assert_eq!(
        wire::ask(admin, post(drain, &format!("{eve}{token}"))).status,
        403
    );
    let wrong = format!("{}{token}", login("ops", "x"));
    assert_eq!(wire::ask(admin, post(drain, &wrong)).status, 401);
    for foreign in [
        "origin: http://evil.example\r\n",
        "sec-fetch-site: same-site\r\n",
    ] {
        let forged = post(drain, &format!("{ops}{foreign}"));
        assert_eq!(wire::ask(admin, forged).status, 403, "{foreign}");
    }
    let form = post(drain, &ops).replace("application/json", "text/plain");
    assert_eq!(wire::ask(admin, form).status, 415);
    assert_eq!(wire::ask(admin, get("/api/v1/status", &token)).status, 401);
    assert_eq!(lbd.server("app/a").admin, Admin::Ready);

    assert_eq!(wire::ask(admin, post(drain, &ops)).status, 200);
    let server = lbd.server("app/a");
    let set = server.overrides.admin.expect("it is marked");
    assert_eq!(
        (server.state, set.by.to_string()),
        (State::Drain, "ops (dashboard, 127.0.0.1)".into())
    );
    let audit = lbd.lbctl(["events", "--audit", "--no-follow"]).stdout;
    assert!(
        audit.contains("set_state ready → drain  by ops (dashboard, 127.0.0.1)"),
        "{audit}"
    );

    assert!(
        audit.contains("by eve (dashboard, 127.0.0.1); refused: this is for operators"),
        "{audit}"
    );

    let ready = wire::ask(admin, post(r#"{"admin":"ready"}"#, &token));
    assert_eq!(ready.status, 200, "the token alone will do");
    assert_eq!(lbd.server("app/a").state, State::Up);
}

/// What the page that these headers lead to carries for changes.
fn page_token(admin: SocketAddr, headers: &str) -> String {
    let page = wire::ask(admin, get("/", headers)).text();
    let (_, rest) = page
        .split_once("name=\"lbd-token\" content=\"")
        .expect("a token");
    let (token, _) = rest.split_once('"').expect("its end");
    format!("x-lbd-token: {token}\r\n")
}

#[test]
fn what_a_page_carries_is_its_users_and_goes_with_him() {
    let origin = Origin::start("a");
    let alone = app(NO_CHECK, [&origin]);
    let alone = format!("[admin]\nbind = \"127.0.0.1:0\"\nactions = true\n{alone}");
    let mut lbd = Lbd::start(alone);
    let admin = lbd.admin();
    let acts = |headers: &str| wire::ask(admin, post(r#"{"admin":"drain"}"#, headers)).status;
    let nobodys = page_token(admin, "");
    assert_eq!(acts(&nobodys), 200);

    let users = ["ops", "other", "third"].map(|name| user(name, "secret", "operator"));
    lbd.rewrite(with_users(&users, &origin));
    lbd.reload().exits(0);
    assert_eq!(acts(&nobodys), 401, "it was made where nobody logged in");
    let tokens = ["ops", "other", "third"].map(|name| page_token(admin, &login(name, "secret")));
    for token in &tokens {
        assert_eq!(acts(token), 200);
    }
    assert_eq!(acts(&tokens[0]), 200);
    let set = lbd.server("app/a").overrides.admin.expect("it is marked");
    assert_eq!(set.by.to_string(), "ops (dashboard, 127.0.0.1)");
    let others = format!("{}{}", login("ops", "secret"), tokens[1]);
    assert_eq!(acts(&others), 403, "another's page");

    // One is demoted and has the same password, one has another, and one is gone.
    let users = [
        users[0].replace("operator", "viewer"),
        user("other", "another", "operator"),
    ];
    lbd.rewrite(with_users(&users, &origin));
    lbd.reload().exits(0);
    for token in &tokens {
        assert_eq!(acts(token), 401);
    }
    let kept = std::fs::read_to_string(lbd.folder().join("state/admin.token"));
    let kept = format!("x-lbd-token: {}\r\n", kept.expect("a token").trim());
    assert_eq!(acts(&kept), 200, "root's scripts go on");
}

#[test]
fn a_name_is_text_whatever_it_holds() {
    let origin = Origin::start("a");
    let name = "<script>alert(1)</script>\"'";
    let lbd = Lbd::start(with_users(&[user(name, "secret", "operator")], &origin));
    let body = r#"{"admin":"drain","reason":"<img src=x onerror=alert(1)>"}"#;
    let done = wire::ask(lbd.admin(), post(body, &login(name, "secret")));
    assert_eq!(done.status, 200);
    assert_eq!(done.header("content-type"), Some("application/json"));
    assert_eq!(done.header("x-content-type-options"), Some("nosniff"));
    let set = lbd.server("app/a").overrides.admin.expect("it is marked");
    assert_eq!(set.by.user.as_deref(), Some(name));
}

#[test]
fn guesses_have_to_wait_and_others_get_in() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    let (ops, eve) = (login("ops", "op secret"), login("eve", "view secret"));
    for guess in 0..5 {
        assert_eq!(status(admin, &login("eve", &guess.to_string())).status, 401);
    }
    // The wait doubles with each guess that counts; how long it has been is the machine's to say.
    let mut waited = false;
    for guess in 5..9 {
        let refused = status(admin, &login("eve", &guess.to_string()));
        if refused.status == 429 {
            let seconds = refused.header("retry-after").expect("how long");
            assert!((1..=60).contains(&seconds.parse::<u32>().expect("a number")));
            waited = true;
        }
    }
    assert!(waited, "nobody had to wait");
    assert_eq!(status(admin, &ops).status, 200);
    eventually("who knows the password gets in", || {
        let status = status(admin, &eve).status;
        (status == 200).then_some(()).ok_or(status)
    });
    // That forgave her guesses; and whoever was let in is not asked to wait for another's.
    for guess in 10..16 {
        let status = status(admin, &login("eve", &guess.to_string())).status;
        assert!(guess >= 14 || status == 401, "guess {guess}: {status}");
    }
    assert_eq!(status(admin, &eve).status, 200);
}

#[test]
fn an_old_password_that_is_shown_again_and_again_keeps_nobody_out() {
    let origin = Origin::start("a");
    let mut lbd = start(&origin);
    let admin = lbd.admin();
    for name in ["ops", "removed"] {
        let old = login(name, "old secret");
        for _ in 0..30 {
            assert_eq!(status(admin, &old).status, 401, "{name}");
        }
    }
    assert_eq!(status(admin, &login("ops", "op secret")).status, 200);
    // All of the log.
    assert_eq!(lbd.stop(), Some(0));
    assert_eq!(lbd.log().matches("a login failed").count(), 2);
}

#[test]
fn who_has_said_all_it_wants_to_is_answered() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let mut wire = Wire::connect(lbd.admin());
    // It takes a while to compare the password.
    wire.send(get("/api/v1/status", &login("ops", "op secret")));
    wire.finish();
    assert_eq!(wire.response().status, 200);
    assert_eq!(wire.rest().1, End::Eof);
}

#[test]
fn a_page_with_its_parts_is_let_in_at_once() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    let mut parts: Vec<Wire> = (0..6)
        .map(|_| {
            let mut wire = Wire::connect(admin);
            wire.send(get("/api/v1/status", &login("ops", "op secret")));
            wire
        })
        .collect();
    for part in &mut parts {
        assert_eq!(part.response().status, 200);
    }
}

#[test]
fn whom_a_reload_removes_is_not_let_in_on_an_open_connection() {
    let origin = Origin::start("a");
    let mut lbd = start(&origin);
    let admin = lbd.admin();
    let (ops, eve) = (login("ops", "op secret"), login("eve", "view secret"));
    let mut wire = Wire::connect(admin);
    let mut says = |headers: &str| {
        wire.send(get("/api/v1/status", headers));
        wire.response().status
    };
    assert_eq!((says(&ops), says(&eve)), (200, 200));
    let mut told = Wire::connect(admin);
    told.send(get("/api/v1/events", &eve));
    assert_eq!(told.head().expect("a stream").status, 200);
    let users = [user("ops", "another secret", "viewer")];
    lbd.rewrite(with_users(&users, &origin));
    let plan = lbd.lbctl(["plan"]).exits(0).stdout;
    assert!(plan.contains("users.ops.password_hash: another"), "{plan}");
    assert!(
        plan.contains("users.ops.role: operator -> viewer"),
        "{plan}"
    );
    assert!(
        plan.contains("users: eve (viewer)") && !plan.contains("argon2"),
        "{plan}"
    );
    lbd.reload().exits(0);
    while !told.chunk().expect("the stream ends in order").is_empty() {}
    assert_eq!((says(&ops), says(&eve)), (401, 401));
    let ops = login("ops", "another secret");
    assert_eq!(says(&ops), 200);
    assert_eq!(
        wire::ask(admin, post(r#"{"admin":"drain"}"#, &ops)).status,
        403
    );
}
