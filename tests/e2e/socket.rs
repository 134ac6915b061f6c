//! The control socket, spoken to as any language would: lines of JSON.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use lb_proto::frame::{Line, Lines};
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::eventually::LIMIT;
use lb_tests::{Lbd, Origin, eventually, wire};
use serde_json::{Value, json};

/// A raw connection to the socket.
struct Raw {
    stream: UnixStream,
    lines: Lines,
}

impl Raw {
    /// Connects without reading the greeting.
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("the daemon listens");
        stream
            .set_read_timeout(Some(LIMIT))
            .expect("a limit is no zero");
        Self {
            stream,
            lines: Lines::default(),
        }
    }

    fn greeted(socket: &Path) -> Self {
        let mut raw = Self::connect(socket);
        assert_eq!(raw.line()["protocol"], 1);
        raw
    }

    fn send(&mut self, line: impl AsRef<[u8]>) -> &mut Self {
        self.stream
            .write_all(line.as_ref())
            .and_then(|()| self.stream.write_all(b"\n"))
            .expect("the daemon reads");
        self
    }

    /// The next line from the daemon.
    fn line(&mut self) -> Value {
        self.try_line().expect("the daemon answers")
    }

    fn try_line(&mut self) -> std::io::Result<Value> {
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(line) = self.lines.next_line() {
                let Line::Whole(line) = line else {
                    panic!("the daemon sent too long a line");
                };
                return Ok(serde_json::from_slice(&line)?);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                n => self.lines.push(&buffer[..n]),
            }
        }
    }

    fn status_works(&mut self) {
        let answer = self.send(r#"{"id":77,"call":"status"}"#).line();
        assert_eq!(
            (&answer["id"], &answer["ok"]["schema"]),
            (&json!(77), &json!(1))
        );
    }
}

fn one_server() -> ([Origin; 1], Lbd) {
    let origins = Origin::start_all(["a"]);
    let lbd = Lbd::start(app(NO_CHECK, &origins));
    (origins, lbd)
}

#[test]
fn the_daemon_greets_first_and_answers_under_the_id() {
    let (_origins, lbd) = one_server();
    let mut raw = Raw::connect(&lbd.socket());
    let greeting = raw.line();
    assert_eq!(greeting, json!({"lbd": lb_proto::VERSION, "protocol": 1}));

    let hello = raw.send(r#"{"id":1,"call":"hello"}"#).line();
    assert_eq!(
        (&hello["id"], &hello["ok"]["pid"]),
        (&json!(1), &json!(lbd.pid()))
    );
    let set = raw
        .send(r#"{"id":2,"call":"set_state","args":{"server":"app/a","admin":"drain"}}"#)
        .line();
    assert_eq!(set["id"], 2);
    assert_eq!(set["ok"]["was"], "ready");
    assert_eq!(set["ok"]["server"]["state"], "drain");
    let status = raw
        .send(r#"{"id":3,"call":"status","args":{"of":"app/a"}}"#)
        .line();
    assert_eq!(status["ok"]["backends"][0]["servers"][0]["admin"], "drain");
}

#[test]
fn calls_sent_together_are_answered_in_order() {
    let (_origins, lbd) = one_server();
    let mut raw = Raw::greeted(&lbd.socket());
    let together: Vec<String> = (1..=100)
        .map(|id| format!(r#"{{"id":{id},"call":"hello"}}"#))
        .collect();
    raw.send(together.join("\n"));
    for id in 1..=100 {
        assert_eq!(raw.line()["id"], id);
    }
}

#[test]
fn what_is_no_call_gets_an_error_and_the_connection_goes_on() {
    let (_origins, lbd) = one_server();
    let deep = "[".repeat(100_000);
    let cases: [(&[u8], &str, Value); 12] = [
        (b"hello", "bad_request", json!(null)),
        (b"\xff\xfe\x00", "bad_request", json!(null)),
        (b"[]", "bad_request", json!(null)),
        (b"null", "bad_request", json!(null)),
        (b"{}", "bad_request", json!(null)),
        (deep.as_bytes(), "bad_request", json!(null)),
        (br#"{"id":"x","call":"hello"}"#, "bad_request", json!(null)),
        (br#"{"id":5,"call":"dance"}"#, "unknown_call", json!(5)),
        (br#"{"id":6,"call":"set_state"}"#, "bad_request", json!(6)),
        (
            br#"{"id":7,"call":"set_state","args":{"server":"app/a","admin":"asleep"}}"#,
            "bad_request",
            json!(7),
        ),
        (
            br#"{"id":8,"call":"set_state","args":{"server":"app/x","admin":"drain"}}"#,
            "no_such_server",
            json!(8),
        ),
        (
            br#"{"id":9,"call":"status","args":{"of":"nope"}}"#,
            "no_such_backend",
            json!(9),
        ),
    ];
    let mut raw = Raw::greeted(&lbd.socket());
    for (line, code, id) in cases {
        let answer = raw.send(line).line();
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]);
        assert_eq!(answer["error"]["code"], code, "{shown}: {answer}");
        assert_eq!(answer["id"], id, "{shown}: {answer}");
        assert!(answer["error"]["message"].is_string(), "{shown}: {answer}");
        raw.status_works();
    }
    let unknown = raw.send(r#"{"id":5,"call":"dance"}"#).line();
    let hint = unknown["error"]["hint"].as_str().unwrap_or_default();
    assert!(
        hint.contains("set_state"),
        "the hint names no call: {unknown}"
    );
}

#[test]
fn a_line_of_two_mebibytes_gets_an_error_and_harms_nobody() {
    let (_origins, lbd) = one_server();
    let mut other = Raw::greeted(&lbd.socket());
    let mut raw = Raw::greeted(&lbd.socket());
    let answer = raw.send(vec![b'x'; 2 << 20]).line();
    assert_eq!(answer["error"]["code"], "line_too_long");
    raw.status_works();
    other.status_works();
}

#[test]
fn clients_that_leave_in_the_middle_of_anything_harm_nobody() {
    let (_origins, lbd) = one_server();
    for leaving in [
        "",
        "{\"id\":",
        "{\"id\":1,\"call\":\"status\"}\n",
        "{\"id\":1,\"call\":\"watch\"}\n",
    ] {
        for _ in 0..50 {
            let mut raw = Raw::connect(&lbd.socket());
            raw.stream.write_all(leaving.as_bytes()).expect("it reads");
        }
    }
    Raw::greeted(&lbd.socket()).status_works();
}

#[test]
fn many_clients_are_answered_and_one_too_many_is_told() {
    /// More than the daemon takes, whatever that is: each costs it a descriptor.
    const TOO_MANY: usize = 2000;
    let (_origins, lbd) = one_server();
    let mut clients: Vec<Raw> = Vec::new();
    let refused = loop {
        assert!(clients.len() < TOO_MANY, "no bound on control clients");
        let mut client = Raw::greeted(&lbd.socket());
        // One that only asks would give way.
        let answer = client.send(r#"{"id":77,"call":"watch"}"#).line();
        if answer.get("error").is_some() {
            break answer;
        }
        clients.push(client);
    };
    assert_eq!(refused["error"]["code"], "failed", "{refused}");
    assert!(clients.len() >= 100, "only {} clients", clients.len());
    for client in &mut clients {
        client.status_works();
    }
    drop(clients);
    eventually("there is room again", || lbd.try_status().map(|_| ()));
}

#[test]
fn a_watcher_that_stops_reading_holds_up_nobody() {
    const FLOOD: usize = 3000;
    let (_origins, lbd) = one_server();
    let mut deaf = Raw::greeted(&lbd.socket());
    deaf.send(r#"{"id":1,"call":"watch"}"#);
    assert_eq!(deaf.line()["ok"]["watching"], true);
    let memory = resident_kib(lbd.pid());

    let mut operator = Raw::greeted(&lbd.socket());
    for turn in 0..FLOOD {
        let admin = if turn % 2 == 0 { "drain" } else { "ready" };
        let set =
            json!({"id": turn, "call": "set_state", "args": {"server": "app/a", "admin": admin}});
        assert_eq!(operator.send(set.to_string()).line()["id"], turn);
    }
    operator.status_works();
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
    let grown = resident_kib(lbd.pid()).saturating_sub(memory);
    assert!(
        grown < 32 * 1024,
        "{grown} KiB for a client that does not read"
    );

    // What it reads in the end accounts for every change and its record, as an event or in a number
    // of missed ones, unless the daemon has hung up on it by now.
    let mut accounted = 0;
    while accounted < 2 * FLOOD as u64 {
        let Ok(event) = deaf.try_line() else {
            return;
        };
        assert_eq!(event["id"], 1);
        accounted += match event["event"]["type"].as_str() {
            Some("server" | "audit") => 1,
            Some("missed") => event["event"]["events"].as_u64().expect("a number"),
            _ => panic!("not an event of this test: {event}"),
        };
    }
    assert_eq!(accounted, 2 * FLOOD as u64);
}

#[test]
fn a_client_that_asks_and_never_reads_holds_up_nobody() {
    let (_origins, lbd) = one_server();
    let mut deaf = Raw::greeted(&lbd.socket());
    deaf.stream
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let asks = "{\"id\":1,\"call\":\"status\"}\n".repeat(1000);
    let mut sent = 0;
    // Until the daemon takes no more, because its answers are not taken either.
    while sent < 64 << 20 {
        match deaf.stream.write(asks.as_bytes()) {
            Ok(n) => sent += n,
            Err(_) if eventually_writable(&deaf.stream) => {}
            Err(_) => break,
        }
    }
    Raw::greeted(&lbd.socket()).status_works();
    assert_eq!(wire::get(lbd.addr(), "/").status, 200);
    let memory = resident_kib(lbd.pid());
    assert!(
        memory < 256 * 1024,
        "{memory} KiB after {sent} bytes of unread asking"
    );
}

/// Whether a socket that is full now takes more within a moment.
fn eventually_writable(stream: &UnixStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: 500_000_000,
    };
    let mut fds = [PollFd::new(stream, PollFlags::OUT)];
    poll(&mut fds, Some(&moment)).is_ok_and(|ready| ready > 0)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("lbd runs");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
        .expect("the kernel says it so")
}

#[test]
fn watch_streams_what_happens_in_order() {
    let (_origins, mut lbd) = one_server();
    let mut watcher = Raw::greeted(&lbd.socket());
    watcher.send(r#"{"id":9,"call":"watch"}"#);
    assert_eq!(watcher.line()["id"], 9);
    lbd.lbctl(["drain", "app/a"]).exits(0);
    lbd.lbctl(["maint", "app/a"]).exits(0);
    let second = Origin::start("b");
    lbd.rewrite(app(NO_CHECK, [&second]));
    lbd.reload().exits(0);

    let drained = watcher.line();
    assert_eq!(drained["id"], 9);
    let drained = &drained["event"];
    assert_eq!(
        (&drained["type"], &drained["server"]),
        (&json!("server"), &json!("app/a"))
    );
    assert_eq!(
        (&drained["was"], &drained["state"]),
        (&json!("up"), &json!("drain"))
    );
    // Who asked for it, and what came of that.
    let record = watcher.line();
    assert_eq!(
        (&record["event"]["type"], &record["event"]["outcome"]),
        (&json!("audit"), &json!("done"))
    );
    let maint = watcher.line();
    assert_eq!(
        (&maint["event"]["was"], &maint["event"]["state"]),
        (&json!("drain"), &json!("maint"))
    );
    let config = eventually("the reload is told of", || {
        let line = watcher.line();
        match line["event"]["type"].as_str() {
            Some("config") => Ok(line),
            _ => Err(line.to_string()),
        }
    });
    assert_eq!(config["event"]["generation"], 2);
}
