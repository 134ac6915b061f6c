use std::net::Ipv6Addr;

use jiff::tz::TimeZone;
use lb_proto::config::LogPath;
use serde_json::Value;

use super::*;
use crate::access_log::{Cause, Phase};

/// 2026-11-23T10:11:12.042Z
const BEGAN: i64 = 1_795_428_672_042;

fn escaped(text: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    push_request(&mut request, [text]);
    request
}

fn milliseconds(n: u64) -> Option<Duration> {
    Some(Duration::from_millis(n))
}

/// A request that went well.
fn usual(request: &[u8]) -> Line<'_> {
    Line {
        began: BEGAN,
        now: BEGAN + 1_509,
        client_ip: [10, 0, 1, 2].into(),
        client_port: 33317,
        frontend: "http-in",
        backend: Some("static"),
        server: Some("srv1"),
        timers: Timers {
            request: milliseconds(10),
            queue: milliseconds(0),
            connect: milliseconds(30),
            response: milliseconds(69),
            whole: Duration::from_micros(109_900),
        },
        bytes: 2750,
        termination: Termination::NORMAL,
        counts: Counts {
            process: 4,
            frontend: 3,
            backend: 2,
            server: 1,
            ..Counts::default()
        },
        kind: Kind::Http {
            request,
            id: Some(b"0f1e2d"),
            status: Some(200),
            cookies: CookieFlags::default(),
        },
    }
}

fn written(line: &Line<'_>, format: LogFormat) -> String {
    let config = AccessLog {
        path: LogPath::Stdout,
        format,
        request_id: false,
    };
    by(line, &config)
}

fn by(line: &Line<'_>, config: &AccessLog) -> String {
    let mut dates = Dates::new(TimeZone::UTC, "lb1", 14387);
    let mut text = Vec::new();
    line.write(config, &mut dates, &mut text);
    let mut text = String::from_utf8(text).unwrap();
    assert_eq!(text.pop(), Some('\n'));
    text
}

/// The line without its syslog prefix.
fn text(line: &Line<'_>) -> String {
    let text = written(line, LogFormat::Text);
    let (prefix, rest) = text.split_once("]: ").unwrap();
    assert_eq!(prefix, "Nov 23 10:11:13 lb1 lbd[14387");
    rest.to_owned()
}

/// The example of the manual's 8.2.3, but for what its request captured.
#[test]
fn a_line_of_text_is_httplog() {
    assert_eq!(
        text(&usual(b"GET /index.html HTTP/1.1")),
        "10.0.1.2:33317 [23/Nov/2026:10:11:12.042] http-in static/srv1 10/0/30/69/109 200 2750 - - \
         ---- 4/3/2/1/0 0/0 \"GET /index.html HTTP/1.1\""
    );
}

/// A connection in mode tcp. The example of the manual's 8.2.2.
fn connection() -> Line<'static> {
    Line {
        frontend: "fnt",
        backend: Some("bck"),
        timers: Timers {
            whole: Duration::from_millis(5007),
            ..usual(b"").timers
        },
        bytes: 212,
        kind: Kind::Tcp,
        ..usual(b"")
    }
}

#[test]
fn a_connection_is_tcplog() {
    assert_eq!(
        text(&connection()),
        "10.0.1.2:33317 [23/Nov/2026:10:11:12.042] fnt bck/srv1 0/30/5007 212 -- 4/3/2/1/0 0/0"
    );
}

#[test]
fn a_connection_in_json_has_the_same_by_name() {
    let line = written(&connection(), LogFormat::Json);
    let json: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "request_date": "2026-11-23T10:11:12.042Z",
            "client_ip": "10.0.1.2",
            "client_port": 33317,
            "frontend_name": "fnt",
            "backend_name": "bck",
            "server_name": "srv1",
            "time_queue": 0,
            "time_connect": 30,
            "time_total": 5007,
            "bytes_read": 212,
            "termination_state": "--",
            "actconn": 4,
            "feconn": 3,
            "beconn": 2,
            "srv_conn": 1,
            "retries": 0,
            "redispatched": false,
            "srv_queue": 0,
            "backend_queue": 0,
        })
    );
}

#[test]
fn what_never_happened_is_minus_one_and_has_no_server() {
    let line = Line {
        backend: None,
        server: None,
        timers: Timers {
            whole: Duration::from_secs(10),
            ..Timers::default()
        },
        bytes: 0,
        termination: Termination::at(Cause::ClientTimeout, Phase::Request),
        counts: Counts {
            process: 1,
            frontend: 1,
            ..Counts::default()
        },
        kind: Kind::Http {
            request: BAD_REQUEST,
            id: None,
            status: None,
            cookies: CookieFlags::default(),
        },
        ..usual(b"")
    };
    assert_eq!(
        text(&line),
        "10.0.1.2:33317 [23/Nov/2026:10:11:12.042] http-in http-in/<NOSRV> -1/-1/-1/-1/10000 -1 0 \
         - - cR-- 1/1/0/0/0 0/0 \"<BADREQ>\""
    );
}

#[test]
fn retries_queues_and_cookies_have_their_places() {
    let line = Line {
        client_ip: Ipv6Addr::LOCALHOST.into(),
        counts: Counts {
            retries: 2,
            redispatched: true,
            server_queue: 5,
            backend_queue: 7,
            ..usual(b"").counts
        },
        kind: Kind::Http {
            request: b"GET / HTTP/1.1",
            id: None,
            status: Some(503),
            cookies: CookieFlags(*b"VN"),
        },
        termination: Termination::at(Cause::Server, Phase::Connect),
        ..usual(b"")
    };
    let text = text(&line);
    assert!(text.starts_with("::1:33317 ["), "{text}");
    let end = "503 2750 - - SCVN 4/3/2/1/+2 5/7 \"GET / HTTP/1.1\"";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn a_line_of_json_is_the_same_by_name() {
    let request = escaped(br"GET /a\b HTTP/1.1");
    let json: Value = serde_json::from_str(&written(&usual(&request), LogFormat::Json)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "request_date": "2026-11-23T10:11:12.042Z",
            "client_ip": "10.0.1.2",
            "client_port": 33317,
            "frontend_name": "http-in",
            "backend_name": "static",
            "server_name": "srv1",
            "time_request": 10,
            "time_queue": 0,
            "time_connect": 30,
            "time_response": 69,
            "time_active": 109,
            "status_code": 200,
            "bytes_read": 2750,
            "captured_request_cookie": "-",
            "captured_response_cookie": "-",
            "termination_state": "----",
            "actconn": 4,
            "feconn": 3,
            "beconn": 2,
            "srv_conn": 1,
            "retries": 0,
            "redispatched": false,
            "srv_queue": 0,
            "backend_queue": 0,
            "http_request": r"GET /a\b HTTP/1.1",
            "request_id": "0f1e2d",
        })
    );
}

#[test]
fn an_id_is_a_captured_field_where_it_is_asked_for() {
    let with = |id: Option<&'static [u8]>| {
        let line = Line {
            kind: Kind::Http {
                request: b"GET / HTTP/1.1",
                id,
                status: Some(200),
                cookies: CookieFlags::default(),
            },
            ..usual(b"")
        };
        let config = |format| AccessLog {
            path: LogPath::Stdout,
            format,
            request_id: true,
        };
        let text = by(&line, &config(LogFormat::Text));
        let json: Value = serde_json::from_str(&by(&line, &config(LogFormat::Json))).unwrap();
        let (_, end) = text.split_once(" 0/0 ").unwrap();
        (
            end.to_owned(),
            json["request_id"].as_str().unwrap().to_owned(),
        )
    };
    let said = |text: &str, json: &str| (format!("{text} \"GET / HTTP/1.1\""), json.to_owned());
    assert_eq!(with(Some(b"0f1e2d")), said("{0f1e2d}", "0f1e2d"));
    assert_eq!(with(None), said("{}", ""));
    let forged = br#"a} "b"|\#"#;
    let escaped = "a#7D #22b#22#7C#5C#23";
    assert_eq!(with(Some(forged)), said(&format!("{{{escaped}}}"), escaped));
    assert_eq!(with(Some(&[b'x'; 1000])).1.len(), 128);
}

#[test]
fn a_request_line_can_forge_nothing() {
    let request = escaped(b"GET /\"\r\nNov 23#\x7f\x00\xe2\x98\x83 HTTP/1.1");
    assert_eq!(
        String::from_utf8(request.clone()).unwrap(),
        "GET /#22#0D#0ANov 23#23#7F#00#E2#98#83 HTTP/1.1"
    );
    let json: Value = serde_json::from_str(&written(&usual(&request), LogFormat::Json)).unwrap();
    assert_eq!(json["http_request"], String::from_utf8(request).unwrap());
}

#[test]
fn a_long_request_line_is_cut() {
    let mut request = Vec::new();
    let path = vec![b'a'; 900];
    push_request(&mut request, [&b"GET "[..], &path, &path, b" HTTP/1.1"]);
    assert_eq!(request.len(), MAX_REQUEST);
    assert!(request.ends_with(b"a"));
}
