//! An origin that follows a script byte by byte, for what no HTTP library would send.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::port::Port;
use crate::wire::{End, find, how_it_ended};

/// Runs a script for every connection it accepts, each on a thread of its own.
#[derive(Debug)]
pub struct RawOrigin {
    port: Port,
    accepted: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RawOrigin {
    /// `script` is given each connection; when it returns, the connection is closed.
    pub fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let port = Port::new();
        let listener = port.listen().expect("the port is kept for us");
        let accepted = Arc::new(AtomicU64::new(0));
        let stopping = Arc::new(AtomicBool::new(false));
        let script = Arc::new(script);
        let thread = {
            let (accepted, stopping) = (Arc::clone(&accepted), Arc::clone(&stopping));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stopping.load(Ordering::Relaxed) {
                        return;
                    }
                    let script = Arc::clone(&script);
                    let nth = accepted.fetch_add(1, Ordering::Relaxed);
                    std::thread::spawn(move || script(&mut Peer::new(stream, nth)));
                }
            })
        };
        Self {
            port,
            accepted,
            stopping,
            thread: Some(thread),
        }
    }

    /// Reads one request head per connection, sends `bytes` and closes.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |peer| {
            peer.head();
            peer.send(&bytes);
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Wakes the accept; it may have been woken by somebody else already.
        let _ = TcpStream::connect(self.addr());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The other side of a connection, as a script sees it. A proxy that breaks off ends no test by
/// itself: reads give what came, writes go nowhere.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    pending: Vec<u8>,
    nth: u64,
}

impl Peer {
    fn new(stream: TcpStream, nth: u64) -> Self {
        /// A script whose other side is gone without a trace would keep its thread for ever.
        const SILENCE: Duration = Duration::from_secs(120);
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(SILENCE));
        Self {
            stream,
            pending: Vec::new(),
            nth,
        }
    }

    /// How many connections came before this one.
    pub fn nth(&self) -> u64 {
        self.nth
    }

    /// The next request head, its empty line included; what came, where none did.
    pub fn head(&mut self) -> String {
        let end = loop {
            if let Some(at) = find(&self.pending, b"\r\n\r\n") {
                break at + 4;
            }
            if self.read().is_err() {
                break self.pending.len();
            }
        };
        let head = self.pending.drain(..end).collect();
        String::from_utf8(head).expect("a proxy sends heads in ASCII")
    }

    /// The next `n` bytes, or what came of them before the end.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        while self.pending.len() < n && self.read().is_ok() {}
        let n = n.min(self.pending.len());
        self.pending.drain(..n).collect()
    }

    /// Everything up to and including `mark`, or what came before the end.
    pub fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        let end = loop {
            if let Some(at) = find(&self.pending, mark) {
                break at + mark.len();
            }
            if self.read().is_err() {
                break self.pending.len();
            }
        };
        self.pending.drain(..end).collect()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Waits until the other side closes, and tells how.
    pub fn closed(&mut self) -> End {
        loop {
            match self.read() {
                Ok(()) => self.pending.clear(),
                Err(end) => return end,
            }
        }
    }

    /// The same connection, to send on while this one reads.
    pub fn another(&self) -> Self {
        let stream = self.stream.try_clone();
        Self {
            stream: stream.expect("there are descriptors"),
            pending: Vec::new(),
            nth: self.nth,
        }
    }

    /// Ends our direction; the other stays open.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes with a reset when the script returns.
    pub fn reset(&mut self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn read(&mut self) -> Result<(), End> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(End::Eof),
                Ok(n) => {
                    self.pending.extend_from_slice(&buffer[..n]);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(how_it_ended(&e)),
            }
        }
    }
}
