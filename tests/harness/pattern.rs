//! Bodies whose every byte is known and which cost no memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The period is prime, so that a piece lost or doubled anywhere shows.
const PERIOD: usize = 251;

/// A whole number of periods, so that every piece starts alike.
static PIECE: [u8; PERIOD * 256] = {
    let mut piece = [0; PERIOD * 256];
    let mut at = 0;
    while at < piece.len() {
        piece[at] = (at % PERIOD) as u8;
        at += 1;
    }
    piece
};

/// The first `n` bytes of the pattern. They are copied and compared in pieces: a byte at a time, bodies
/// of tens of megabytes would take a busy machine longer than anybody waits.
pub fn pattern(n: usize) -> Vec<u8> {
    let mut bytes = PIECE.repeat(n / PIECE.len());
    bytes.extend_from_slice(&PIECE[..n % PIECE.len()]);
    bytes
}

/// A body: a text, or a length of [`pattern`].
pub(crate) struct Pattern {
    text: Option<Bytes>,
    left: u64,
    /// Whether the length is told beforehand.
    sized: bool,
}

impl Pattern {
    pub(crate) fn of(length: u64, sized: bool) -> Self {
        Self {
            text: None,
            left: length,
            sized,
        }
    }

    pub(crate) fn text(text: String) -> Self {
        Self {
            left: text.len() as u64,
            text: Some(text.into()),
            sized: true,
        }
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = self.text.take().unwrap_or_else(|| {
            let length = self.left.min(PIECE.len() as u64) as usize;
            Bytes::from_static(&PIECE[..length])
        });
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized {
            SizeHint::with_exact(self.left)
        } else {
            SizeHint::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_where_it_belongs() {
        for n in [0, 1, PIECE.len(), 3 * PIECE.len() + 7] {
            assert!(
                pattern(n)
                    .into_iter()
                    .eq((0..n).map(|at| (at % PERIOD) as u8))
            );
        }
    }
}
