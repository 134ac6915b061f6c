//! Listening sockets: they belong to the process, not to a snapshot.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lb_proto::name::FrontendName;
use socket2::{Domain, Protocol, Socket, Type};

use super::ThreadId;

/// Connections the kernel keeps for us until they are accepted (capped by `net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// An address listened on: one socket per data thread, among which the kernel spreads connections.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) uid: u64,
    /// As configured: port 0 stays 0.
    pub(crate) configured: SocketAddr,
    /// As bound.
    pub(crate) address: SocketAddr,
    /// Whose bind it was when it was bound, `None` if that was `[admin]`; tells two binds on port 0 apart.
    pub(crate) first_frontend: Option<FrontendName>,
    /// Until a data thread takes its own: once that closes it, nothing listens here any more.
    sockets: Mutex<Vec<Option<TcpListener>>>,
}

/// A bind that failed, and nothing was left behind.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub(crate) struct BindError {
    pub(crate) address: SocketAddr,
    #[source]
    pub(crate) source: io::Error,
}

impl Listener {
    /// Hands a thread its socket, once.
    pub(crate) fn take_socket(&self, thread: ThreadId) -> Option<TcpListener> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.get_mut(thread.0)?.take()
    }
}

/// Every listener of this process whose sockets are not all closed: those of snapshots, and those that
/// a data thread is about to close.
static OPEN: Mutex<Vec<Weak<Listener>>> = Mutex::new(Vec::new());

/// Binds an address for `threads` threads; `frontend` is whose it is, unless it is `[admin]`'s.
pub(crate) fn bind(
    address: SocketAddr,
    frontend: Option<&FrontendName>,
    threads: usize,
) -> Result<Arc<Listener>, BindError> {
    static UIDS: AtomicU64 = AtomicU64::new(1);
    let error = |source| BindError { address, source };
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|listener| listener.strong_count() > 0);
    let bound = free_address(address, &open).map_err(error)?;
    let sockets = (0..threads)
        .map(|_| {
            let socket = socket(bound, true)?;
            socket.listen(BACKLOG)?;
            Ok(Some(socket.into()))
        })
        .collect::<io::Result<_>>()
        .map_err(error)?;
    let listener = Arc::new(Listener {
        uid: UIDS.fetch_add(1, Ordering::Relaxed),
        configured: address,
        address: bound,
        first_frontend: frontend.cloned(),
        sockets: Mutex::new(sockets),
    });
    open.push(Arc::downgrade(&listener));
    Ok(listener)
}

/// Whether an address could be listened on, without doing so.
pub(crate) fn can_bind(address: SocketAddr) -> Result<(), BindError> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let free = free_address(address, &open);
    free.map(drop)
        .map_err(|source| BindError { address, source })
}

/// The address with its port chosen, if nobody but us listens there.
///
/// Sockets that share a port by SO_REUSEPORT would share it with a second lbd as well; one bound
/// without it finds out whether the port is free, and which port 0 stands for.
fn free_address(address: SocketAddr, open: &[Weak<Listener>]) -> io::Result<SocketAddr> {
    // A reload from 127.0.0.1:80 to *:80, or back to what the one before it took away, must not fail
    // for our own sockets, which SO_REUSEPORT lets share the port until they close.
    let mut ours = open.iter().filter_map(Weak::upgrade);
    if ours.any(|one| covers(one.address, address)) {
        return Ok(address);
    }
    let probe = socket(address, false)?;
    Ok(probe.local_addr()?.as_socket().unwrap_or(address))
}

/// Whether two addresses stand in each other's way.
fn covers(one: SocketAddr, other: SocketAddr) -> bool {
    let unspecified = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (unspecified || one.ip() == other.ip())
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it: an answer never waits for the acknowledgement of its first part.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_another_program_listens_on_is_refused() {
        let frontend = "web".parse().unwrap();
        let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = bind(foreign.local_addr().unwrap(), Some(&frontend), 2).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn our_own_listener_is_not_in_the_way_of_a_wider_one() {
        let frontend = "web".parse().unwrap();
        let first = bind("127.0.0.1:0".parse().unwrap(), Some(&frontend), 2).unwrap();
        assert_ne!(first.address.port(), 0);
        let wider = SocketAddr::new([0, 0, 0, 0].into(), first.address.port());
        let second = bind(wider, Some(&frontend), 2).unwrap();
        assert_eq!(second.address, wider);
    }

    #[test]
    fn a_listener_that_is_being_closed_is_not_in_the_way_of_the_next() {
        let frontend = "web".parse().unwrap();
        let first = bind("127.0.0.1:0".parse().unwrap(), Some(&frontend), 1).unwrap();
        let (address, thread) = (first.address, first.clone());
        let socket = thread.take_socket(ThreadId(0));
        drop(first);
        let second = bind(address, Some(&frontend), 1).unwrap();
        drop((socket, thread));
        assert_eq!(second.address, address);
    }
}
