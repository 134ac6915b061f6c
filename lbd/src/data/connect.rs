//! Connections to servers: opened here, driven by a task of their own, used one request at a time.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use super::body::Upload;
use super::lease::Lease;
use super::write;
use crate::state::{Server, ThreadId, add};

/// The longest response head taken, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// A connection to a server. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Upstream {
    sender: http1::SendRequest<Upload>,
    received: Rc<Cell<u64>>,
    epoch: u32,
    address: SocketAddr,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("connect failed")]
    Connect(#[from] io::Error),
    #[error("handshake failed")]
    Handshake(#[from] hyper::Error),
}

impl Upstream {
    /// Opens a connection to the leased server. The caller bounds the time.
    pub(super) async fn open(lease: &Lease, thread: ThreadId) -> Result<Self, ConnectError> {
        let (server, address) = (lease.server().clone(), lease.address());
        let epoch = server.epoch();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let received = Rc::new(Cell::new(0));
        let io = ServerIo {
            stream,
            server,
            thread,
            received: received.clone(),
        };
        let (sender, connection) = http1::Builder::new()
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(io))
            .await?;
        spawn_local(async move {
            // What goes wrong here the request hears from its sender.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            received,
            epoch,
            address,
        })
    }

    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> {
        self.sender.try_send_request(request)
    }

    /// Bytes received so far: tells whether a server said anything to a request.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it leads to where the server is now, and was opened since it last went down.
    pub(super) fn fits(&self, epoch: u32, address: SocketAddr) -> bool {
        self.epoch == epoch && self.address == address
    }
}

/// A server's socket, bytes counted.
#[derive(Debug)]
struct ServerIo {
    stream: TcpStream,
    server: Arc<Server>,
    thread: ThreadId,
    received: Rc<Cell<u64>>,
}

impl AsyncRead for ServerIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let n = (buf.filled().len() - start) as u64;
        this.received.set(this.received.get() + n);
        add(&this.server.tally(this.thread).bytes_out, n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerIo {
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
        let this = self.get_mut();
        let n = ready!(write::poll_write(&mut this.stream, cx, bufs))?;
        add(&this.server.tally(this.thread).bytes_in, n as u64);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
