//! How HTTP/2 begins without TLS, where client and server know that it does (RFC 9113, 3.3 and 3.4).

use std::io::ErrorKind;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::data::client::Client;
use crate::data::conn;

/// What a client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client began to speak.
pub(in crate::data) enum Spoken {
    Http2,
    /// Or nothing.
    Other,
    /// It did not come to its end.
    TooSlow,
}

/// Looks how a client begins; all of it stays in the socket.
pub(in crate::data) async fn look(stream: &TcpStream, client: &Client) -> Spoken {
    let mut begun = false;
    while conn::readable(stream, client).await {
        let mut seen = [0; PREFACE.len()];
        let spoken = stream.try_io(Interest::READABLE, || {
            let (_, n) = retry_on_intr(|| recv(stream, &mut seen[..], RecvFlags::PEEK))?;
            begun = n > 0;
            // What is there stays there: only more of it is news.
            is_preface(&seen[..n]).ok_or_else(|| ErrorKind::WouldBlock.into())
        });
        match spoken {
            Ok(true) => return Spoken::Http2,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(false) | Err(_) => return Spoken::Other,
        }
    }
    match begun {
        true => Spoken::TooSlow,
        false => Spoken::Other,
    }
}

/// `None`: it may become one.
fn is_preface(seen: &[u8]) -> Option<bool> {
    match PREFACE.starts_with(seen) && !seen.is_empty() {
        true if seen.len() < PREFACE.len() => None,
        whole => Some(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_is_known_by_all_of_it() {
        assert_eq!(is_preface(b""), Some(false));
        assert_eq!(is_preface(b"P"), None);
        assert_eq!(is_preface(&PREFACE[..23]), None);
        assert_eq!(is_preface(PREFACE), Some(true));
        for other in ["GET / HTTP/1.1", "POST", "PRI * HTTP/1.1\r\n"] {
            assert_eq!(is_preface(other.as_bytes()), Some(false), "{other}");
        }
    }
}
