//! How long a session may be resumed. What is in a ticket is rustls's, and so are the keys, which change; this seals in
//! when the session ends, for a key is kept for longer where nobody asks, and each session that is resumed is given
//! tickets of its own (RFC 8446, 4.6.1).

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;

/// How long from its whole handshake on, in seconds: as long as keys are kept where somebody asks.
const MOST: u64 = 12 * 60 * 60;

/// When a session ends, in seconds since 1970.
type End = u64;

thread_local! {
    /// When the session ends whose handshake is polled, as far as is known; `None` while none is.
    static END: Cell<Option<End>> = const { Cell::new(None) };
}

/// A handshake, and what is known of its session from one time that it is polled to the next.
pub(crate) struct Shaking<F> {
    handshake: F,
    end: Option<End>,
}

pub(crate) fn shaking<F: Future + Unpin>(handshake: F) -> Shaking<F> {
    Shaking {
        handshake,
        end: Some(End::MAX),
    }
}

impl<F: Future + Unpin> Future for Shaking<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let outside = END.replace(self.end);
        let polled = Pin::new(&mut self.handshake).poll(cx);
        self.end = END.replace(outside);
        polled
    }
}

/// The session whose handshake is polled ends then, if not before.
pub(super) fn ends_by(end: End) {
    END.set(END.get().map(|known| known.min(end)));
}

#[derive(Debug)]
pub(super) struct Tickets {
    sealed: Arc<dyn ProducesTickets>,
}

impl Tickets {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ticketer::new().map(|sealed| Self { sealed })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        MOST as u32
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let latest = UnixTime::now().as_secs() + MOST;
        let end = END.get().map_or(latest, |known| known.min(latest));
        self.sealed.encrypt(&written(session, end))
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let opened = self.sealed.decrypt(ticket)?;
        let (session, end) = read(&opened, UnixTime::now().as_secs())?;
        ends_by(end);
        Some(session.to_vec())
    }
}

fn written(session: &[u8], end: End) -> Vec<u8> {
    [&end.to_be_bytes(), session].concat()
}

/// `None`: it is over, or from another time: the clock was put back.
fn read(opened: &[u8], now: u64) -> Option<(&[u8], End)> {
    let (end, session) = opened.split_first_chunk()?;
    let end = End::from_be_bytes(*end);
    (now..=now + MOST).contains(&end).then_some((session, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_its_ticket_says() {
        let opened = written(b"session", 50_000);
        for (now, is_good) in [
            (50_000 - MOST - 1, false),
            (50_000 - MOST, true),
            (50_000, true),
            (50_001, false),
        ] {
            let good = is_good.then_some((&b"session"[..], 50_000));
            assert_eq!(read(&opened, now), good, "{now}");
        }
        assert_eq!(read(&opened[..7], 0), None);
    }

    /// What comes of it in a handshake.
    fn shaken<T>(does: impl FnOnce() -> T) -> T {
        let handshake = Box::pin(async { does() });
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(shaking(handshake))
    }

    fn end(tickets: &Tickets, ticket: &[u8]) -> End {
        let opened = tickets.sealed.decrypt(ticket).unwrap();
        End::from_be_bytes(*opened.first_chunk().unwrap())
    }

    #[test]
    fn tickets_that_a_resumed_session_is_given_are_good_no_longer_than_its_own() {
        let tickets = Tickets::new().unwrap();
        let soon = UnixTime::now().as_secs() + 1000;
        let first = shaken(|| {
            ends_by(soon);
            ends_by(soon + 1);
            tickets.encrypt(b"session").unwrap()
        });
        let second = shaken(|| {
            let session = tickets.decrypt(&first).unwrap();
            tickets.encrypt(&session).unwrap()
        });
        assert_eq!(end(&tickets, &second), soon);
        // The next handshake on this thread is another's.
        let other = shaken(|| tickets.encrypt(b"session").unwrap());
        assert!(end(&tickets, &other) > soon);
        assert_eq!(END.get(), None);
    }
}
