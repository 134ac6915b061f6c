//! Requests without TLS are sent to where there is TLS, but for the routes that come before that.

use std::net::SocketAddr;

use lb_tests::tls::Client;
use lb_tests::wire::{get, request};
use lb_tests::{Authority, Origin, Wire};

use crate::tls::{config, start};

#[test]
fn requests_without_tls_are_sent_to_where_there_is_tls() {
    let authority = Authority::new();
    let origin = Origin::start("a");
    let issued = authority.issue(&["a.test"]);
    let text = config("", origin.addr())
        .replace("bind = [", "bind = [\"127.0.0.1:0\", ")
        .replace(
            "\n\n[backend.app]",
            "\nhttps_redirect = true\ntrusted_proxies = [\"127.0.0.2/32\"]\n\
             [[frontend.web.routes]]\npath = \"/.well-known/acme-challenge/\"\nplain = true\n\
             backend = \"app\"\n\
             [[frontend.web.routes]]\npath = \"/blocked\"\nrespond = { status = 403 }\n\n\
             [backend.app]",
        );
    let lbd = start(&text, &[("a.pem", &issued)]);
    let binds = lbd.status().frontends[0].binds.clone();
    let [plain, secure]: [SocketAddr; 2] = [0, 1].map(|n| binds[n].parse().expect("an address"));
    let asked = |target: &str| get(plain, target);
    for target in ["/", "/a?b=c", "/blocked"] {
        let response = asked(target);
        assert_eq!(response.status, 308);
        let to = format!("https://test:{}{target}", secure.port());
        assert_eq!(response.header("location"), Some(to.as_str()));
    }
    let mut nameless = Wire::connect(plain);
    nameless.send("GET /x HTTP/1.1\r\nhost:\r\n\r\n");
    let to = format!("https://127.0.0.1:{}/x", secure.port());
    assert_eq!(nameless.response().header("location"), Some(to.as_str()));
    let challenge = asked("/.well-known/acme-challenge/x");
    assert_eq!((challenge.status, challenge.origin()), (200, Some("a")));
    let secure = Client::new(&authority, "a.test").before(secure);
    assert_eq!(get(secure, "/").status, 200);
    assert_eq!(get(secure, "/blocked").status, 403);

    let mut wire = Wire::connect(plain);
    wire.send("GET / HTTP/1.1\r\nhost: t\r\nx-forwarded-proto: https\r\n\r\n");
    assert_eq!(wire.response().status, 308, "anybody may say that");

    let text = text
        .replace("127.0.0.2", "127.0.0.1")
        .replace("= true\ntr", "= 301\ntr");
    let lbd = start(&text, &[("a.pem", &issued)]);
    let plain = lbd.status().frontends[0].binds[0]
        .parse()
        .expect("an address");
    let mut wire = Wire::connect(plain);
    wire.send("GET / HTTP/1.1\r\nhost: t\r\nx-forwarded-proto: https\r\n\r\n");
    assert_eq!(wire.response().status, 200);
    assert_eq!(wire.send(request("GET", "/")).response().status, 301);
}
