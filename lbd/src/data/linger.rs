//! The end of a connection: said so that the client hears it.
//!
//! A socket closed with unread bytes in it resets the connection, and a reset may overtake the
//! answer (RFC 9112, 9.6). So what still comes is read and thrown away for a while first.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::client::Client;
use super::fault::Fault;
use super::reply;
use super::socket::Socket;
use crate::access_log::Phase;
use crate::state::add;

/// How long a client that goes on sending is listened to, and how much of it is taken.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST_DISCARDED: usize = 1 << 20;

/// Whether the client may have sent, or be sending, what nobody read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    Nothing,
    Something,
}

/// Answers a head that could not be read, and closes.
pub(super) async fn refuse(mut stream: Socket, client: &Client, fault: Fault) {
    if !client.in_exchange() {
        client.count_bad_request(Some(fault));
    }
    let answer = reply::raw_fault(fault);
    let send = async {
        stream.write_all(&answer).await?;
        stream.flush().await
    };
    let sent = matches!(timeout(PATIENCE, send).await, Ok(Ok(())));
    let bytes = if sent { answer.len() as u64 } else { 0 };
    let end = fault.termination(Phase::Request);
    if !client.in_exchange() {
        client.log_bad_request(Some(fault.status()), end, bytes);
    }
    if sent {
        add(&client.tally().bytes_out, bytes);
        close(stream, Unread::Something).await;
    }
}

/// Closes after what was sent has had a chance to arrive.
pub(super) async fn close(mut stream: Socket, unread: Unread) {
    if unread == Unread::Something {
        let _ = timeout(PATIENCE, discard(&mut stream)).await;
    } else if let Socket::Tls(_) = stream {
        let _ = timeout(PATIENCE, stream.shutdown()).await;
    }
}

/// Closes with a reset: there is no other way to show that an answer without a length was cut.
pub(super) fn reset(stream: Socket) {
    let _ = SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
}

async fn discard(stream: &mut Socket) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut sink = vec![0; 16 * 1024];
    let mut left = MOST_DISCARDED;
    while left > 0 {
        match stream.read(&mut sink).await? {
            0 => break,
            n => left = left.saturating_sub(n),
        }
    }
    Ok(())
}
