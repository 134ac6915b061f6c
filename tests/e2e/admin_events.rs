//! Server-sent events of `[admin]`: what happens reaches who listens, and nobody who does holds up anybody.

use std::net::SocketAddr;

use lb_proto::event::Event;
use lb_proto::state::State;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::{Lbd, Origin, Wire, eventually, is};
use serde_json::Value;

use crate::admin_http::get;
use crate::admin_users::{login, user, with_users};

const ADMIN: &str = "[admin]\nbind = \"127.0.0.1:0\"\n";

/// Streams that may be read at once.
const MOST: usize = 32;

fn start(origin: &Origin) -> Lbd {
    Lbd::start(format!("{ADMIN}{}", app(NO_CHECK, [origin])))
}

/// A stream that has begun.
struct Stream {
    wire: Wire,
    pending: String,
}

impl Stream {
    #[track_caller]
    fn open(admin: SocketAddr, target: &str) -> Self {
        Self::open_as(admin, target, "")
    }

    /// With more headers.
    #[track_caller]
    fn open_as(admin: SocketAddr, target: &str, headers: &str) -> Self {
        let mut wire = Wire::connect(admin);
        wire.send(format!(
            "GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"
        ));
        let head = wire.head().expect("a head");
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let pending = String::new();
        Self { wire, pending }
    }

    /// The next message that has data: its event and that. `None`: the stream has ended.
    fn message(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((message, rest)) = self.pending.split_once("\n\n") {
                let (mut event, mut data) = (String::new(), None);
                for line in message.lines() {
                    if let Some(name) = line.strip_prefix("event: ") {
                        event = name.to_owned();
                    }
                    if let Some(json) = line.strip_prefix("data: ") {
                        data = Some(serde_json::from_str(json).expect("it is JSON"));
                    }
                }
                self.pending = rest.to_owned();
                if let Some(data) = data {
                    return Some((event, data));
                }
            }
            let chunk = self.wire.chunk().ok().filter(|chunk| !chunk.is_empty())?;
            self.pending.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// What a cell of a row becomes, when it does.
    #[track_caller]
    fn until(&mut self, row: &str, cell: &str, text: &str) {
        loop {
            let (_, update) = self.message().expect("the stream goes on");
            if update["rows"][row][cell] == text {
                return;
            }
        }
    }
}

#[test]
fn what_happens_is_an_event() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let mut events = Stream::open(lbd.admin(), "/api/v1/events");
    lbd.lbctl(["drain", "app/a"]).exits(0);
    let event = loop {
        let (name, data) = events.message().expect("the stream goes on");
        if name == "server" {
            break serde_json::from_value::<Event>(data).expect("an event");
        }
    };
    let Event::Server { server, state, .. } = event else {
        panic!("another event: {event:?}");
    };
    assert_eq!(
        (server.to_string().as_str(), state),
        ("app/a", State::Drain)
    );
}

#[test]
fn a_page_is_told_what_of_it_has_changed() {
    let origin = Origin::start("a");
    let mut lbd = start(&origin);
    let admin = lbd.admin();
    let page = get(admin, "/").text();
    let mut live = Stream::open(admin, "/live");
    let (_, first) = live.message().expect("all of it");
    let layout = first["layout"].as_str().expect("a layout");
    assert!(
        page.contains(&format!("data-layout=\"{layout}\"")),
        "{page}"
    );
    // Whatever it says has a place on the page.
    for (row, cells) in first["rows"].as_object().expect("rows") {
        assert!(page.contains(&format!("data-row=\"{row}\"")), "{row}");
        for cell in cells.as_object().expect("cells").keys() {
            let places = [
                format!("data-c=\"{cell}\""),
                format!(":{cell}\""),
                format!(":{cell} "),
            ];
            let unseen = ["at", "name"].contains(&cell.as_str());
            assert!(
                unseen || places.iter().any(|place| page.contains(place)),
                "{row} {cell}"
            );
        }
    }
    lbd.lbctl(["drain", "app/a"]).exits(0);
    let update = loop {
        let (_, update) = live.message().expect("the stream goes on");
        if !update["rows"]["app/a"].is_null() {
            break update;
        }
    };
    assert_eq!(update["rows"]["app/a"]["word"], "drain");
    assert!(
        update["rows"]["app/a"]["name"].is_null(),
        "it was told before: {update}"
    );

    // A server more: the page has no row for it, and is loaded again.
    let other = Origin::start("b");
    lbd.rewrite(format!("{ADMIN}{}", app(NO_CHECK, [&origin, &other])));
    lbd.reload().exits(0);
    let changed = loop {
        let (_, update) = live.message().expect("the stream goes on");
        if update["layout"] != layout {
            break update;
        }
    };
    assert_eq!(changed["rows"]["app/b"]["word"], "up");
}

#[test]
fn who_reads_late_is_told_how_it_is_and_not_all_that_was() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let mut late = Stream::open(lbd.admin(), "/live");
    let mut early = Stream::open(lbd.admin(), "/live");
    for weight in 2..40 {
        lbd.lbctl(["weight", "app/a", &weight.to_string()]).exits(0);
    }
    early.until("app/a", "weight", "39");
    late.until("app/a", "weight", "39");
}

#[test]
fn streams_are_bounded_and_lock_nobody_out() {
    let origin = Origin::start("a");
    let lbd = start(&origin);
    let admin = lbd.admin();
    let mut streams: Vec<Stream> = (0..MOST)
        .map(|n| {
            Stream::open(
                admin,
                if n % 2 == 0 {
                    "/live"
                } else {
                    "/api/v1/events"
                },
            )
        })
        .collect();
    let refused = get(admin, "/live");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!(get(admin, "/healthz").status, 200);
    assert_eq!(get(admin, "/metrics").status, 200);
    drop(streams.pop());
    eventually("a place is free again", || {
        let mut wire = Wire::connect(admin);
        wire.send("GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n");
        is(wire.head().map(|head| head.status).unwrap_or(0), 200)
    });
}

#[test]
fn streams_end_with_what_they_tell_of() {
    let origin = Origin::start("a");
    let mut lbd = start(&origin);
    let mut streams = ["/live", "/api/v1/events"].map(|target| Stream::open(lbd.admin(), target));
    lbd.rewrite(app(NO_CHECK, [&origin]));
    lbd.reload().exits(0);
    for stream in &mut streams {
        while stream.message().is_some() {}
    }

    lbd.rewrite(format!("{ADMIN}{}", app(NO_CHECK, [&origin])));
    lbd.reload().exits(0);
    let mut streams = ["/live", "/api/v1/events"].map(|target| Stream::open(lbd.admin(), target));
    assert_eq!(lbd.stop(), Some(0), "it waits for who listens");
    for stream in &mut streams {
        while stream.message().is_some() {}
    }
}

#[test]
fn who_may_log_in_no_more_is_told_no_more() {
    let origin = Origin::start("a");
    let [ops, eve] = ["ops", "eve"].map(|name| user(name, "secret", "viewer"));
    let mut lbd = Lbd::start(with_users(&[ops.clone(), eve], &origin));
    let headers = login("eve", "secret");
    let mut streams = ["/live", "/api/v1/events"].map(|target| {
        let mut stream = Stream::open_as(lbd.admin(), target, &headers);
        if target == "/live" {
            stream.message().expect("all of it");
        }
        stream
    });
    lbd.rewrite(with_users(&[ops], &origin));
    lbd.reload().exits(0);
    for stream in &mut streams {
        while stream.message().is_some() {}
    }
}
