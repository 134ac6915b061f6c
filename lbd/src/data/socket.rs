//! A connection as bytes: in the clear, or under TLS.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::state::Handshake;
use crate::tls::{self, Originator};

#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<Secure>),
}

/// A connection under TLS. Its reader and its writer may be two.
#[derive(Debug)]
pub(super) struct Secure {
    tcp: Rc<TcpStream>,
    stream: RefCell<TlsStream<Beneath>>,
}

impl Socket {
    /// Does the server's part of a handshake. The caller bounds the time.
    pub(super) async fn accept(acceptor: &TlsAcceptor, tcp: TcpStream) -> io::Result<Self> {
        let tcp = Rc::new(tcp);
        let stream = tls::shaking(acceptor.accept(Beneath(tcp.clone()))).await?;
        Ok(Self::Tls(Box::new(Secure {
            tcp,
            stream: RefCell::new(stream.into()),
        })))
    }

    /// Does the client's part of a handshake. The caller bounds the time.
    pub(super) async fn originate(tls: &Originator, tcp: TcpStream) -> io::Result<Self> {
        let tcp = Rc::new(tcp);
        let connected = tls.connector().connect(tls.name(), Beneath(tcp.clone()));
        let stream = connected.await?;
        tls.agree(stream.get_ref().1.alpn_protocol())?;
        Ok(Self::Tls(Box::new(Secure {
            tcp,
            stream: RefCell::new(stream.into()),
        })))
    }

    /// Whether the peer has neither closed it nor sent anything that was not read. Costs a system
    /// call only where something came.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Self::Plain(tcp) => {
                let tried = tcp.try_read(&mut [0]);
                tried.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            }
            Self::Tls(secure) => {
                let mut byte = [0];
                let mut cx = Context::from_waker(Waker::noop());
                let read = secure.poll_read(&mut cx, &mut ReadBuf::new(&mut byte));
                read.is_pending()
            }
        }
    }

    /// Whether bytes can be read though none may come any more: they came with earlier ones.
    pub(super) fn holds_bytes(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(secure) => {
                let mut stream = secure.stream.borrow_mut();
                let TlsStream::Server(stream) = &mut *stream else {
                    return false;
                };
                let state = stream.get_mut().1.process_new_packets();
                state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
            }
        }
    }

    /// What kind of handshake it began with; `None`: it is in the clear.
    pub(super) fn handshake(&self) -> Option<Handshake> {
        let Self::Tls(secure) = self else {
            return None;
        };
        let stream = secure.stream.borrow();
        Some(match tls::is_resumed(stream.get_ref().1) {
            true => Handshake::Resumed,
            false => Handshake::Full,
        })
    }

    /// Whether both sides agreed on HTTP/2 (RFC 9113, 3.3).
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(secure) => {
                let stream = secure.stream.borrow();
                stream.get_ref().1.alpn_protocol() == Some(b"h2")
            }
        }
    }

    /// What is beneath, for all but reading and writing.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(secure) => &secure.tcp,
        }
    }
}

impl Secure {
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        end_quietly(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buf))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes)
    }

    /// Ready when all that was written is with the system.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)
    }

    /// Ends what is sent, and says so (RFC 8446, 6.1).
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}

/// Who closes without a word about it has closed: that nothing is missing, the framing above tells.
fn end_quietly(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(e)) if e.kind() == ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        read => read,
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(secure) => end_quietly(Pin::new(secure.stream.get_mut()).poll_read(cx, buf)),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(secure) => Pin::new(secure.stream.get_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(secure) => Pin::new(secure.stream.get_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(secure) => Pin::new(secure.stream.get_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(secure) => Pin::new(secure.stream.get_mut()).poll_shutdown(cx),
        }
    }
}

/// Receives what there is. A socket that gave less than there was room for is empty until it says
/// otherwise (epoll(7)), and will not be asked again; an end it remembers.
pub(super) fn receive(tcp: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    let received = tcp.try_io(Interest::READABLE, || {
        (_, n) = retry_on_intr(|| recv(tcp, &mut *into, RecvFlags::empty()))?;
        match n {
            n if n > 0 && n < into.len() => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    });
    match received {
        Err(e) if n == 0 => Err(e),
        _ => Ok(n),
    }
}

/// The TCP connection beneath TLS, which others look at as well.
#[derive(Debug)]
struct Beneath(Rc<TcpStream>);

impl AsyncRead for Beneath {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let n = match receive(&self.0, buf.initialize_unfilled()) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
                received => received?,
            };
            buf.advance(n);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Beneath {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            let written = match bufs {
                [one] => self.0.try_write(one),
                _ => self.0.try_write_vectored(bufs),
            };
            match written {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write);
        Poll::Ready(shut)
    }
}
