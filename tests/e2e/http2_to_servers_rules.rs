//! Servers of HTTP/2 that do not keep to its rules harm what they were asked, and nothing else.

use std::time::{Duration, Instant};

use lb_proto::status::CheckResult;
use lb_tests::daemon::NO_CHECK;
use lb_tests::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame,
};
use lb_tests::raw_origin::Peer;
use lb_tests::wire::{End, get, request};
use lb_tests::{RawOrigin, Wire};

use crate::http2::nothing_is_left;
use crate::http2_to_servers::{checked, config};
use crate::http2_to_servers_ends::on_one_thread;

/// A server of single frames: greets, and then does for every stream that is begun what `each` says.
pub(crate) fn raw(each: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> RawOrigin {
    RawOrigin::start(move |peer| {
        assert_eq!(peer.bytes(PREFACE.len()), PREFACE);
        peer.send(frame(SETTINGS, 0, 0, &[]));
        while let Some(stream) = begun(peer) {
            each(peer, stream);
        }
    })
}

/// The stream of the next head that comes; acknowledges settings on the way.
pub(crate) fn begun(peer: &mut Peer) -> Option<u32> {
    loop {
        let (kind, flags, stream, _) = received(peer)?;
        match kind {
            HEADERS => return Some(stream),
            SETTINGS if flags & 1 == 0 => peer.send(frame(SETTINGS, 1, 0, &[])),
            _ => {}
        }
    }
}

/// The next frame: kind, flags, stream and payload.
fn received(peer: &mut Peer) -> Option<(u8, u8, u32, Vec<u8>)> {
    let head = peer.bytes(9);
    let [a, b, c, kind, flags, ref s @ ..] = head[..] else {
        return None;
    };
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let stream = u32::from_be_bytes([s[0], s[1], s[2], s[3]]);
    Some((kind, flags, stream, peer.bytes(length)))
}

/// `:status: 200`, from the static table (RFC 7541, A).
pub(crate) const OK: &[u8] = &[0x88];

/// What a server does that keeps to no rule, when it is asked on a stream.
type Outrage = fn(&mut Peer, u32);

fn outrages() -> Vec<(&'static str, Outrage)> {
    vec![
        ("an endless head", |peer, stream| {
            peer.send(frame(HEADERS, 0, stream, OK));
            for _ in 0..100_000 {
                let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
                peer.send(frame(CONTINUATION, 0, stream, &field));
            }
        }),
        ("empty continuations", |peer, stream| {
            peer.send(frame(HEADERS, 0, stream, OK));
            for _ in 0..100_000 {
                peer.send(frame(CONTINUATION, 0, stream, &[]));
            }
        }),
        ("empty data", |peer, stream| {
            peer.send(frame(HEADERS, END_HEADERS, stream, OK));
            for _ in 0..100_000 {
                peer.send(frame(DATA, 0, stream, &[]));
            }
        }),
        ("data beyond the window", |peer, stream| {
            peer.send(frame(HEADERS, END_HEADERS, stream, OK));
            for _ in 0..5_000 {
                peer.send(frame(DATA, 0, stream, &[7; 16_384]));
            }
        }),
        ("frames that are too large", |peer, stream| {
            peer.send(frame(HEADERS, END_HEADERS, stream, OK));
            peer.send(frame(DATA, 0, stream, &[7; 20_000]));
        }),
        ("a window that overflows", |peer, stream| {
            for _ in 0..3 {
                let increment = 0x7fff_ffff_u32.to_be_bytes();
                peer.send(frame(WINDOW_UPDATE, 0, 0, &increment));
                peer.send(frame(WINDOW_UPDATE, 0, stream, &increment));
            }
        }),
        ("a window that grows by nothing", |peer, stream| {
            peer.send(frame(WINDOW_UPDATE, 0, stream, &[0; 4]));
        }),
        ("pings", |peer, _| {
            for _ in 0..100_000 {
                peer.send(frame(PING, 0, 0, &[7; 8]));
            }
        }),
        ("settings", |peer, _| {
            for _ in 0..100_000 {
                peer.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]));
            }
        }),
        ("a window of nothing", |peer, _| {
            peer.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
        }),
        ("a head that cannot be read", |peer, stream| {
            peer.send(frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                &[0xff; 30],
            ));
        }),
        ("a head without a status", |peer, stream| {
            let field = [0, 1, b'x', 1, b'y'];
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &field));
        }),
        ("a switch of protocols", |peer, stream| {
            let status = [8, 3, b'1', b'0', b'1'];
            peer.send(frame(HEADERS, END_HEADERS, stream, &status));
        }),
        ("a stream that nobody began", |peer, stream| {
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream + 100, OK));
        }),
        ("a stream of its own", |peer, _| {
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 2, OK));
        }),
        ("a push", |peer, stream| {
            let promise = [&2u32.to_be_bytes()[..], &[0x82, 0x84, 0x86]].concat();
            peer.send(frame(5, END_HEADERS, stream, &promise));
        }),
        ("resets without an end", |peer, stream| {
            for _ in 0..10_000 {
                peer.send(frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()));
            }
        }),
        ("a body of another length", |peer, stream| {
            let length = [&[0x88, 0x0f, 0x0d, 1, b'5'][..]].concat();
            peer.send(frame(HEADERS, END_HEADERS, stream, &length));
            peer.send(frame(DATA, END_STREAM, stream, b"too much"));
        }),
        ("too many fields", |peer, stream| {
            let field: &[u8] = &[0, 1, b'x', 1, b'y'];
            let block = [OK, &field.repeat(129)].concat();
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
        }),
        ("no frames at all", |peer, _| {
            peer.send([0xff; 10_000]);
        }),
        ("nothing", |_, _| {}),
    ]
}

#[test]
fn a_server_that_keeps_to_no_rule_harms_only_what_it_was_asked() {
    for (what, outrage) in outrages() {
        let origin = raw(move |peer, stream| {
            outrage(peer, stream);
            peer.closed();
        });
        let lines = format!("{NO_CHECK}\nretries = 0\ntimeouts = {{ server = \"500ms\" }}");
        let lbd = on_one_thread(config(&lines, origin.addr()));
        let began = Instant::now();
        let mut wire = Wire::connect(lbd.addr());
        let answer = wire.send(request("POST", "/")).try_response("POST");
        let told = match &answer {
            Ok(answer) => answer.status >= 500 || answer.cut.is_some(),
            Err(none) => none.end != End::Silence,
        };
        assert!(told, "{what}: {answer:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        drop(wire);
        nothing_is_left(&lbd);
        let resident = resident(lbd.pid());
        assert!(resident < 150 << 20, "{what}: {} MiB", resident >> 20);
    }
}

#[test]
fn a_server_that_takes_no_streams_fails_checks_as_it_fails_requests() {
    let origin = RawOrigin::start(|peer| {
        assert_eq!(peer.bytes(PREFACE.len()), PREFACE);
        // SETTINGS_MAX_CONCURRENT_STREAMS
        peer.send(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]));
        while let Some(stream) = begun(peer) {
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, OK));
        }
    });
    let check = "health = { type = \"http\", interval = \"50ms\", timeout = \"300ms\" }";
    let lbd = on_one_thread(config(check, origin.addr()));
    assert_eq!(checked(&lbd).0, CheckResult::L7TOUT);
    assert_eq!(get(lbd.addr(), "/").status, 503);
}

/// Bytes of memory that a process has in use.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kib.unwrap_or(0u64) * 1024
}
