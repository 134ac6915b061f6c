//! Ports that are free, stay free, and refuse.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// A port of 127.0.0.1 that nobody else is given while this lives, and where connects are refused
/// until somebody who sets `SO_REUSEADDR`, as every server does, listens on it.
///
/// It is a socket that is bound and never listens: the kernel hands such a port to no one who asks
/// for port 0, nor to an outgoing connection.
#[derive(Debug)]
pub struct Port {
    addr: SocketAddr,
    _bound: Socket,
}

impl Port {
    #[expect(
        clippy::new_without_default,
        reason = "a default that takes a port would surprise"
    )]
    pub fn new() -> Self {
        Self::of(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// The port of the same number at 127.0.0.`host`. Nobody else has it: who wants one asks for a
    /// free one of 127.0.0.1 first.
    pub fn beside(&self, host: u8) -> Self {
        Self::of(([127, 0, 0, host], self.addr.port()).into())
    }

    fn of(addr: SocketAddr) -> Self {
        let socket = reusable(addr).expect("there is such a free port");
        let addr = socket
            .local_addr()
            .ok()
            .and_then(|addr| addr.as_socket())
            .expect("a bound socket has an address");
        Self {
            addr,
            _bound: socket,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens on it; who wants it refused again, or taken by another program, closes the listener by
    /// [`close`](crate::process::close).
    ///
    /// # Errors
    /// When somebody listens on it already.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = reusable(self.addr)?;
        socket.listen(1024)?;
        Ok(socket.into())
    }
}

fn reusable(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// A port where a connect neither succeeds nor fails: its queue of connections is full and nobody
/// takes one from it, so that the kernel drops what comes.
#[derive(Debug)]
pub struct SilentPort {
    addr: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl SilentPort {
    #[expect(
        clippy::new_without_default,
        reason = "a default that takes a port would surprise"
    )]
    pub fn new() -> Self {
        /// On the loopback a connect that is taken at all is taken at once.
        const PATIENCE: Duration = Duration::from_millis(300);
        let port = Port::new();
        let socket = reusable(port.addr).expect("the port is ours");
        socket.listen(0).expect("the port is ours");
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&port.addr, PATIENCE) {
            queue.push(stream);
            assert!(queue.len() < 64, "the queue of {} never fills", port.addr);
        }
        Self {
            addr: port.addr,
            _listener: socket.into(),
            _queue: queue,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::close;

    #[test]
    fn a_port_refuses_until_somebody_listens() {
        let port = Port::new();
        let refused = TcpStream::connect(port.addr()).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let listener = port.listen().expect("it is free");
        TcpStream::connect(port.addr()).expect("somebody listens");
        close(listener);
        TcpStream::connect(port.addr()).expect_err("nobody listens any more");
    }

    #[test]
    fn a_silent_port_lets_a_connect_wait() {
        let port = SilentPort::new();
        let error = TcpStream::connect_timeout(&port.addr(), Duration::from_millis(50))
            .expect_err("its queue is full");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
