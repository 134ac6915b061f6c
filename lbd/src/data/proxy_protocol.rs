//! The PROXY header that a connection begins with, where its listener wants one: read off the
//! socket, and not a byte more. Whoever sends none is not served.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::SocketAddr;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::client::Client;
use super::conn;
use super::link::Ends;
use crate::proxy_protocol::{Header, Malformed, parse};

/// What is looked at at once. Nearly all headers are smaller.
const GLANCE: usize = 512;

/// Seconds from one warning of a thread to its next.
const PAUSE: u32 = 60;

/// Why a connection that was to begin with a header is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is not of the bind's `proxy_protocol`")]
    Stranger,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// As a load balancer does that looks whether somebody listens.
    #[error("it closed without a word")]
    Silent,
    #[error("it closed before its PROXY header was whole")]
    Gone,
    #[error("its PROXY header did not come in time")]
    TooSlow,
}

/// Reads the header, and tells whose connection it is. What follows stays in the socket.
pub(super) async fn receive(stream: &TcpStream, client: &Client) -> Result<Ends, Refused> {
    let read = Box::pin(read(stream, client)).await;
    let Header { addresses, tlvs } = read.inspect_err(|refused| {
        client.thread.refuse(client.peer, client.local(), refused);
    })?;
    Ok(Ends {
        peer: addresses.map_or(client.peer, |given| given.source),
        local: addresses.map_or(client.local(), |given| given.destination),
        tlvs,
        tls: false,
    })
}

async fn read(stream: &TcpStream, client: &Client) -> Result<Header, Refused> {
    let mut bytes = Vec::new();
    while conn::readable(stream, client).await {
        let known = bytes.len();
        if !look(stream, &mut bytes)? {
            continue;
        }
        let found = parse(&bytes)?;
        let end = found.as_ref().map_or(bytes.len(), |(_, end)| *end);
        take(stream, end - known)?;
        if let Some((header, _)) = found {
            return Ok(header);
        }
    }
    Err(Refused::TooSlow)
}

/// Adds what there is to `bytes` and leaves it in the socket; false: there is nothing.
fn look(stream: &TcpStream, bytes: &mut Vec<u8>) -> Result<bool, Refused> {
    let mut glance = [0; GLANCE];
    let seen = stream.try_io(Interest::READABLE, || {
        let (_, n) = retry_on_intr(|| recv(stream, &mut glance[..], RecvFlags::PEEK))?;
        Ok(n)
    });
    match seen {
        Ok(0) if bytes.is_empty() => Err(Refused::Silent),
        Ok(0) => Err(Refused::Gone),
        Ok(n) => {
            bytes.extend_from_slice(&glance[..n]);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(_) => Err(Refused::Gone),
    }
}

/// Takes so many bytes that were seen there.
fn take(stream: &TcpStream, mut n: usize) -> Result<(), Refused> {
    let mut sink = [0; GLANCE];
    while n > 0 {
        let room = n.min(GLANCE);
        let (_, taken) = retry_on_intr(|| recv(stream, &mut sink[..room], RecvFlags::empty()))
            .map_err(|_| Refused::Gone)?;
        if taken == 0 {
            return Err(Refused::Gone);
        }
        n -= taken;
    }
    Ok(())
}

/// Says in the daemon's log who was refused: one in a while, so that nobody fills it.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// When it was last said.
    told: Cell<Option<u32>>,
    /// How many were not told of since.
    untold: Cell<u32>,
}

impl Refusals {
    /// `now`: in seconds.
    pub(super) fn tell(&self, peer: SocketAddr, bind: SocketAddr, refused: &Refused, now: u32) {
        let soon = |told: u32| now.wrapping_sub(told) < PAUSE;
        if matches!(refused, Refused::Silent) || self.told.get().is_some_and(soon) {
            debug!(%peer, %bind, cause = %refused, "connection refused");
            self.untold.set(self.untold.get().saturating_add(1));
            return;
        }
        self.told.set(Some(now));
        let others = self.untold.take();
        warn!(%peer, %bind, cause = %refused, others, "connection refused");
    }
}
