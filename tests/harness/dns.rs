//! A DNS server that says what a test wants (RFC 1035).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the server listens before it looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);

const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;

/// What is said about a name.
#[derive(Debug, Clone)]
enum Says {
    Addresses { ttl: u32, addresses: Vec<IpAddr> },
    Code(u8),
    Nothing,
}

/// A server on a UDP port of 127.0.0.1. Of a name that it was told nothing about it says that there
/// is none.
#[derive(Debug)]
pub struct Dns {
    addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    names: Mutex<BTreeMap<String, Says>>,
    questions: AtomicU64,
    stopping: AtomicBool,
}

impl Dns {
    #[expect(
        clippy::new_without_default,
        reason = "a default that takes a port would surprise"
    )]
    pub fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let addr = socket.local_addr().expect("a bound socket has an address");
        socket
            .set_read_timeout(Some(LOOK))
            .expect("a socket takes a timeout");
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || serve(&socket, &shared))
        };
        Self {
            addr,
            shared,
            thread: Some(thread),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The line of `[global]` that has lbd ask this server.
    pub fn line(&self) -> String {
        format!("resolvers = [\"{}\"]", self.addr)
    }

    /// From now on `name` has these addresses, for `ttl` seconds.
    pub fn set<const N: usize>(&self, name: &str, ttl: u32, addresses: [&str; N]) {
        let addresses = addresses.map(|text| text.parse().expect("a test writes addresses"));
        let addresses = addresses.to_vec();
        self.say(name, Says::Addresses { ttl, addresses });
    }

    /// There is no such name any more.
    pub fn remove(&self, name: &str) {
        self.shared.names().remove(name);
    }

    /// The server fails where it is asked about `name` (SERVFAIL).
    pub fn fail(&self, name: &str) {
        self.say(name, Says::Code(2));
    }

    /// Questions about `name` get no answer.
    pub fn be_silent(&self, name: &str) {
        self.say(name, Says::Nothing);
    }

    /// Questions so far.
    pub fn questions(&self) -> u64 {
        self.shared.questions.load(Ordering::Relaxed)
    }

    fn say(&self, name: &str, says: Says) {
        self.shared.names().insert(name.to_owned(), says);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn names(&self) -> MutexGuard<'_, BTreeMap<String, Says>> {
        self.names
            .lock()
            .expect("nobody panics while naming a server")
    }
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 1500];
    while !shared.stopping.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        shared.questions.fetch_add(1, Ordering::Relaxed);
        if let Some(answer) = answer(&buffer[..length], shared) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// `None`: no answer is sent.
fn answer(message: &[u8], shared: &Shared) -> Option<Vec<u8>> {
    let (name, kind, end) = question(message)?;
    let says = shared.names().get(&name).cloned();
    let (code, ttl, addresses) = match says {
        None => (3, 0, Vec::new()),
        Some(Says::Nothing) => return None,
        Some(Says::Code(code)) => (code, 0, Vec::new()),
        Some(Says::Addresses { ttl, addresses }) => (0, ttl, addresses),
    };
    let wanted =
        |ip: &&IpAddr| (kind, ip.is_ipv4()) == (A, true) || (kind, ip.is_ipv4()) == (AAAA, false);
    let records: Vec<&IpAddr> = addresses.iter().filter(wanted).collect();
    let mut answer = message[..2].to_vec();
    // An answer, with recursion asked for and offered.
    answer.extend([0x81, 0x80 | code]);
    for count in [1, records.len() as u16, 0, 0] {
        answer.extend(count.to_be_bytes());
    }
    answer.extend(&message[HEADER..end]);
    for ip in records {
        // The name stands in the question.
        answer.extend([0xc0, HEADER as u8]);
        answer.extend(kind.to_be_bytes());
        answer.extend(1u16.to_be_bytes());
        answer.extend(ttl.to_be_bytes());
        let bytes = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        answer.extend((bytes.len() as u16).to_be_bytes());
        answer.extend(bytes);
    }
    Some(answer)
}

/// The name asked about, the kind of record, and where the question ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = message.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let kind = message.get(at..at + 2)?;
    Some((
        labels.join("."),
        u16::from_be_bytes([kind[0], kind[1]]),
        at + 4,
    ))
}
