//! What the access log tells of waits for a server with room.

use std::path::{Path, PathBuf};

use lb_tests::access_log::{Line, lines};
use lb_tests::wire::get;
use lb_tests::{Lbd, Origin, Setup, eventually};

use crate::queue::{ask, limited, wait_for_in_flight, wait_for_queued};

/// A daemon that logs, and the log's file.
fn logging(config: String) -> (Lbd, PathBuf) {
    let setup = Setup::new(config);
    let path = setup.folder().join("access.log");
    let log = format!("threads = 2\naccess_log = {{ path = {path:?}, format = \"text\" }}");
    (setup.global(&log).start(), path)
}

/// The line of the request for `target`.
#[track_caller]
fn line_of(path: &Path, target: &str) -> Line {
    eventually(&format!("{target} is logged"), || {
        let lines = lines(path);
        let line = lines.iter().find(|line| line.contains(target));
        line.map(|line| Line::parse(line)).ok_or(lines.join("\n"))
    })
}

#[test]
fn the_access_log_tells_how_a_wait_ended_and_how_many_were_before() {
    let origin = Origin::start("a");
    let lines = "queue = { max = 2 }\ntimeouts = { queue = \"1m\" }";
    let (lbd, path) = logging(limited(lines, [(&origin, 1)]));
    origin.hold("/held");
    let mut held = ask(&lbd, "/held");
    wait_for_in_flight(&origin, 1);
    let gone = ask(&lbd, "/gone");
    wait_for_queued(&lbd, 1);
    let mut stays = ask(&lbd, "/stays");
    wait_for_queued(&lbd, 2);
    assert_eq!(get(lbd.addr(), "/refused").status, 503);
    let refused = line_of(&path, "/refused");
    assert_eq!((refused.flags.as_str(), refused.status), ("sQ--", 503));
    gone.abort();
    let gone = line_of(&path, "/gone");
    assert_eq!((gone.flags.as_str(), gone.queues.as_str()), ("CQ--", "0/0"));
    origin.release();
    assert_eq!(held.response().status, 200);
    assert_eq!(stays.response().status, 200);
    let stays = line_of(&path, "/stays");
    let told = (stays.flags.as_str(), stays.queues.as_str());
    assert_eq!((told, stays.shape()), (("----", "0/1"), "00000".to_owned()));
}

#[test]
fn the_access_log_tells_how_long_somebody_waited_in_vain() {
    let origin = Origin::start("a");
    let lines = "timeouts = { queue = \"200ms\" }";
    let (lbd, path) = logging(limited(lines, [(&origin, 1)]));
    origin.hold("/held");
    let _held = ask(&lbd, "/held");
    wait_for_in_flight(&origin, 1);
    assert_eq!(get(lbd.addr(), "/late").status, 503);
    let late = line_of(&path, "/late");
    assert_eq!((late.flags.as_str(), late.status), ("sQ--", 503));
    assert!(late.timers[1] >= 200, "{late:?}");
}
