//! `[admin]`: what is served there, by which names, and that nobody holds it up.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use lb_proto::status::Status;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::port::Port;
use lb_tests::programs::workspace;
use lb_tests::wire::{End, Response, request};
use lb_tests::{Lbd, Origin, Process, Wire, eventually, held, is, wire};
use rustix::process::Signal;

/// [`app`] with an `[admin]` that has `lines`.
fn with_admin(bind: &str, lines: &str, origin: &Origin) -> String {
    let app = app(NO_CHECK, [origin]);
    format!("[admin]\nbind = \"{bind}\"\n{lines}\n{app}")
}

fn start(origin: &Origin) -> Lbd {
    Lbd::start(with_admin("127.0.0.1:0", "", origin))
}

fn ask(addr: SocketAddr, target: &str, host: &str) -> Response {
    wire::ask(addr, format!("GET {target} HTTP/1.1\r\n{host}\r\n"))
}

pub(crate) fn get(addr: SocketAddr, target: &str) -> Response {
    ask(addr, target, "host: localhost\r\n")
}

#[test]
fn it_tells_health_and_status_and_nothing_else() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);

    let mut wire = Wire::connect(admin);
    wire.send(request("GET", "/healthz"));
    let health = wire.response();
    assert_eq!((health.status, health.text()), (200, "ok\n".into()));
    wire.send(request("HEAD", "/healthz"));
    let head = wire.response_to_head();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("3"))
    );
    // The same connection goes on, and nothing stands between the two.
    wire.send("GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let status = wire.response();
    assert_eq!(status.header("content-type"), Some("application/json"));
    let served: Status = serde_json::from_slice(&status.body).expect("a status");
    let asked = lbd.status();
    assert_eq!(served.frontends[0].requests_total, 1);
    assert_eq!(served.frontends[0].binds, asked.frontends[0].binds);
    assert_eq!(served.backends[0].servers[0].sessions_total, 1);
    assert_eq!(served.daemon.admin, asked.daemon.admin);

    assert_eq!(get(admin, "/nowhere").status, 404);
    let posted = wire::ask(
        admin,
        "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!(
        (posted.status, posted.header("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[test]
fn it_is_asked_by_names_of_its_own() {
    let origin = Origin::start("a");
    let mut lbd = start(&origin);
    let admin = lbd.admin();
    let status = |host: &str| ask(admin, "/api/v1/status", &format!("host: {host}\r\n")).status;
    let bind = admin.to_string();
    for host in ["localhost:18404", "127.0.0.1:9", "[::1]:8404", &bind] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:8404",
        "lb1.example",
        "localhost.evil.example",
    ] {
        assert_eq!(status(host), 421, "{host}");
    }
    assert_eq!(ask(admin, "/nowhere", "host: evil.example\r\n").status, 421);
    assert_eq!(ask(admin, "/api/v1/status", "").status, 400);
    let two = "host: localhost\r\nhost: localhost\r\n";
    assert_eq!(ask(admin, "/api/v1/status", two).status, 400);
    let whole = "http://evil.example/api/v1/status";
    assert_eq!(get(admin, whole).status, 421, "the target's name counts");

    // Neighbours ask for health by whatever name they have, or by none.
    assert_eq!(ask(admin, "/healthz", "host: evil.example\r\n").status, 200);
    assert_eq!(
        wire::ask(admin, "GET /healthz HTTP/1.0\r\n\r\n").status,
        200
    );
    assert_eq!(
        wire::ask(admin, "GET /api/v1/status HTTP/1.0\r\n\r\n").status,
        421
    );

    lbd.rewrite(with_admin(
        "127.0.0.1:0",
        "allowed_hosts = [\"LB1.example\"]",
        &origin,
    ));
    lbd.reload().exits(0);
    assert_eq!(lbd.admin(), admin, "the reload moved it");
    assert_eq!(
        (status("lb1.example:1"), status("evil.example")),
        (200, 421)
    );
}

#[test]
fn health_is_told_until_the_process_ends() {
    let origin = Origin::start("a");
    let mut lbd = start(&origin);
    let mut held = held::one(lbd.addr(), &origin);
    let admin = lbd.admin();
    lbd.signal(Signal::TERM);
    eventually("health says that it stops", || {
        is(get(admin, "/healthz").status, 503)
    });
    assert_eq!(get(admin, "/healthz").text(), "stopping\n");
    origin.release();
    assert_eq!(held.response().status, 200);
    assert_eq!(lbd.stop(), Some(0));
}

#[test]
fn a_reload_moves_it_or_changes_nothing() {
    let (origin, one, other) = (Origin::start("a"), Port::new(), Port::new());
    let at = |port: &Port| with_admin(&port.addr().to_string(), "", &origin);
    let mut lbd = Lbd::start(at(&one));
    let mut kept = Wire::connect(one.addr());
    kept.send(request("GET", "/healthz"));
    assert_eq!(kept.response().status, 200);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    lbd.rewrite(with_admin(&address, "", &origin));
    let refused = lbd.reload();
    assert!(refused.stderr.contains(&address), "{refused:?}");
    refused.exits(1);
    assert_eq!(lbd.admin(), one.addr());
    assert_eq!(get(one.addr(), "/healthz").status, 200);

    lbd.rewrite(at(&other));
    lbd.reload().exits(0);
    assert_eq!(lbd.admin(), other.addr());
    assert_eq!(get(other.addr(), "/healthz").status, 200);
    assert_eq!(kept.rest().1, End::Eof, "an idle connection is kept");
    eventually("the old address is closed", || {
        match Wire::try_connect(one.addr()) {
            Err(_) => Ok(()),
            Ok(_) => Err("it accepts"),
        }
    });

    lbd.rewrite(app(NO_CHECK, [&origin]));
    lbd.reload().exits(0);
    assert_eq!(lbd.status().daemon.admin, None);
    eventually("nothing is served", || {
        match Wire::try_connect(other.addr()) {
            Err(_) => Ok(()),
            Ok(_) => Err("it accepts"),
        }
    });
}

#[test]
fn silent_clients_keep_nobody_out() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    // More of each than there is room for: in the middle of a head, and after an answer.
    let beginning = "GET /healthz HTTP/1.1\r\nhost: lo".to_owned();
    let silent: Vec<Wire> = [beginning, request("GET", "/healthz")]
        .iter()
        .flat_map(|sent| {
            (0..100).map(move |_| {
                let mut wire = Wire::connect(admin);
                wire.send(sent);
                wire
            })
        })
        .collect();
    assert_eq!(get(admin, "/healthz").status, 200);
    drop(silent);
}

/// Asks for health on as many connections as there may be, on each before it is silent for long, and comes again where
/// one ends; until it is dropped.
struct Crowd(Arc<AtomicBool>);

impl Crowd {
    fn at(admin: SocketAddr) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let crowd = Self(enough.clone());
        let mut here: Vec<TcpStream> = Vec::new();
        let ask = |stream: &mut TcpStream| {
            let asked = stream.write_all(request("GET", "/healthz").as_bytes());
            matches!(asked.and_then(|()| stream.read(&mut [0; 4096])), Ok(1..))
        };
        thread::spawn(move || {
            while !enough.load(Relaxed) {
                here.retain_mut(ask);
                while here.len() < 64 && !enough.load(Relaxed) {
                    here.extend(TcpStream::connect(admin));
                }
            }
        });
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn busy_clients_keep_nobody_out() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    let _crowd = Crowd::at(admin);
    eventually("nobody else finds a place", || {
        assert_eq!(get(admin, "/healthz").status, 200);
        let log = lbd.log();
        is(log.contains("as many connections as may be"), true)
    });
    for _ in 0..20 {
        assert_eq!(get(admin, "/healthz").status, 200);
        assert_eq!(get(admin, "/metrics").status, 200);
    }
    let alive = workspace().join("lbd/dist/lbd-alive");
    eventually("keepalived's check is content", || {
        let mut check = Command::new("bash");
        let port = admin.port().to_string();
        check.arg(&alive).args(["127.0.0.1", &port]);
        is(Process::run(check).code, Some(0))
    });
}

#[test]
fn heads_that_are_no_good_are_refused() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    let long = "a".repeat(20_000);
    assert_eq!(get(admin, &format!("/{}", &long[..3000])).status, 414);
    assert_eq!(
        ask(admin, "/healthz", &format!("host: a\r\nx: {long}\r\n")).status,
        431
    );
    assert_eq!(
        wire::ask(admin, "GET / HTTP/1.1\r\nno header\r\n\r\n").status,
        400
    );
    assert_eq!(get(admin, "/healthz").status, 200);
}
