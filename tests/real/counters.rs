//! A hundred thousand requests whose clients go away in every way: what `/metrics` counts is what the access log
//! tells, to the request and to the byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use lb_tests::access_log::{Line, lines};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::eventually::within;
use lb_tests::metrics::{metrics, sum};
use lb_tests::port::Port;
use lb_tests::wire::request;
use lb_tests::{Http2, Lbd, Origin, Setup, Wire, is};

const CLIENTS: u64 = 8;
const REQUESTS: u64 = 100_000;

/// A machine ten times slower is to have the time.
const LIMIT: Duration = Duration::from_secs(300);

/// What one client of HTTP/1 does next; true: its connection can be used again.
fn once(wire: &mut Option<Wire>, web: SocketAddr, dice: &mut fastrand::Rng, whole: &AtomicU64) {
    let mut on = match wire.take() {
        Some(kept) => kept,
        None => Wire::connect(web),
    };
    let mut whole_answer = |mut on: Wire, target: &str| {
        on.send(request("GET", target));
        if on.try_response("GET").is_ok_and(|r| r.keeps_alive()) {
            *wire = Some(on);
            if target == "/whole" {
                whole.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    match dice.u8(..100) {
        0..50 => whole_answer(on, "/whole"),
        50..60 => whole_answer(on, "/bytes?n=20000"),
        60..64 => whole_answer(on, "/status?code=404"),
        64..68 => whole_answer(on, "/status?code=503"),
        68..72 => whole_answer(on, "/forbidden"),
        72..75 => whole_answer(on, "/nowhere"),
        75..78 => whole_answer(on, "/dead"),
        // In the middle of the head, by reset or by close.
        78..81 => {
            on.send("GET / HTTP/1.1\r\nhost:");
            if dice.bool() {
                on.abort();
            }
        }
        // In the middle of the body.
        81..84 => {
            on.send("POST /echo HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\nbegun");
            if dice.bool() {
                on.abort();
            }
        }
        // Before the response, or when it begins.
        84..88 => {
            on.send(request("GET", "/slow?ms=3"));
            if dice.bool() {
                on.abort();
            }
        }
        // In the middle of the response.
        88..92 => {
            on.send(request("GET", "/bytes?n=3000000"));
            let _ = on.bytes(dice.usize(1..100_000));
            if dice.bool() {
                on.abort();
            }
        }
        // It says that it sends no more, and waits.
        92..94 => {
            on.send(request("GET", "/whole-closed"));
            on.finish();
            let _ = on.try_response("GET");
        }
        94..96 => {
            let _ = on.send("nonsense\r\n\r\n").try_response("GET");
        }
        96..98 => {
            let body = "POST /echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n";
            let _ = on.send(body).try_response("POST");
        }
        // Two at once, of which it takes one.
        _ => {
            on.send([request("GET", "/"), request("GET", "/bytes?n=500000")].concat());
            let _ = on.try_response("GET");
            on.abort();
        }
    }
}

/// A connection of HTTP/2 with some streams, of which some are given up, and which may be given up itself.
fn once_by_http2(addr: SocketAddr, dice: &mut fastrand::Rng) {
    let mut http2 = Http2::connect(addr);
    let streams: Vec<_> = (0..8)
        .map(|_| {
            let target = [
                "/",
                "/bytes?n=5000",
                "/status?code=404",
                "/forbidden",
                "/slow?ms=3",
            ];
            http2.ask(hyper::Method::GET, target[dice.usize(..5)])
        })
        .collect();
    let leaves = dice.u8(..4) == 0;
    for mut stream in streams {
        match dice.u8(..4) {
            _ if leaves => {}
            0 => stream.reset(),
            1 => {
                let _ = stream.head();
                stream.reset();
            }
            _ => drop(stream.response()),
        }
    }
}

fn count<K: Ord>(written: &[Line], key: impl Fn(&Line) -> Option<K>) -> BTreeMap<K, f64> {
    let mut counts = BTreeMap::new();
    for key in written.iter().filter_map(key) {
        *counts.entry(key).or_default() += 1.0;
    }
    counts
}

fn class(line: &Line) -> String {
    match line.status {
        -1 => "none".to_owned(),
        status => format!("{}xx", status / 100),
    }
}

/// How often the log says that it was tried again.
fn retries(line: &Line) -> f64 {
    let last = line.counts.rsplit('/').next().unwrap_or_default();
    last.trim_start_matches('+')
        .parse()
        .expect("it is a number")
}

#[track_caller]
fn agree(lbd: &Lbd, path: &Path) -> Result<(), String> {
    let written: Vec<Line> = lines(path).iter().map(|line| Line::parse(line)).collect();
    let metrics = metrics(lbd.admin());
    let says = |what: &str, family: &str, labels: &str, logged: f64| {
        let counted = sum(&metrics, family, labels);
        is(counted, logged).map_err(|e| format!("{what} {labels}: {e} as logged"))
    };
    for frontend in ["web", "h2"] {
        let of_it: Vec<Line> = written
            .iter()
            .filter(|l| l.frontend == frontend)
            .cloned()
            .collect();
        let label = format!("frontend=\"{frontend}\"");
        says(
            "requests",
            "lbd_frontend_requests_total",
            &label,
            of_it.len() as f64,
        )?;
        let classes = count(&of_it, |line| Some(class(line)));
        for code in ["none", "1xx", "2xx", "3xx", "4xx", "5xx"] {
            let logged = classes.get(code).copied().unwrap_or_default();
            let label = format!("{label},code=\"{code}\"");
            says("responses", "lbd_frontend_responses_total", &label, logged)?;
        }
        let answered = of_it.iter().filter(|line| line.timers[3] >= 0).count();
        let times = "lbd_frontend_response_seconds_count";
        says("times", times, &label, answered as f64)?;
        let of_lbd = |line: &&Line| line.server.ends_with("<NOSRV>") || line.timers[3] < 0;
        let errors = of_it.iter().filter(of_lbd);
        let errors = errors.filter(|l| l.status >= 400 && !l.flags.starts_with("LR"));
        says(
            "errors",
            "lbd_frontend_errors_total",
            &label,
            errors.count() as f64,
        )?;
    }
    let bytes: u64 = written
        .iter()
        .filter(|l| l.frontend == "web")
        .map(|l| l.bytes)
        .sum();
    says(
        "bytes",
        "lbd_frontend_bytes_out_total",
        "frontend=\"web\"",
        bytes as f64,
    )?;
    for (backend, server) in [("app", "a"), ("app", "b"), ("dead", "d")] {
        let name = format!("{backend}/{server}");
        let label = format!("backend=\"{backend}\",server=\"{server}\"");
        let answered = written
            .iter()
            .filter(|l| l.server == name && l.timers[3] >= 0);
        says(
            "answers",
            "lbd_server_requests_total",
            &label,
            answered.count() as f64,
        )?;
    }
    let sessions: f64 = written
        .iter()
        .filter(|line| !line.server.ends_with("<NOSRV>"))
        .map(|line| 1.0 + retries(line))
        .sum();
    says(
        "sessions",
        "lbd_server_sessions_started_total",
        "",
        sessions,
    )?;
    says(
        "retries",
        "lbd_server_retries_total",
        "",
        written.iter().map(retries).sum(),
    )?;
    is(metrics["lbd_access_log_lost_lines_total"], 0.0)
}

#[test]
#[ignore = "takes a minute"]
fn after_a_hundred_thousand_requests_with_aborts_the_counters_are_those_of_the_log() {
    let origins = Origin::start_all(["a", "b"]);
    let dead = Port::new();
    let routes = |frontend: &str| {
        let route = |path: &str, then: &str| {
            format!("[[frontend.{frontend}.routes]]\npath = \"{path}\"\n{then}\n")
        };
        let app = ["/whole", "/bytes", "/status", "/echo", "/slow"]
            .map(|path| route(path, "backend = \"app\""))
            .concat();
        route("/forbidden", "respond = { status = 403 }")
            + &route("/dead", "backend = \"dead\"")
            + &app
            + &format!("[[frontend.{frontend}.routes]]\npath_exact = \"/\"\nbackend = \"app\"\n")
    };
    let config = app(NO_CHECK, &origins).replace("default_backend = \"app\"\n", "")
        + &routes("web")
        + "[frontend.h2]\nbind = [{ address = \"127.0.0.1:0\", h2c = true }]\n"
        + &routes("h2")
        + &format!(
            "[backend.dead]\nhealth = false\nretries = 1\ntimeouts = {{ connect = \"1ms\" }}\n\
             servers = [{{ name = \"d\", address = \"{}\" }}]\n[admin]\nbind = \"127.0.0.1:0\"\n",
            dead.addr()
        );
    let setup = Setup::new(config);
    let path = setup.folder().join("access.log");
    let global = format!("threads = 2\naccess_log = {{ path = {path:?} }}");
    let lbd = setup.global(&global).start();
    let (web, h2) = (lbd.addr(), lbd.addr_of("h2"));
    let whole = AtomicU64::new(0);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let whole = &whole;
            scope.spawn(move || {
                let mut dice = fastrand::Rng::with_seed(client);
                let mut wire = None;
                for n in 0..REQUESTS / CLIENTS {
                    once(&mut wire, web, &mut dice, whole);
                    if n % 25 == 0 {
                        once_by_http2(h2, &mut dice);
                    }
                }
            });
        }
    });
    within(LIMIT, "nothing is left of it", || {
        let status = lbd.status();
        let open: u64 = status
            .frontends
            .iter()
            .map(|f| f.sessions + f.connections)
            .sum();
        is(open, 0)
    });
    within(LIMIT, "the counters are those of the log", || {
        agree(&lbd, &path)
    });
    // What clients took to the last byte is told as such.
    let written: Vec<Line> = lines(&path).iter().map(|line| Line::parse(line)).collect();
    assert!(
        written.len() as u64 >= REQUESTS * 9 / 10,
        "{}",
        written.len()
    );
    let taken = |line: &&Line| line.request.starts_with("GET /whole ") && line.flags == "----";
    let taken = written.iter().filter(taken).count() as u64;
    assert_eq!(taken, whole.load(Ordering::Relaxed));
}
