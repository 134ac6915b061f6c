use std::net::Shutdown;
use std::rc::Rc;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;

use super::*;
use crate::state::Shared;

const LONG: Duration = Duration::from_secs(60);

fn always(silence: Duration) -> Silence {
    Silence {
        open: silence,
        after_client: silence,
        after_server: silence,
    }
}

/// A tunnel of its own with both peers in hand.
struct Joined {
    client: TcpStream,
    server: TcpStream,
    meter: Rc<Meter>,
    shared: Arc<Shared>,
    end: JoinHandle<Cause>,
}

fn test(body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async { timeout(LONG, body).await.unwrap() });
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await;
    (near.unwrap(), listener.accept().await.unwrap().0)
}

impl Joined {
    async fn new(silence: Duration) -> Self {
        Self::with(silence, "", "").await
    }

    async fn with(silence: Duration, from_client: &'static str, from_server: &'static str) -> Self {
        let shared = Shared::of(
            "[frontend.web]\nbind = \"127.0.0.1:0\"\ndefault_backend = \"app\"\n\
             [backend.app]\nservers = [{ name = \"web01\", address = \"127.0.0.1:1\" }]\n",
        );
        let record = shared.snapshot().frontends[0].record.clone();
        let server = shared.server("app/web01");
        let meter = Rc::new(Meter::new(ThreadId(0), record, server));
        let (client, ours) = pair().await;
        let (theirs, server) = pair().await;
        let (ours, theirs) = (channel(ours), channel(theirs));
        let counted = meter.clone();
        let end = spawn_local(async move {
            let tools = Tools::default();
            let tunnel = Tunnel {
                client: &ours,
                server: &theirs,
                from_client: Bytes::from_static(from_client.as_bytes()),
                from_server: Bytes::from_static(from_server.as_bytes()),
                silence: always(silence),
            };
            let end = tunnel.relay(&tools, &counted).await;
            let cause = end.cause;
            end.tell(ours, theirs).await;
            cause
        });
        Self {
            client,
            server,
            meter,
            shared,
            end,
        }
    }

    fn tallies(&self) -> [u64; 4] {
        let snapshot = self.shared.snapshot();
        let frontend = &snapshot.frontends[0].record.tallies;
        let server = self.shared.server("app/web01");
        [
            frontend.sum(|t| &t.bytes_in),
            server.bytes_in(),
            server.bytes_out(),
            frontend.sum(|t| &t.bytes_out),
        ]
    }
}

/// Bytes that repeat nowhere near.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(99);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

async fn read_to_end(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.map(|_| got)
}

fn finish(stream: &TcpStream) {
    SockRef::from(stream).shutdown(Shutdown::Write).unwrap();
}

#[test]
fn what_was_read_before_goes_first() {
    test(async {
        let mut t = Joined::with(LONG, "up1 ", "down1 ").await;
        t.client.write_all(b"up2").await.unwrap();
        t.server.write_all(b"down2").await.unwrap();
        finish(&t.client);
        finish(&t.server);
        assert_eq!(read_to_end(&mut t.server).await.unwrap(), b"up1 up2");
        assert_eq!(read_to_end(&mut t.client).await.unwrap(), b"down1 down2");
    });
}

#[test]
fn either_side_may_end_its_sending_and_go_on_receiving() {
    for client_first in [true, false] {
        test(async move {
            let mut t = Joined::new(LONG).await;
            let (first, second, side) = match client_first {
                true => (&mut t.client, &mut t.server, Side::Client),
                false => (&mut t.server, &mut t.client, Side::Server),
            };
            first.write_all(b"question").await.unwrap();
            finish(first);
            assert_eq!(read_to_end(second).await.unwrap(), b"question");
            second.write_all(b"answer").await.unwrap();
            finish(second);
            assert_eq!(read_to_end(first).await.unwrap(), b"answer");
            assert_eq!(t.end.await.unwrap(), Cause::Closed { first: side });
        });
    }
}

#[test]
fn bulk_in_both_directions_at_once_arrives_whole_and_is_counted() {
    test(async {
        let t = Joined::new(LONG).await;
        let (up, down) = (pattern(1, 5_000_001), pattern(2, 7_000_003));
        let exchange = |stream: TcpStream, bytes: Vec<u8>| async move {
            let (mut read, mut write) = stream.into_split();
            let send = spawn_local(async move { write.write_all(&bytes).await.unwrap() });
            let mut got = Vec::new();
            read.read_to_end(&mut got).await.unwrap();
            send.await.unwrap();
            got
        };
        let server = spawn_local(exchange(t.server, down.clone()));
        let client = spawn_local(exchange(t.client, up.clone()));
        assert!(server.await.unwrap() == up);
        assert!(client.await.unwrap() == down);
        let counted = (t.meter.from_client.get(), t.meter.server_bytes());
        assert_eq!(counted, (5_000_001, 7_000_003));
        assert!(matches!(t.end.await.unwrap(), Cause::Closed { .. }));
    });
}

#[test]
fn bytes_are_counted_while_the_tunnel_is_open() {
    test(async {
        let mut t = Joined::new(LONG).await;
        for _ in 0..3 {
            t.client.write_all(b"ping!").await.unwrap();
            t.server.read_exact(&mut [0; 5]).await.unwrap();
            t.server.write_all(b"pong").await.unwrap();
            t.client.read_exact(&mut [0; 4]).await.unwrap();
        }
        assert_eq!(t.tallies(), [15, 15, 12, 12]);
    });
}

#[test]
fn a_reset_of_one_side_reaches_the_other() {
    for client in [true, false] {
        test(async move {
            let t = Joined::new(LONG).await;
            let (broken, mut other, side) = match client {
                true => (t.client, t.server, Side::Client),
                false => (t.server, t.client, Side::Server),
            };
            linger::reset(Socket::Plain(broken));
            assert!(read_to_end(&mut other).await.is_err());
            assert_eq!(t.end.await.unwrap(), Cause::Broken(side));
        });
    }
}

#[test]
fn a_reset_is_seen_although_the_other_side_reads_nothing() {
    test(async {
        let t = Joined::new(LONG).await;
        let chunk = pattern(3, 64 * 1024);
        // Until nothing more fits anywhere on the way.
        while timeout(Duration::from_millis(300), t.server.writable())
            .await
            .is_ok()
        {
            let _ = t.server.try_write(&chunk);
        }
        linger::reset(Socket::Plain(t.server));
        assert_eq!(t.end.await.unwrap(), Cause::Broken(Side::Server));
        drop(t.client);
    });
}

#[test]
fn the_last_word_of_a_server_that_reads_no_further_arrives() {
    test(async {
        let mut t = Joined::new(LONG).await;
        t.client.write_all(b"unread").await.unwrap();
        t.server.readable().await.unwrap();
        assert_eq!(t.server.try_write(b"too many clients").unwrap(), 16);
        // With what it did not read, this is a reset on the heels of the message.
        drop(t.server);
        let mut got = [0; 16];
        t.client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"too many clients");
        assert_eq!(t.end.await.unwrap(), Cause::Broken(Side::Server));
    });
}

#[test]
fn silence_of_both_ends_a_tunnel_and_a_move_of_either_puts_it_off() {
    test(async {
        let silence = Duration::from_secs(3);
        let mut t = Joined::new(silence).await;
        let start = Instant::now();
        for _ in 0..6 {
            tokio::time::sleep(silence / 5).await;
            t.server.write_all(b".").await.unwrap();
            t.client.read_exact(&mut [0]).await.unwrap();
        }
        assert!(!t.end.is_finished());
        let cause = (&mut t.end).await.unwrap();
        assert!(start.elapsed() >= silence * 2);
        assert_eq!(cause, Cause::Silent);
        assert!(read_to_end(&mut t.client).await.is_err());
    });
}

#[test]
fn a_dropped_tunnel_gives_its_pipes_back() {
    test(async {
        let tools = Tools::default();
        let t = Joined::new(LONG).await;
        let (client, ours) = pair().await;
        let (theirs, server) = pair().await;
        let (ours, theirs) = (channel(ours), channel(theirs));
        let tunnel = Tunnel {
            client: &ours,
            server: &theirs,
            from_client: Bytes::new(),
            from_server: Bytes::new(),
            silence: always(LONG),
        };
        let chunk = pattern(4, 256 * 1024);
        let flood = async {
            loop {
                let _ = client.try_write(&chunk);
                tokio::task::yield_now().await;
            }
        };
        let relayed = async {
            tokio::select! {
                _ = tunnel.relay(&tools, &t.meter) => {}
                () = flood => {}
            }
        };
        let _ = timeout(Duration::from_millis(300), relayed).await;
        assert_eq!(tools.pipes.lent(), 0);
        drop(server);
    });
}

fn channel(tcp: TcpStream) -> Channel {
    Channel::Socket(Socket::Plain(tcp))
}
