//! Whatever clients and servers do to each other, and all of it at once: when they are gone, every
//! count is zero.

use std::io;
use std::net::SocketAddr;
use std::thread;

use lb_tests::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, fields, frame,
};
use lb_tests::raw_origin::Peer;
use lb_tests::wire::upload;
use lb_tests::{Lbd, RawOrigin, Wire, eventually, is};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const UPLOAD: usize = 100_000;

/// What a server does with a request; the target says it.
#[derive(Debug, Clone, Copy)]
enum Server {
    Answers,
    AnswersEarly,
    Resets,
    CutsTheHead,
    CutsTheBody,
    ResetsInTheBody,
    IsSilent,
    IsSilentInTheBody,
    Upgrades,
    UpgradesAndResets,
}

/// What a client does.
#[derive(Debug, Clone, Copy)]
enum Client {
    Reads,
    AsksTwice,
    ReadsAndResets(usize),
    Resets,
    Ends,
    EndsInTheHead,
    ResetsInTheHead,
    ResetsInTheBody,
    IsSilentInTheBody,
    EndsTheTunnel,
    ResetsTheTunnel,
    /// It speaks HTTP/2.
    Streams(Streams),
}

/// What a client does with three streams.
#[derive(Debug, Clone, Copy)]
enum Streams {
    Read,
    /// And takes nothing.
    WithoutWindow,
    ResetOne,
    ResetAll,
    EndsTheConnection,
    ResetsTheConnection,
    WithHalfABody,
    Tunnels,
    TunnelsReset,
    WithBadFrames,
}

fn target(server: Server) -> String {
    format!("/{server:?}")
}

fn serve(peer: &mut Peer) {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    const SWITCHED: &str = "HTTP/1.1 101 Go on\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhi";
    loop {
        let head = peer.head();
        let Some(does) = head.split([' ', '/']).nth(2) else {
            return;
        };
        match does {
            "Answers" => {
                if head.contains("content-length") {
                    peer.bytes(UPLOAD);
                }
                peer.send(ANSWER);
            }
            "AnswersEarly" => return peer.send(ANSWER),
            "Resets" => return peer.reset(),
            "CutsTheHead" => return peer.send("HTTP/1.1 200"),
            "CutsTheBody" => return peer.send(HALF),
            "ResetsInTheBody" => {
                peer.send(HALF);
                return peer.reset();
            }
            "IsSilent" => {
                peer.closed();
                return;
            }
            "IsSilentInTheBody" => {
                peer.send(HALF);
                peer.closed();
                return;
            }
            "Upgrades" => {
                peer.send(SWITCHED);
                peer.closed();
                return;
            }
            "UpgradesAndResets" => {
                peer.send(SWITCHED);
                return peer.reset();
            }
            _ => return,
        }
    }
}

/// Acts on a connection by HTTP/2. It may break off at any point: that is no failure.
fn act_by_frames(mut wire: Wire, client: Streams, server: Server) -> io::Result<()> {
    const STREAMS: [u32; 3] = [1, 3, 5];
    wire.try_send(PREFACE)?;
    let window = match client {
        Streams::WithoutWindow => &[0, 4, 0, 0, 0, 0][..],
        _ => b"",
    };
    wire.try_send(frame(SETTINGS, 0, 0, window))?;
    let target = target(server);
    let (method, flags) = match client {
        Streams::WithHalfABody => ("POST", END_HEADERS),
        Streams::Tunnels | Streams::TunnelsReset => ("CONNECT", END_HEADERS),
        _ => ("GET", END_HEADERS | END_STREAM),
    };
    let mut head = vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "t"),
    ];
    head.push((":path", &target));
    if method == "CONNECT" {
        head.push((":protocol", "echo"));
    }
    for stream in STREAMS {
        wire.try_send(frame(HEADERS, flags, stream, &fields(&head)))?;
        if flags & END_STREAM == 0 {
            wire.try_send(frame(DATA, 0, stream, b"hello"))?;
        }
    }
    let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    match client {
        Streams::Read | Streams::WithoutWindow | Streams::WithHalfABody | Streams::Tunnels => {
            // All of it was answered, or came to nothing, when the connection is idle.
            wire.rest();
        }
        Streams::ResetOne => {
            wire.try_send(reset(3))?;
            wire.rest();
        }
        Streams::ResetAll | Streams::TunnelsReset => {
            let _ = wire.bytes(40);
            wire.try_send(STREAMS.map(reset).concat())?;
            wire.rest();
        }
        Streams::EndsTheConnection => {
            wire.finish();
            wire.rest();
        }
        Streams::ResetsTheConnection => wire.abort(),
        Streams::WithBadFrames => {
            wire.try_send(frame(DATA, 0, 3, b"after the end"))?;
            wire.try_send(frame(SETTINGS, 0, 1, b"of a stream"))?;
            wire.rest();
        }
    }
    Ok(())
}

/// Acts on a connection. It may break off at any point: that is no failure.
fn act(addr: SocketAddr, client: Client, server: Server) -> io::Result<()> {
    let mut wire = Wire::try_connect(addr)?;
    let target = target(server);
    let get = format!("GET {target} HTTP/1.1\r\nhost: t\r\n\r\n");
    let last = format!("GET {target} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    let upgrade = format!(
        "GET {target} HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhi"
    );
    let post = upload("POST", &target, &[b'x'; UPLOAD]);
    match client {
        Client::Reads => {
            wire.try_send(last)?;
            wire.rest();
        }
        Client::AsksTwice => {
            wire.try_send(get + &last)?;
            wire.rest();
        }
        Client::ReadsAndResets(n) => {
            wire.try_send(get)?;
            let _ = wire.bytes(n);
            wire.abort();
        }
        Client::Resets => {
            wire.try_send(get)?;
            wire.abort();
        }
        Client::Ends => {
            wire.try_send(get)?;
            wire.finish();
            wire.rest();
        }
        Client::EndsInTheHead => {
            wire.try_send(&get[..20])?;
            wire.finish();
            wire.rest();
        }
        Client::ResetsInTheHead => {
            wire.try_send(&get[..20])?;
            wire.abort();
        }
        Client::ResetsInTheBody => {
            wire.try_send(&post[..UPLOAD / 2])?;
            wire.abort();
        }
        Client::IsSilentInTheBody => {
            wire.try_send(&post[..UPLOAD / 2])?;
            wire.rest();
        }
        Client::Streams(client) => return act_by_frames(wire, client, server),
        Client::EndsTheTunnel => {
            wire.try_send(upgrade)?;
            let _ = wire.head();
            wire.finish();
            wire.rest();
        }
        Client::ResetsTheTunnel => {
            wire.try_send(upgrade)?;
            let _ = wire.head();
            wire.abort();
        }
    }
    Ok(())
}

fn any_server() -> impl Strategy<Value = Server> {
    prop_oneof![
        Just(Server::Answers),
        Just(Server::AnswersEarly),
        Just(Server::Resets),
        Just(Server::CutsTheHead),
        Just(Server::CutsTheBody),
        Just(Server::ResetsInTheBody),
        Just(Server::IsSilent),
        Just(Server::IsSilentInTheBody),
        Just(Server::Upgrades),
        Just(Server::UpgradesAndResets),
    ]
}

fn any_client() -> impl Strategy<Value = Client> {
    prop_oneof![
        1 => Just(Client::Reads),
        1 => Just(Client::AsksTwice),
        1 => (0..60_usize).prop_map(Client::ReadsAndResets),
        1 => Just(Client::Resets),
        1 => Just(Client::Ends),
        1 => Just(Client::EndsInTheHead),
        1 => Just(Client::ResetsInTheHead),
        1 => Just(Client::ResetsInTheBody),
        1 => Just(Client::IsSilentInTheBody),
        1 => Just(Client::EndsTheTunnel),
        1 => Just(Client::ResetsTheTunnel),
        6 => any_streams().prop_map(Client::Streams),
    ]
}

fn any_streams() -> impl Strategy<Value = Streams> {
    prop_oneof![
        Just(Streams::Read),
        Just(Streams::WithoutWindow),
        Just(Streams::ResetOne),
        Just(Streams::ResetAll),
        Just(Streams::EndsTheConnection),
        Just(Streams::ResetsTheConnection),
        Just(Streams::WithHalfABody),
        Just(Streams::Tunnels),
        Just(Streams::TunnelsReset),
        Just(Streams::WithBadFrames),
    ]
}

/// Two frontends, one for HTTP and one in mode tcp, before servers that take few sessions.
fn config(origin: &RawOrigin) -> String {
    let addr = origin.addr();
    let servers = format!(
        "servers = [\n  {{ name = \"a\", address = \"{addr}\", max_connections = 4 }},\n  \
         {{ name = \"b\", address = \"{addr}\", max_connections = 4 }},\n]\n"
    );
    let backend = format!("health = false\nretries = 1\nqueue = {{ max = 6 }}\n{servers}");
    format!(
        "[defaults.timeouts]\nrequest = \"1s\"\nclient = \"1s\"\nserver = \"1s\"\n\
         queue = \"1s\"\ntunnel = \"1s\"\nkeep_alive = \"1s\"\n\
         [frontend.web]\nbind = {{ address = \"127.0.0.1:0\", h2c = true }}\ndefault_backend = \"app\"\n\
         [frontend.raw]\nmode = \"tcp\"\nbind = \"127.0.0.1:0\"\ndefault_backend = \"raw\"\n\
         [backend.app]\nbalance = \"leastconn\"\n{backend}\
         [backend.raw]\nmode = \"tcp\"\n{backend}"
    )
}

#[track_caller]
fn nothing_is_left(lbd: &Lbd) {
    eventually("every count is zero", || {
        let status = lbd.status();
        let mut counts = vec![status.daemon.connections];
        for frontend in &status.frontends {
            counts.extend([frontend.connections, frontend.sessions]);
        }
        for backend in &status.backends {
            counts.push(backend.queued);
            counts.extend(backend.servers.iter().map(|server| server.sessions));
        }
        is(counts.iter().sum::<u64>(), 0).map_err(|e| format!("{e}: {counts:?}"))
    });
}

#[test]
fn after_any_mix_of_ends_every_count_is_zero() {
    let origin = RawOrigin::start(serve);
    let lbd = Lbd::start(config(&origin));
    let frontends = [lbd.addr_of("web"), lbd.addr_of("raw")];
    let mix = prop::collection::vec((0..2_usize, any_client(), any_server()), 60);
    let settings = Config {
        cases: 4,
        // What is left of one mix would spoil the next.
        max_shrink_iters: 0,
        failure_persistence: None,
        ..Config::default()
    };
    let checked = TestRunner::new(settings).run(&mix, |mix| {
        thread::scope(|scope| {
            for (frontend, client, server) in mix {
                scope.spawn(move || act(frontends[frontend], client, server));
            }
        });
        nothing_is_left(&lbd);
        Ok(())
    });
    if let Err(failed) = checked {
        panic!("{failed}");
    }
}
