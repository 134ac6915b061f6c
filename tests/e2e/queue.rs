//! Servers with `max_connections`, and the requests that wait for one.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

use lb_tests::daemon::{NO_CHECK, app_at};
use lb_tests::eventually::LIMIT;
use lb_tests::wire::{get, request, upload};
use lb_tests::{Lbd, Load, Origin, RawOrigin, Setup, Wire, eventually, is};

/// The backend `app` with `lines`; each server may have so many sessions at once.
pub(crate) fn limited<'o>(
    lines: &str,
    servers: impl IntoIterator<Item = (&'o Origin, u32)>,
) -> String {
    let servers: String = servers
        .into_iter()
        .map(|(origin, most)| {
            let (name, address) = (origin.name(), origin.addr());
            format!(
                "  {{ name = \"{name}\", address = \"{address}\", max_connections = {most} }},\n"
            )
        })
        .collect();
    format!(
        "[frontend.web]\nbind = [\"127.0.0.1:0\"]\ndefault_backend = \"app\"\n\
         [backend.app]\nhealth = false\n{lines}\nservers = [\n{servers}]\n"
    )
}

pub(crate) fn ask(lbd: &Lbd, target: &str) -> Wire {
    let mut wire = Wire::connect(lbd.addr());
    wire.send(request("GET", target));
    wire
}

#[track_caller]
pub(crate) fn wait_for_queued(lbd: &Lbd, wanted: u64) {
    eventually(&format!("{wanted} wait"), || {
        is(lbd.status().backends[0].queued, wanted)
    });
}

#[track_caller]
pub(crate) fn wait_for_in_flight(origin: &Origin, wanted: u64) {
    eventually(&format!("{wanted} in flight"), || {
        is(origin.in_flight(), wanted)
    });
}

#[track_caller]
fn assert_nothing_left(lbd: &Lbd) {
    eventually("nothing is left of it", || {
        let backend = &lbd.status().backends[0];
        let sessions: u64 = backend.servers.iter().map(|s| s.sessions).sum();
        is((backend.queued, sessions), (0, 0))
    });
}

#[test]
fn a_server_never_has_more_sessions_than_it_may_and_all_are_served() {
    let origins = Origin::start_all(["a", "b"]);
    let lines = "queue = { max = 100 }\ntimeouts = { queue = \"1m\" }";
    for balance in ["roundrobin", "leastconn", "random", "uri"] {
        let config = limited(
            &format!("balance = \"{balance}\"\n{lines}"),
            [(&origins[0], 1), (&origins[1], 2)],
        );
        let lbd = Setup::new(config).global("threads = 4").start();
        let load = Load::on(lbd.addr()).clients(20).start();
        load.go_on_for(1000);
        load.stop().assert_clean();
        for (server, most) in [("app/a", 1), ("app/b", 2)] {
            let seen = lbd.server(server).sessions_max;
            assert!(seen <= most, "{balance}: {server} had {seen}");
        }
        assert_nothing_left(&lbd);
    }
}

/// An origin that tells each target as it comes and answers `/held` only when told to.
struct Recorder {
    origin: RawOrigin,
    seen: Receiver<String>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Recorder {
    fn start() -> Self {
        let (tell, seen): (Sender<String>, _) = channel();
        let tell = Mutex::new(tell);
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let of_script = Arc::clone(&gate);
        let origin = RawOrigin::start(move |peer| {
            loop {
                let head = peer.head();
                let Some(target) = head.split(' ').nth(1) else {
                    return;
                };
                let _ = tell.lock().expect("one at a time").send(target.to_owned());
                if target == "/held" {
                    let (open, opened) = &*of_script;
                    let shut = open.lock().expect("one at a time");
                    drop(opened.wait_timeout_while(shut, LIMIT, |open| !*open));
                }
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        });
        Self { origin, seen, gate }
    }

    fn open(&self) {
        *self.gate.0.lock().expect("one at a time") = true;
        self.gate.1.notify_all();
    }

    fn next(&self) -> String {
        self.seen.recv_timeout(LIMIT).expect("a request comes")
    }
}

#[test]
fn who_came_first_is_served_first_across_threads() {
    let recorder = Recorder::start();
    let config = app_at(NO_CHECK, [("a", recorder.origin.addr())])
        .replace(" },\n", ", max_connections = 1 },\n")
        .replace("health", "timeouts = { queue = \"1m\" }\nhealth");
    let lbd = Setup::new(config).global("threads = 4").start();
    let mut wires = vec![ask(&lbd, "/held")];
    assert_eq!(recorder.next(), "/held");
    for n in 1..=20 {
        wires.push(ask(&lbd, &format!("/{n}")));
        wait_for_queued(&lbd, n);
    }
    recorder.open();
    for n in 1..=20 {
        assert_eq!(recorder.next(), format!("/{n}"));
    }
    for wire in &mut wires {
        assert_eq!(wire.response().status, 200);
    }
    assert_nothing_left(&lbd);
}

#[test]
fn beyond_queue_max_the_answer_is_503_at_once() {
    let origin = Origin::start("a");
    let lines = "queue = { max = 2 }\ntimeouts = { queue = \"1m\" }";
    let lbd = Lbd::start(limited(lines, [(&origin, 1)]));
    origin.hold("/held");
    let mut held = ask(&lbd, "/held");
    wait_for_in_flight(&origin, 1);
    let mut waiting = [ask(&lbd, "/"), ask(&lbd, "/")];
    wait_for_queued(&lbd, 2);
    let refused = get(lbd.addr(), "/refused");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(origin.requests_of("GET", "/refused"), 0);
    origin.release();
    for wire in waiting.iter_mut().chain([&mut held]) {
        assert_eq!(wire.response().status, 200);
    }
    assert_nothing_left(&lbd);
}

#[test]
fn without_a_queue_a_full_server_is_503_at_once() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(limited("queue = { max = 0 }", [(&origin, 1)]));
    origin.hold("/held");
    let mut held = ask(&lbd, "/held");
    wait_for_in_flight(&origin, 1);
    assert_eq!(get(lbd.addr(), "/").status, 503);
    origin.release();
    assert_eq!(held.response().status, 200);
}

#[test]
fn who_waits_too_long_gets_503_and_the_connection_goes_on() {
    let origin = Origin::start("a");
    let lbd = Lbd::start(limited("timeouts = { queue = \"200ms\" }", [(&origin, 1)]));
    origin.hold("/held");
    let mut held = ask(&lbd, "/held");
    wait_for_in_flight(&origin, 1);
    let mut waiting = ask(&lbd, "/late");
    let late = waiting.response();
    assert_eq!(late.status, 503);
    assert!(
        late.header("retry-after").is_some() && late.keeps_alive(),
        "{late:?}"
    );
    wait_for_queued(&lbd, 0);
    origin.release();
    assert_eq!(held.response().status, 200);
    assert_eq!(waiting.send(request("GET", "/")).response().status, 200);
    assert_eq!(origin.requests_of("GET", "/late"), 0);
    assert_nothing_left(&lbd);
}

#[test]
fn a_client_that_leaves_the_queue_frees_its_place_at_once() {
    let origin = Origin::start("a");
    let lines = "timeouts = { queue = \"1m\" }";
    let lbd = Lbd::start(limited(lines, [(&origin, 1)]));
    origin.hold("/held");
    let mut held = ask(&lbd, "/held");
    wait_for_in_flight(&origin, 1);
    let mut leaving: Vec<_> = (0..50).map(|_| ask(&lbd, "/gone")).collect();
    // What they sent beside the head is not read yet when they leave.
    let whole = upload("POST", "/gone", &[b'x'; 300_000]);
    let twice = request("GET", "/gone").repeat(2);
    for sent in [&whole[..100], &whole[..100_000], &whole, twice.as_bytes()] {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(sent);
        leaving.push(wire);
    }
    wait_for_queued(&lbd, 54);
    let mut stays = ask(&lbd, "/stays");
    wait_for_queued(&lbd, 55);
    leaving.into_iter().for_each(Wire::abort);
    wait_for_queued(&lbd, 1);
    origin.release();
    assert_eq!(held.response().status, 200);
    assert_eq!(stays.response().status, 200);
    assert_eq!(origin.requests_of("GET", "/gone"), 0);
    assert_eq!(origin.requests_of("POST", "/gone"), 0);
    assert_nothing_left(&lbd);
}

#[test]
fn a_server_that_gets_ready_and_a_limit_that_is_raised_let_waiters_in() {
    let origins = Origin::start_all(["a", "b"]);
    let [a, b] = &origins;
    let lines = "timeouts = { queue = \"1m\" }";
    let mut lbd = Lbd::start(limited(lines, [(a, 1), (b, 1)]));
    assert_eq!(lbd.lbctl(["maint", "app/b"]).code, Some(0));
    a.hold("/held");
    b.hold("/held");
    let mut held: Vec<_> = (0..4).map(|_| ask(&lbd, "/held")).collect();
    wait_for_queued(&lbd, 3);
    assert_eq!(lbd.lbctl(["ready", "app/b"]).code, Some(0));
    wait_for_in_flight(b, 1);
    wait_for_queued(&lbd, 2);
    lbd.rewrite(limited(lines, [(a, 2), (b, 1)]));
    assert_eq!(lbd.reload().code, Some(0));
    wait_for_in_flight(a, 2);
    wait_for_queued(&lbd, 1);
    // A server that the reload brings is for those who come after it.
    let new = Origin::start("new");
    lbd.rewrite(limited(lines, [(a, 2), (b, 1), (&new, 1)]));
    assert_eq!(lbd.reload().code, Some(0));
    assert_eq!(get(lbd.addr(), "/").origin(), Some("new"));
    wait_for_queued(&lbd, 1);
    origins.iter().for_each(Origin::release);
    for wire in &mut held {
        assert_eq!(wire.response().status, 200);
    }
    assert_nothing_left(&lbd);
}

#[test]
fn a_key_waits_for_its_own_server_until_that_is_gone() {
    let origins = Origin::start_all(["a", "b"]);
    let lines = "balance = \"uri\"\ntimeouts = { queue = \"1m\" }";
    let lbd = Lbd::start(limited(lines, origins.iter().map(|origin| (origin, 1))));
    let owner = get(lbd.addr(), "/held")
        .origin()
        .expect("answered")
        .to_owned();
    let (owner, other) = match owner.as_str() {
        "a" => (&origins[0], &origins[1]),
        _ => (&origins[1], &origins[0]),
    };
    owner.hold("/held");
    let mut held = ask(&lbd, "/held");
    wait_for_in_flight(owner, 1);
    let mut waiting = ask(&lbd, "/held");
    wait_for_queued(&lbd, 1);
    assert_eq!(other.requests(), 0, "it has room");
    assert_eq!(
        lbd.lbctl(["drain", "--no-wait", &format!("app/{}", owner.name())])
            .code,
        Some(0)
    );
    assert_eq!(waiting.response().origin(), Some(other.name()));
    owner.release();
    assert_eq!(held.response().status, 200);
    assert_nothing_left(&lbd);
}

#[test]
fn a_retry_waits_for_a_full_server_rather_than_ask_the_dead_one_again() {
    let mut origins = Origin::start_all(["dead", "full"]);
    origins[0].kill();
    let lines = "timeouts = { queue = \"1m\" }";
    let lbd = Lbd::start(limited(lines, [(&origins[0], 9), (&origins[1], 1)]));
    origins[1].hold("/held");
    let mut held = ask(&lbd, "/held");
    wait_for_in_flight(&origins[1], 1);
    let mut waiting = ask(&lbd, "/");
    wait_for_queued(&lbd, 1);
    origins[1].release();
    assert_eq!(waiting.response().origin(), Some("full"));
    assert_eq!(held.response().status, 200);
    assert_nothing_left(&lbd);
}

#[test]
fn a_client_with_a_cookie_waits_for_its_server_though_others_have_room() {
    let origins = Origin::start_all(["a", "b"]);
    let lines = "sticky = { cookie = \"SRV\" }\ntimeouts = { queue = \"1m\" }";
    let lbd = Lbd::start(limited(lines, origins.iter().map(|origin| (origin, 1))));
    origins[0].hold("/held");
    let tied = "GET /held HTTP/1.1\r\nhost: t\r\ncookie: SRV=a\r\n\r\n";
    let mut wires = [(); 2].map(|()| {
        let mut wire = Wire::connect(lbd.addr());
        wire.send(tied);
        wire
    });
    wait_for_in_flight(&origins[0], 1);
    wait_for_queued(&lbd, 1);
    for _ in 0..5 {
        assert_eq!(get(lbd.addr(), "/").origin(), Some("b"));
    }
    origins[0].release();
    for wire in &mut wires {
        assert_eq!(wire.response().origin(), Some("a"));
    }
    assert_nothing_left(&lbd);
}

#[test]
fn a_stop_serves_those_who_wait() {
    let origin = Origin::start("a");
    let lines = "timeouts = { queue = \"1m\" }";
    let mut lbd = Lbd::start(limited(lines, [(&origin, 1)]));
    origin.hold("/held");
    let mut wires = [ask(&lbd, "/held"), ask(&lbd, "/held")];
    wait_for_queued(&lbd, 1);
    lbd.signal(rustix::process::Signal::TERM);
    eventually("it has stopped listening", || {
        match Wire::try_connect(lbd.addr()) {
            Ok(_) => Err("it takes connections"),
            Err(_) => Ok(()),
        }
    });
    origin.release();
    for wire in &mut wires {
        assert_eq!(wire.response().status, 200);
    }
    assert_eq!(lbd.stop(), Some(0));
}
