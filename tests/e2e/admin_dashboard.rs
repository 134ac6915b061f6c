//! The dashboard: what the page tells without any script, and that nothing which it shows is taken for markup.

use std::net::SocketAddr;

use lb_tests::daemon::{NO_CHECK, app, app_at};
use lb_tests::port::Port;
use lb_tests::wire::Response;
use lb_tests::{Lbd, Origin, eventually, held, wire};

use crate::admin_http::get;
use crate::admin_users;

const ADMIN: &str = "[admin]\nbind = \"127.0.0.1:0\"\nrefresh = \"7s\"\n";

fn page(admin: SocketAddr) -> String {
    let page = get(admin, "/");
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    page.text()
}

/// What stands between two quotes after each `name=`.
fn values<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    let begin = format!(" {name}=\"");
    let parts = page.split(begin.as_str()).skip(1);
    parts.filter_map(|rest| rest.split('"').next()).collect()
}

/// The row of a server, as HTML.
fn row<'p>(page: &'p str, key: &str) -> &'p str {
    let begin = format!("data-row=\"{key}\"");
    let (_, rest) = page.split_once(&begin).expect("the server has a row");
    rest.split("</tr>").next().unwrap_or(rest)
}

/// The text of a cell in a row.
fn cell<'p>(row: &'p str, name: &str) -> &'p str {
    let begin = format!("data-c=\"{name}\">");
    let (_, rest) = row
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {name} in {row}"));
    rest.split('<').next().unwrap_or(rest)
}

#[test]
fn it_tells_of_every_server_without_a_script() {
    let (origin, dead) = (Origin::start("web01"), Port::new());
    let check = "health = { interval = \"50ms\", timeout = \"60s\", rise = 1, fall = 1 }\nsticky = { cookie = \"S\" }";
    let servers = [("web01", origin.addr()), ("web02", dead.addr())];
    let lbd = Lbd::start(format!("{ADMIN}{}", app_at(check, servers)));
    lbd.wait_until_healthy("app/web01");
    lbd.wait_for_state("app/web02", lb_proto::state::State::Down);
    lbd.lbctl(["weight", "app/web01", "3"]).exits(0);
    let mut held = held::one(lbd.addr(), &origin);
    lbd.lbctl(["drain", "app/web01", "--no-wait", "--reason", "kernel"])
        .exits(0);

    let page = page(lbd.admin());
    let drained = row(&page, "app/web01");
    assert_eq!(cell(drained, "word"), "drain");
    assert!(values(drained, "href").contains(&"#i-drain"), "{drained}");
    assert_eq!(cell(drained, "sessions"), "1");
    assert_eq!(cell(drained, "left"), "1 session left");
    assert!(cell(drained, "why").starts_with("by "), "{drained}");
    assert!(cell(drained, "why").contains(": kernel"), "{drained}");
    assert_eq!(cell(drained, "weight"), "3");
    assert!(cell(drained, "set").starts_with("not 1, by "), "{drained}");
    assert_eq!(cell(drained, "check"), "L4OK");
    assert_eq!(cell(drained, "sticky"), " · 0 sticky");
    let down = row(&page, "app/web02");
    assert_eq!((cell(down, "word"), cell(down, "check")), ("down", "L4CON"));

    // What is worst comes first, and the page says that nobody serves the clients.
    let levels = values(
        page.split("<template").next().unwrap_or(&page),
        "data-level",
    );
    assert_eq!(levels, ["bad", "bad", "note"]);
    assert!(
        page.contains("app has no server that takes sessions"),
        "{page}"
    );
    assert!(page.contains("0 of 2 up"), "{page}");
    assert!(page.contains("up → drain: drain by "), "{page}");
    origin.release();
    held.response();
}

#[test]
fn it_loads_nothing_from_elsewhere_and_runs_nothing_that_stands_in_it() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(format!("{ADMIN}{}", app(NO_CHECK, [&origin])));
    let admin = lbd.admin();
    let page = page(admin);
    assert!(
        page.contains("<noscript><meta http-equiv=\"refresh\" content=\"7\"></noscript>"),
        "{page}"
    );
    assert!(
        !page.contains("<style") && !page.contains(" style="),
        "{page}"
    );
    for (at, _) in page.match_indices("<script") {
        let script = &page[at..];
        assert!(script.starts_with("<script src=\"assets/"), "{script}");
        assert!(script.contains("></script>"), "{script}");
    }
    let tags = page.split('<').filter_map(|tag| tag.split('>').next());
    let elsewhere = |tag: &&str| {
        let handler = |part: &str| part.starts_with("on") && part.contains('=');
        tag.contains("//") || tag.contains("javascript:") || tag.split_whitespace().any(handler)
    };
    assert_eq!(tags.filter(elsewhere).collect::<Vec<_>>(), [""; 0]);
    let assets: Vec<&str> = [values(&page, "src"), values(&page, "href")]
        .concat()
        .into_iter()
        .filter(|path| path.starts_with("assets/"))
        .collect();
    assert_eq!(assets.len(), 3, "{assets:?}");
    for path in assets {
        let asset = get(admin, &format!("/{path}"));
        assert_eq!(asset.status, 200, "{path}");
        let cached = asset
            .header("cache-control")
            .expect("it says how long it may be kept");
        assert!(cached.contains("immutable"), "{cached}");
        let tag = asset.header("etag").expect("it has a tag");
        let again = conditional(admin, path, tag);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(conditional(admin, path, "\"other\"").status, 200, "{path}");
    }
    assert_eq!(get(admin, "/assets/page.js").status, 404);
    assert_eq!(get(admin, "/").header("cache-control"), Some("no-store"));
}

fn conditional(admin: SocketAddr, path: &str, tag: &str) -> Response {
    wire::ask(
        admin,
        format!("GET /{path} HTTP/1.1\r\nhost: localhost\r\nif-none-match: {tag}\r\n\r\n"),
    )
}

#[test]
fn what_names_and_reasons_hold_is_text() {
    const EVIL: &str = "</td></script><script>alert(1)</script><img src=x onerror='alert(2)'>\"&";
    let origin = Origin::start("a");
    let check = "health = { type = \"http\", path = \"/<script>alert(3)</script>\", interval = \"50ms\", timeout = \"60s\", fall = 1 }";
    let lbd = Lbd::start(format!("{ADMIN}{}", app(check, [&origin])));
    lbd.lbctl(["drain", "app/a", "--no-wait", "--reason", EVIL])
        .exits(0);
    eventually("a check has spoken", || {
        lbd.server("app/a").last_check.ok_or("none has")
    });
    let page = page(lbd.admin());
    assert!(
        page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"),
        "{page}"
    );
    assert!(page.contains("&lt;script&gt;alert(3)"), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "{page}");
    assert!(!page.contains("<img"), "{page}");
    // In an attribute it does not end it.
    assert!(!page.contains("\"&\""), "{page}");
}

#[test]
fn a_page_of_thousands_of_servers_shows_those_that_matter() {
    use std::fmt::Write as _;
    let mut servers = String::new();
    for n in 0..3_000 {
        writeln!(
            servers,
            "  {{ name = \"s{n}\", address = \"127.0.0.1:9\" }},"
        )
        .expect("a string");
    }
    let lbd = Lbd::start(format!(
        "{ADMIN}[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
         [backend.app]\n{NO_CHECK}\nservers = [\n{servers}]\n"
    ));
    lbd.lbctl(["maint", "app/s2999"]).exits(0);
    let page = page(lbd.admin());
    let shown = values(&page, "data-row");
    let shown: Vec<&&str> = shown.iter().filter(|key| key.starts_with("app/")).collect();
    assert_eq!(shown.len(), 1_000);
    assert!(
        shown.contains(&&"app/s2999"),
        "the one in maint is left out"
    );
    assert!(
        page.contains("more are not shown"),
        "nothing says that some are left out"
    );
}

#[test]
fn only_who_may_act_gets_the_token() {
    let origin = Origin::start("a");
    let app = app(NO_CHECK, [&origin]);
    let mut lbd = Lbd::start(format!("{ADMIN}{app}"));
    let read_only = page(lbd.admin());
    assert!(
        !read_only.contains("lbd-token") && !read_only.contains("act.js"),
        "{read_only}"
    );

    lbd.rewrite(format!("{ADMIN}actions = true\n{app}"));
    lbd.reload().exits(0);
    let acting = page(lbd.admin());
    let token = std::fs::read_to_string(lbd.folder().join("state/admin.token"));
    let token = token.expect("the token is kept");
    assert!(acting.contains("<meta name=\"lbd-token\""), "{acting}");
    assert!(!acting.contains(token.trim()), "what opens all for ever");
    assert!(acting.contains("act.js"), "{acting}");
}

#[test]
fn a_page_of_another_token_is_loaded_again() {
    let origin = Origin::start("a");
    let app = app(NO_CHECK, [&origin]);
    let mut lbd = Lbd::start(format!("{ADMIN}actions = true\n{app}"));
    let layout = |lbd: &Lbd| {
        let page = page(lbd.admin());
        let (_, rest) = page.split_once("data-layout=\"").expect("a layout");
        rest.split_once('"').expect("its end").0.to_owned()
    };
    let first = layout(&lbd);
    lbd.stop();
    lbd.start_again();
    assert_eq!(layout(&lbd), first);
    lbd.stop();
    std::fs::remove_file(lbd.folder().join("state/admin.token")).expect("it was there");
    lbd.start_again();
    assert_ne!(layout(&lbd), first);
}

#[test]
fn a_viewer_sees_and_an_operator_has_buttons() {
    let origin = Origin::start("a");
    let lbd = admin_users::start(&origin);
    let admin = lbd.admin();
    let page = |headers: &str| {
        wire::ask(
            admin,
            format!("GET / HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"),
        )
    };
    assert_eq!(page("").status, 401);
    let viewed = page(&admin_users::login("eve", "view secret"));
    assert_eq!(viewed.status, 200);
    assert!(!viewed.text().contains("lbd-token") && !viewed.text().contains("act.js"));
    let acting = page(&admin_users::login("ops", "op secret"));
    assert!(acting.text().contains("lbd-token") && acting.text().contains("act.js"));
}
