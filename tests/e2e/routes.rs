//! Routes: the first that matches wins; redirects and answers of lbd's own.

use lb_tests::wire::{Response, ask, request};
use lb_tests::{Lbd, Origin, Wire};

/// Nothing that the tests ask for.
const NOTHING: &str =
    "[[frontend.web.routes]]\npath_exact = \"/never\"\nrespond = { status = 403 }\n";

fn start(routes: &str, origins: &[Origin]) -> Lbd {
    let backends: String = origins
        .iter()
        .map(|origin| {
            let (name, address) = (origin.name(), origin.addr());
            format!(
                "[backend.{name}]\nhealth = false\n\
                 servers = [{{ name = \"s\", address = \"{address}\" }}]\n"
            )
        })
        .collect();
    Lbd::start(format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\n{routes}\n{backends}"
    ))
}

fn ask_for(lbd: &Lbd, method: &str, host: &str, target: &str, more: &str) -> Response {
    ask(
        lbd.addr(),
        format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n"),
    )
}

#[test]
fn requests_go_where_the_first_matching_route_says() {
    let origins = Origin::start_all(["exact", "wild", "v1", "eq", "post", "canary", "rest"]);
    let lbd = start(
        r#"
default_backend = "rest"
[[frontend.web.routes]]
path_exact = "/eq"
backend = "eq"
[[frontend.web.routes]]
host = "api.example.com"
path = "/v1/"
backend = "v1"
[[frontend.web.routes]]
host = "api.example.com"
backend = "exact"
[[frontend.web.routes]]
host = "*.example.com"
backend = "wild"
[[frontend.web.routes]]
methods = ["POST", "PUT"]
path = "/form"
backend = "post"
[[frontend.web.routes]]
headers = { x-canary = "1" }
backend = "canary"
"#,
        &origins,
    );
    for (method, host, target, more, origin) in [
        ("GET", "other", "/", "", "rest"),
        ("GET", "other", "/eq", "", "eq"),
        ("GET", "other", "/eq?q=1", "", "eq"),
        ("GET", "other", "/eq/", "", "rest"),
        ("GET", "api.example.com", "/", "", "exact"),
        ("GET", "API.Example.COM", "/", "", "exact"),
        ("GET", "api.example.com:8080", "/", "", "exact"),
        ("GET", "api.example.com.", "/", "", "exact"),
        ("GET", "api.example.com", "/v1/x", "", "v1"),
        ("GET", "api.example.com", "/v1", "", "exact"),
        ("GET", "api.example.com", "/v10", "", "exact"),
        ("GET", "www.example.com", "/v1/x", "", "wild"),
        ("GET", "a.b.example.com", "/", "", "wild"),
        ("GET", "example.com", "/", "", "rest"),
        ("GET", "badexample.com", "/", "", "rest"),
        ("POST", "other", "/form", "content-length: 0\r\n", "post"),
        ("GET", "other", "/form", "", "rest"),
        ("GET", "other", "/", "x-canary: 1\r\n", "canary"),
        ("GET", "other", "/", "X-Canary: 1\r\n", "canary"),
        ("GET", "other", "/", "x-canary: 2\r\n", "rest"),
    ] {
        let response = ask_for(&lbd, method, host, target, more);
        assert_eq!(
            response.origin(),
            Some(origin),
            "{method} {host}{target} {more:?}: {}",
            response.status
        );
    }
}

#[test]
fn without_a_route_and_a_default_it_is_404_and_the_connection_goes_on() {
    let origins = Origin::start_all(["v1"]);
    let routes = "[[frontend.web.routes]]\npath = \"/v1/\"\nbackend = \"v1\"\n";
    let lbd = start(routes, &origins);
    let mut wire = Wire::connect(lbd.addr());
    for _ in 0..3 {
        let response = wire.send(request("GET", "/none")).response();
        assert_eq!((response.status, response.origin()), (404, None));
        assert!(!response.body.is_empty());
        let response = wire.send(request("GET", "/v1/x")).response();
        assert_eq!((response.status, response.origin()), (200, Some("v1")));
    }
}

#[test]
fn redirects_fill_in_their_placeholders() {
    let lbd = start(
        r#"
[[frontend.web.routes]]
path = "/old/"
redirect = { to = "https://new.example{path}{query}", status = 301 }
[[frontend.web.routes]]
path = "/here/"
redirect = { to = "https://{host}{path}{query}", status = 308 }
"#,
        &[],
    );
    for (target, status, location) in [
        (
            "/old/a%20b?x=1&y=%2F",
            301,
            "https://new.example/old/a%20b?x=1&y=%2F",
        ),
        ("/old/", 301, "https://new.example/old/"),
        ("/here/?q", 308, "https://shop.example:81/here/?q"),
    ] {
        let response = ask_for(&lbd, "GET", "shop.example:81", target, "");
        assert_eq!(response.status, status, "{target}");
        assert_eq!(response.header("location"), Some(location), "{target}");
    }
}

#[test]
fn lbd_answers_by_itself_where_a_route_says_so() {
    let lbd = start(
        r#"
[[frontend.web.routes]]
path = "/private/"
respond = { status = 403 }
[[frontend.web.routes]]
path = "/empty"
respond = { status = 204 }
"#,
        &[],
    );
    let mut wire = Wire::connect(lbd.addr());
    assert_eq!(
        wire.send(request("GET", "/private/x")).response().status,
        403
    );
    assert_eq!(wire.send(request("GET", "/empty")).response().status, 204);
    let head = wire.send(request("HEAD", "/private/x")).response_to_head();
    assert_eq!(head.status, 403);
    // What follows shows that the answer to HEAD had no body.
    assert_eq!(wire.send(request("GET", "/empty")).response().status, 204);
}

#[test]
fn error_bodies_follow_accept() {
    let lbd = start(NOTHING, &[]);
    for (accept, begins) in [
        (
            "accept: text/html,application/xhtml+xml;q=0.9\r\n",
            "text/html",
        ),
        ("accept: text/plain\r\n", "text/plain"),
        ("accept: */*\r\n", "text/plain"),
        ("", "text/plain"),
    ] {
        let response = ask_for(&lbd, "GET", "t", "/", accept);
        assert_eq!(response.status, 404);
        let kind = response.header("content-type").unwrap_or_default();
        assert!(kind.starts_with(begins), "{accept:?} gives {kind:?}");
        assert!(response.text().contains("404"), "{:?}", response.text());
    }
}

#[test]
fn a_body_sent_to_an_answer_of_lbds_own_does_not_disturb_the_next_request() {
    let lbd = start(NOTHING, &[]);
    let mut wire = Wire::connect(lbd.addr());
    wire.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 44\r\n\r\n");
    wire.send("GET /smuggled HTTP/1.1\r\nhost: smuggled.t\r\n\r\n");
    let response = wire.response();
    assert_eq!(response.status, 404);
    if response.keeps_alive() {
        let next = wire.send(request("GET", "/next")).response();
        assert_eq!(next.status, 404);
    }
    let (more, _) = {
        wire.finish();
        wire.rest()
    };
    assert!(more.is_empty(), "{:?}", String::from_utf8_lossy(&more));
}
