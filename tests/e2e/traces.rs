//! `[traces]`: a real exporter, and a collector that decodes what it is sent. A stop sends what there
//! is, so that nothing more can come when a test looks.

use hyper::Method;
use lb_tests::access_log::wait_for_lines;
use lb_tests::collector::Told;
use lb_tests::daemon::{NO_CHECK, app};
use lb_tests::http2;
use lb_tests::port::Port;
use lb_tests::wire::{ask, get, request};
use lb_tests::{Collector, Http2, Lbd, Origin, Setup, Wire, eventually, is};
use serde_json::Value;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// The values of a header as the origin saw them, in order.
fn values(seen: &Value, name: &str) -> Vec<String> {
    let headers = seen["headers"].as_array().expect("echo lists the headers");
    let found = headers.iter().filter(|header| header[0] == name);
    found
        .map(|header| header[1].as_str().expect("a text").to_owned())
        .collect()
}

/// The `traceparent` that the server got, and all of `tracestate`.
fn passed(lbd: &Lbd, fields: &str) -> (String, String) {
    let head = format!("GET /echo?secret=1 HTTP/1.1\r\nhost: shop.example:81\r\n{fields}\r\n");
    let response = ask(lbd.addr(), head);
    assert_eq!(response.status, 200, "{response:?}");
    let seen = response.json();
    let parents = values(&seen, "traceparent");
    assert!(parents.len() <= 1, "{parents:?}");
    (parents.concat(), values(&seen, "tracestate").join(","))
}

fn says(told: &Told, key: &str) -> String {
    told.says(key).unwrap_or_else(|| "-".to_owned())
}

/// Has it stop, and gives all that it sent.
#[track_caller]
fn all(mut lbd: Lbd, collector: &Collector) -> Vec<Told> {
    assert_eq!(lbd.stop(), Some(0), "{}", lbd.log());
    collector.taken()
}

#[test]
fn a_request_is_a_span_of_the_trace_that_it_came_with() {
    let (origin, collector) = (Origin::start("a"), Collector::start());
    let config = collector.section("sample = 0") + &app(NO_CHECK, [&origin]);
    let setup = Setup::new(config);
    let path = setup.folder().join("access.log");
    let log = format!("access_log = {{ path = {path:?}, format = \"json\" }}");
    let lbd = setup.global(&log).start();
    let fields =
        format!("traceparent: 00-{TRACE}-{SPAN}-01\r\ntracestate: a=1\r\ntracestate: b=2\r\n");
    let (parent, state) = passed(&lbd, &fields);
    let line = wait_for_lines(&path, 1).remove(0);
    let line: Value = serde_json::from_str(&line).expect("a line is JSON");
    let told = all(lbd, &collector);

    let [told] = told.as_slice() else {
        panic!("one request, and these: {told:#?}");
    };
    assert_eq!(told.traceparent(), parent);
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-01"));
    assert_eq!(told.parent(), SPAN);
    assert_ne!(parent, format!("00-{TRACE}-{SPAN}-01"));
    // The parent is known, and of another process.
    assert_eq!(told.span.flags, 0x301);
    assert_eq!(
        (state.as_str(), &*told.span.trace_state),
        ("a=1,b=2", "a=1,b=2")
    );
    assert_eq!((told.span.name.as_str(), told.span.kind), ("GET app", 2));
    assert!(told.span.status.is_none());
    let took = told.span.end_time_unix_nano - told.span.start_time_unix_nano;
    assert!(told.span.start_time_unix_nano > 1_700_000_000_000_000_000 && took > 0);
    let address = origin.addr().to_string();
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/echo"),
        ("url.scheme", "http"),
        ("server.address", "shop.example"),
        ("server.port", "81"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("network.peer.address", "127.0.0.1"),
        ("client.address", "127.0.0.1"),
        ("lb.frontend", "web"),
        ("lb.backend", "app"),
        ("lb.server", "a"),
        ("lb.server.address", &address),
        ("lb.retries", "0"),
        ("lb.termination_state", "--"),
        ("lb.request_id", line["request_id"].as_str().expect("an id")),
        ("error.type", "-"),
    ] {
        assert_eq!(says(told, key), value, "{key}");
    }
    assert_eq!(told.service, "lbd");
    assert!(!format!("{told:?}").contains("secret"));
}

#[test]
fn what_nobody_records_is_not_sent_and_its_trace_goes_on() {
    let (origin, collector) = (Origin::start("a"), Collector::start());
    let lbd = Lbd::start(collector.section("sample = 0") + &app(NO_CHECK, [&origin]));
    let unsampled = format!("00-{TRACE}-{SPAN}-00");
    let fields = format!("traceparent: {unsampled}\r\ntracestate: a=1\r\n");
    assert_eq!(passed(&lbd, &fields), (unsampled, "a=1".to_owned()));
    // What is no parent begins a new trace (W3C Trace Context, 4.3).
    let sampled = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\n");
    for fields in [
        String::new(),
        sampled.replace("00-", "ff-"),
        sampled.replace(TRACE, &TRACE.to_uppercase()),
        sampled.repeat(2),
    ] {
        let (parent, state) = passed(&lbd, &format!("{fields}tracestate: a=1\r\n"));
        assert!(parent.len() == 55 && parent.ends_with("-00"), "{parent}");
        assert!(
            !parent.contains(TRACE) && state.is_empty(),
            "{parent} {state}"
        );
    }
    assert_eq!(all(lbd, &collector).len(), 0);
    assert_eq!(collector.exports(), 0);
}

#[test]
fn a_span_tells_of_retries_and_failures() {
    let (origin, collector, dead) = (Origin::start("a"), Collector::start(), Port::new());
    let servers = format!(
        "servers = [\n  {{ name = \"dead\", address = \"{}\", weight = 100 }},\n",
        dead.addr()
    );
    let app = app(NO_CHECK, [&origin]).replace("servers = [\n", &servers);
    let route = "[[frontend.web.routes]]\npath = \"/forbidden\"\nrespond = { status = 403 }\n";
    let section = collector.section("sample = 1\nservice_name = \"edge\"");
    let lbd = Lbd::start(format!("{section}{app}{route}"));
    assert_eq!(get(lbd.addr(), "/retried").status, 200);
    assert_eq!(get(lbd.addr(), "/status?code=503").status, 503);
    assert_eq!(get(lbd.addr(), "/status?code=404").status, 404);
    assert_eq!(get(lbd.addr(), "/forbidden").status, 403);
    ask(lbd.addr(), "BREW /pot HTTP/1.1\r\nhost: t\r\n\r\n");
    let mut gone = Wire::connect(lbd.addr());
    gone.send(request("GET", "/bytes?n=50000000"));
    gone.head().expect("it begins");
    gone.abort();
    eventually("all are over", || is(origin.in_flight(), 0));
    let all = all(lbd, &collector);
    let of = |path: &str| {
        let mut found = all.iter().filter(|told| says(told, "url.path") == path);
        let first = found
            .next()
            .unwrap_or_else(|| panic!("no {path}: {all:#?}"));
        (first, found.next())
    };
    let only = |path: &str| match of(path) {
        (told, None) => told,
        (_, Some(_)) => panic!("two spans of {path}"),
    };
    let retried = only("/retried");
    assert_eq!(
        (says(retried, "lb.retries"), says(retried, "lb.server")),
        ("1".into(), "a".into())
    );
    assert_eq!(
        (retried.parent(), retried.service.as_str()),
        (String::new(), "edge")
    );
    let (failed, fine) = of("/status");
    assert_eq!(
        failed.span.status.as_ref().map(|status| status.code),
        Some(2)
    );
    assert_eq!(says(failed, "error.type"), "503");
    assert!(fine.is_some_and(|fine| fine.span.status.is_none()));
    let own = only("/forbidden");
    assert_eq!(
        (own.span.name.as_str(), says(own, "lb.backend")),
        ("GET", "-".into())
    );
    assert_eq!(says(own, "lb.termination_state"), "LR");
    let odd = only("/pot");
    assert_eq!(odd.span.name, "HTTP app");
    assert_eq!(says(odd, "http.request.method"), "_OTHER");
    assert_eq!(says(odd, "http.request.method_original"), "BREW");
    let gone = only("/bytes");
    assert_eq!(says(gone, "lb.termination_state"), "CD");
    assert!(gone.span.status.is_none());
    let ids: std::collections::BTreeSet<_> = all.iter().map(Told::traceparent).collect();
    assert_eq!((ids.len(), all.len()), (6, 6));
}

#[test]
fn streams_have_spans_and_so_do_requests_by_http_1_0() {
    let (origin, collector) = (Origin::start("a"), Collector::start());
    let bind = "bind = [{ address = \"127.0.0.1:0\", h2c = true }]";
    let app = app(NO_CHECK, [&origin]).replace("bind = [\"127.0.0.1:0\"]", bind);
    let lbd = Lbd::start(collector.section("sample = 0") + &app);
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let mut client = Http2::connect(lbd.addr());
    let request = http2::request_with(Method::GET, "/echo", &[("traceparent", &parent)]);
    let stream = client.try_open(request, true).expect("it takes a stream");
    let seen = stream.response().json();
    drop(client);
    ask(
        lbd.addr(),
        format!("GET /old HTTP/1.0\r\ntraceparent: {parent}\r\n\r\n"),
    );
    let all = all(lbd, &collector);
    let of = |path: &str| all.iter().find(|told| says(told, "url.path") == path);
    let (two, old) = (of("/echo").expect("a span"), of("/old").expect("a span"));
    assert_eq!(values(&seen, "traceparent"), [two.traceparent()]);
    assert_eq!(says(two, "network.protocol.version"), "2");
    assert_eq!(says(old, "network.protocol.version"), "1.0");
    assert_eq!(says(old, "server.address"), "-");
    assert_eq!(all.len(), 2);
}

#[test]
fn a_reload_turns_it_on_elsewhere_and_off() {
    let (origin, one, other) = (Origin::start("a"), Collector::start(), Collector::start());
    let app = app(NO_CHECK, [&origin]);
    let mut lbd = Lbd::start(app.clone());
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let fields = format!("traceparent: {parent}\r\n");
    assert_eq!(passed(&lbd, &fields).0, parent);
    assert_eq!(passed(&lbd, "").0, "");

    let mut to = |section: String, told: &str| {
        lbd.rewrite(format!("{section}{app}"));
        let plan = lbd.lbctl(["plan"]).stdout;
        assert!(plan.contains(told), "{plan}");
        assert_eq!(lbd.reload().code, Some(0));
        passed(&lbd, &fields).0
    };
    let first = to(one.section(""), "traces");
    let second = to(other.section("sample = 0"), &other.addr().to_string());
    let third = to(String::new(), "traces");
    assert_eq!(third, parent);
    let told = all(lbd, &other);
    assert!(first != parent && second != parent && first != second);
    let parents = |all: &[Told]| all.iter().map(Told::traceparent).collect::<Vec<_>>();
    assert!(parents(&told).contains(&second), "{told:#?}");
    // What was collected before a reload may go to whoever is known last.
    let mut sent = [parents(&one.taken()), parents(&told)].concat();
    sent.sort();
    let mut passed_on = [first, second];
    passed_on.sort();
    assert_eq!(sent, passed_on);
}
